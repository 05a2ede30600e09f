/** The checkpoints of a run evaluated, those that are not yet: what `untwist eval RUN` does. */
import { action, UsageError } from "../../base/core/index.ts";
import type { Effects } from "../../base/progress/index.ts";
import type { JobOptions } from "../../cluster/dispatch/index.ts";
import {
  isFollowed,
  isPresent,
  type LineageEntry,
  openRunFolder,
  type RunFolder,
  type Summary,
  withLock,
} from "../../run/index.ts";
import {
  answerMissing,
  type CheckpointSubject,
  type RunSource,
  requireEndToken,
  requireOwnServers,
  restoreFirstModel,
  type TaskChoice,
} from "../answer/index.ts";
import { readFinished, renewSummary } from "../outcome/index.ts";
import { keepEvaluation } from "./keep-checkpoint.ts";
import { settleTasks } from "./settle-tasks.ts";

/** A run, and its summary once it is evaluated. */
export interface EvaluatedRun {
  readonly folder: RunFolder;
  readonly summary: Summary;
  /** Checkpoints that were evaluated now. */
  readonly evaluated: readonly string[];
}

/** How a run is evaluated. */
export interface EvaluationOptions {
  readonly effects: Effects;
  readonly source: RunSource;
  /** Who carries it out. Default: this process. */
  readonly job?: JobOptions | undefined;
  /** Called when a checkpoint's answers are kept. */
  readonly onEvaluated?: () => Promise<void>;
}

/**
 * Evaluates every checkpoint of a run that is not evaluated. Throws `UsageError` for a model that cannot be run that way or
 * for other tasks than the run's, and `StoppedError`; what is evaluated by then is kept.
 */
export async function evaluateRun(
  path: string,
  choice: TaskChoice,
  options: EvaluationOptions,
): Promise<EvaluatedRun> {
  requireOwnServers(options.source, options.job);
  const opened = await openRunFolder(path);
  return await withLock(opened, async () => {
    const { source, job, effects } = options;
    const present = await listPresent(opened, effects);
    const missing: LineageEntry[] = [];
    for (const entry of present) if (!(await opened.hasEvaluation(entry.id))) missing.push(entry);
    const isEmbedded = source.kind === "embedded" && missing.length > 0;
    const model = isEmbedded ? await restoreFirstModel(opened) : undefined;
    if (model !== undefined) requireEndToken(model.config, `the first checkpoint of "${path}"`);
    const isDry = job?.mode === "describe";
    const folder = await settleTasks(opened, { choice, source, effects, isDry, model, missing });
    effects.report({ kind: "planned", stages: [], numEvaluations: missing.length });
    await evaluatePresent(folder, present, options);
    if (isFollowed(folder.recipe)) await renewSummary(folder);
    const summary = await readFinished(folder);
    if (summary === undefined)
      throw new UsageError(
        `Cannot sum up "${path}": its training is not finished; continue it with: ${action("resume", path)}`,
      );
    return { folder, summary, evaluated: missing.map(({ id }) => id) };
  });
}

/** The lineage; of a followed run without what its trainer has deleted, which is reported where it was never evaluated. */
async function listPresent(folder: RunFolder, { report }: Effects): Promise<readonly LineageEntry[]> {
  const present: LineageEntry[] = [];
  for (const entry of await folder.readLineage()) {
    if (!isFollowed(folder.recipe) || (await isPresent(folder.locate(entry.path)))) present.push(entry);
    else if (!(await folder.hasEvaluation(entry.id)))
      report({ kind: "notice", text: `${entry.id} cannot be evaluated any more: ${entry.path} is gone` });
  }
  return present;
}

async function evaluatePresent(
  folder: RunFolder,
  present: readonly LineageEntry[],
  { source, job, effects, onEvaluated }: EvaluationOptions,
): Promise<void> {
  const subjects = present.map(
    ({ id, path }): CheckpointSubject => ({ kind: "checkpoint", id, path: folder.locate(path) }),
  );
  await answerMissing(
    {
      kind: "evaluation",
      folder,
      subjects,
      isKept: ({ id }) => folder.hasEvaluation(id),
      readKept: async ({ id }) => ({ ms: 0, items: await folder.readEvaluation(id) }),
      keep: async ({ id }, { items, ms }) => {
        await keepEvaluation(folder, { checkpoint: id, items, ms }, effects);
        await onEvaluated?.();
      },
      nothingMissing: "All checkpoints are evaluated: nothing would be submitted",
    },
    { answerer: source, job, effects },
  );
}
