/** The laboratory from code: the functions behind the commands, with the outside as an option. */

import type { RunSource, TaskChoice } from "../../lab/answer/index.ts";
import {
  chooseComparison,
  compareCheckpoints as comparePair,
  defaultRanks,
} from "../../lab/comparison/index.ts";
import { editCheckpoint as carryOutPlan, type EditForm, type EditReport } from "../../lab/edit/index.ts";
import { type EvaluatedRun, evaluateRun as evaluateMissing } from "../../lab/evaluation/index.ts";
import { type WatchRequest, type WatchState, watchRun as watchTraining } from "../../lab/watch/index.ts";
import { type Grade, openEnvironment } from "../../tasks/environment/index.ts";
import type { PairSpectra } from "../../weights/spectra/index.ts";
import type { Plan } from "../../weights/surgery/index.ts";
import { type CallOptions, createEffects } from "./call-options.ts";

/** Which matrices are compared, and how. */
export interface ComparisonOptions extends CallOptions {
  /** Ranks of the subspaces whose angles are measured. Default: 8, 32 and 128. */
  readonly ranks?: readonly number[];
  /** Kinds or names of matrices, as in `q_proj,*_proj`; `!` leaves out. Default: all. */
  readonly matrices?: string;
  /** Layers, as in `0-3,7`. Default: all. */
  readonly layers?: string;
}

/**
 * Compares two checkpoint folders: what changed in every weight matrix, beside what chance would give. Throws `UsageError` and
 * `CheckpointError` for folders that cannot be compared, and `StoppedError`.
 *
 * @example
 * import { compareCheckpoints } from "untwist";
 * const { matrices } = await compareCheckpoints("runs/mine/checkpoints/base", "runs/mine/checkpoints/sft-4");
 * for (const { name, update } of matrices) console.log(name, update.frobenius.toPrecision(3));
 */
export async function compareCheckpoints(
  before: string,
  after: string,
  { ranks = defaultRanks, matrices, layers, ...options }: ComparisonOptions = {},
): Promise<PairSpectra> {
  const choice = chooseComparison({ ranks, matrices, layers });
  return await comparePair({ before, after }, choice, createEffects(options));
}

/** What is written. */
export interface EditOptions extends CallOptions {
  /** A whole checkpoint, or a LoRA adapter to the target. Default: a checkpoint. */
  readonly form?: EditForm;
}

/**
 * Carries out a plan of edits into a folder that is absent or empty. Throws `UsageError` and `CheckpointError`, and
 * `StoppedError`; nothing is written then.
 *
 * @example
 * import { editCheckpoint } from "untwist";
 * const operation = { operation: "restore", what: "directions", top: 0.6, tail: 0, strength: 1 } as const;
 * const plan = { target: "runs/mine/checkpoints/sft-4", source: "runs/mine/checkpoints/base", operations: [operation] };
 * const { moved } = await editCheckpoint(plan, "repaired");
 * console.log(`The weights moved by ${(100 * moved).toFixed(1)} %`);
 */
export async function editCheckpoint(
  plan: Plan,
  out: string,
  { form = "checkpoint", ...options }: EditOptions = {},
): Promise<EditReport> {
  return await carryOutPlan({ plan, out, form }, createEffects(options));
}

/** What is asked, and who answers. */
export interface EvaluationOptions extends CallOptions {
  /** Needed the first time that a run of another trainer is evaluated. */
  readonly tasks?: TaskChoice;
  /** Default: the embedded engine. */
  readonly source?: RunSource;
}

/**
 * Evaluates every checkpoint of a run that is not evaluated yet. Throws `UsageError` where the checkpoints cannot be asked so,
 * and `StoppedError`; what is evaluated by then is kept.
 *
 * @example
 * import { evaluateRun } from "untwist";
 * const { summary } = await evaluateRun("runs/mine");
 * for (const { id, accuracy } of summary.checkpoints)
 *   console.log(id, `${accuracy.ood.correct} of ${accuracy.ood.total}`);
 */
export async function evaluateRun(
  run: string,
  { tasks = {}, source = { kind: "embedded" }, ...options }: EvaluationOptions = {},
): Promise<EvaluatedRun> {
  return await evaluateMissing(run, tasks, { source, effects: createEffects(options) });
}

/** Who hears of what a watch finds. */
export interface WatchOptions extends CallOptions {
  readonly onState?: (state: WatchState) => void;
}

/**
 * Evaluates each checkpoint of a training as it lands, and raises an alert once OOD accuracy has fallen. Resolves with the last
 * state once the request says that it is over. Throws `UsageError`, and `StoppedError` once the signal is aborted.
 *
 * @example
 * import { watchRun } from "untwist";
 * const { trainings } = await watchRun({
 *   follow: { folders: ["trained"], out: "runs/watched" },
 *   tasks: { environment: "general-points", numTasks: 8 },
 *   source: { kind: "embedded" },
 *   falseAlarmRate: 0.05,
 *   intervalMs: 1000,
 *   idleMs: 0,
 *   stopOnAlert: true,
 * });
 * for (const { name, alert } of trainings) console.log(name, alert ?? "no alert");
 */
export async function watchRun(
  request: WatchRequest,
  { onState, ...options }: WatchOptions = {},
): Promise<WatchState> {
  return await watchTraining(request, {
    effects: createEffects(options),
    onState: (state) => onState?.(state),
  });
}

/** An answer, and the task that it is to. */
export interface GradeRequest {
  /** The task's environment by name. */
  readonly environment: string;
  /** The task as data, as it would be parsed from JSON. */
  readonly task: unknown;
  /** The answer as a chat model would write it. */
  readonly answer: string;
}

/**
 * Grades one answer: reward, outcome, feedback. Throws `UsageError` for an unknown environment or a malformed task.
 *
 * @example
 * import { gradeAnswer } from "untwist";
 * const task = { cards: [3, 3, 8, 8], rule: "id" };
 * const { reward, outcome } = await gradeAnswer({ environment: "general-points", task, answer: "no idea" });
 * console.log(reward, outcome);
 */
export async function gradeAnswer({ environment: name, task, answer }: GradeRequest): Promise<Grade> {
  const environment = await openEnvironment(name);
  return environment.grade(environment.parseTask(task), answer, { promptFormat: "chat", compat: false });
}
