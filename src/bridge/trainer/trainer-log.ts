/** What a trainer logged, from its own files: `trainer_state.json`, `trainer_log.jsonl`, JSON lines, TensorBoard's events. */
import { join } from "node:path";
import { parsePythonJson, toObject } from "../../base/core/index.ts";
import {
  fileExists,
  listFiles,
  listFolders,
  parseEvents,
  readBytes,
  readText,
} from "../../base/file/index.ts";
import { findDifference, type History } from "./continuity.ts";

/** The numbers of one step, by the trainer's own names. Some may be no finite ones: trainers log NaN and infinities. */
export interface LoggedStep {
  readonly step: number;
  readonly numbers: Readonly<Record<string, number>>;
}

/** A log that could not be read, and why. */
export interface UnreadLog {
  readonly file: string;
  readonly problem: string;
}

/** All that a training logged: one line per step, in order. */
export interface TrainerLog {
  readonly steps: readonly LoggedStep[];
  readonly unread: readonly UnreadLog[];
}

/** Folders beside the checkpoints in which trainers keep event files. */
const eventFolders = ["", "runs", "logs", "tensorboard", "tensorboard_log"];

/**
 * Reads the logs of a training whose step folders lie in `folder`; `latest` is the newest of these that has a trainer's state.
 * A step that was logged twice, as by a trainer that was killed and went on from an earlier checkpoint, keeps what was logged
 * last; files that cannot be read are told, not fatal. Where an earlier training has left something in the folder
 * (`isShared`), the state alone is read: the other files may be anyone's.
 */
export async function readTrainerLog(
  folder: string,
  { latest, isShared = false }: { readonly latest?: string | undefined; readonly isShared?: boolean } = {},
): Promise<TrainerLog> {
  const log = createLog();
  const state = latest === undefined ? undefined : join(latest, stateName);
  if (!isShared || state === undefined) {
    for (const file of await findEventFiles(folder)) await log.take(file, readEventFile);
    for (const name of ["trainer_log.jsonl", "metrics.jsonl"]) {
      const file = join(folder, name);
      if (await fileExists(file)) await log.take(file, readLines);
    }
  }
  // The newest checkpoint's state holds the whole history; the one beside all checkpoints is written at the very end.
  if (state !== undefined) await log.take(state, readState);
  const final = join(folder, stateName);
  if (final !== state && (await fileExists(final)))
    await log.take(final, async (file) => await readFinalState(file, state));
  return log.finish();
}

const stateName = "trainer_state.json";

/** What a step folder's state says was logged; nothing where it has none that is whole. */
export async function readHistory(folder: string): Promise<History> {
  const file = join(folder, stateName);
  if (!(await fileExists(file))) return new Map();
  try {
    return toHistory(await readState(file));
  } catch (error) {
    if (error instanceof SyntaxError) return new Map();
    throw error;
  }
}

function toHistory(logged: readonly LoggedStep[]): History {
  const steps = new Map<number, Readonly<Record<string, number>>>();
  for (const { step, numbers } of logged) steps.set(step, { ...steps.get(step), ...numbers });
  return steps;
}

/** The state beside all checkpoints. Throws `SyntaxError` where it is of another training than the newest checkpoint's. */
async function readFinalState(file: string, state: string | undefined): Promise<readonly LoggedStep[]> {
  const logged = await readState(file);
  if (state === undefined) return logged;
  const difference = findDifference(toHistory(logged), toHistory(await readState(state)));
  if (difference === undefined) return logged;
  throw new SyntaxError(`it is of another training than ${state}: it says ${difference}`);
}

type ReadLog = (file: string) => Promise<readonly LoggedStep[]>;

function createLog(): {
  readonly take: (file: string, read: ReadLog) => Promise<void>;
  readonly finish: () => TrainerLog;
} {
  const steps = new Map<number, Record<string, number>>();
  const unread: UnreadLog[] = [];
  return {
    take: async (file, read) => {
      try {
        for (const { step, numbers } of await read(file)) steps.set(step, { ...steps.get(step), ...numbers });
      } catch (error) {
        unread.push({ file, problem: error instanceof Error ? error.message : String(error) });
      }
    },
    finish: () => ({
      steps: [...steps].map(([step, numbers]) => ({ step, numbers })).sort((a, b) => a.step - b.step),
      unread,
    }),
  };
}

async function findEventFiles(folder: string): Promise<readonly string[]> {
  const files: string[] = [];
  const look = async (place: string): Promise<void> => {
    for (const name of await listFiles(place))
      if (name.startsWith("events.out.tfevents.")) files.push(join(place, name));
  };
  const names = new Set(await listFolders(folder));
  for (const name of eventFolders) {
    if (name !== "" && !names.has(name)) continue;
    const place = join(folder, name);
    await look(place);
    if (name !== "") for (const inner of await listFolders(place)) await look(join(place, inner));
  }
  // Their names begin with the second in which they were opened: later ones count.
  return files.sort((a, b) => readSecond(a) - readSecond(b));
}

function readSecond(file: string): number {
  return Number(/tfevents\.(\d+)/.exec(file)?.[1] ?? 0);
}

async function readEventFile(file: string): Promise<readonly LoggedStep[]> {
  return parseEvents(await readBytes(file)).map(({ name, step, value }) => ({
    step,
    numbers: { [name.replace(/^train\//, "")]: value },
  }));
}

/** Lines of LLaMA-Factory's `trainer_log.jsonl`, or of a `metrics.jsonl`; a torn or malformed line is passed over. */
async function readLines(file: string): Promise<readonly LoggedStep[]> {
  return (await readText(file)).split("\n").flatMap((line) => {
    const { current_steps: current, global_step: global, step = global, ...values } = parseObject(line);
    return describeStep(current ?? step, values);
  });
}

async function readState(file: string): Promise<readonly LoggedStep[]> {
  const { log_history: history } = parseObject(await readText(file), true);
  if (!Array.isArray(history)) throw new SyntaxError('it has no "log_history"');
  return history.flatMap((entry: unknown) => {
    const { step, ...values } = toObject(entry);
    return describeStep(step, values);
  });
}

function describeStep(step: unknown, values: Readonly<Record<string, unknown>>): readonly LoggedStep[] {
  if (typeof step !== "number" || !Number.isSafeInteger(step) || step < 0) return [];
  const numbers = Object.entries(values).filter(
    (entry): entry is [string, number] => typeof entry[1] === "number",
  );
  return [{ step, numbers: Object.fromEntries(numbers) }];
}

function parseObject(text: string, isStrict = false): Readonly<Record<string, unknown>> {
  try {
    return toObject(parsePythonJson(text));
  } catch (cause) {
    if (isStrict) throw new SyntaxError("it is not whole JSON", { cause });
    return {};
  }
}

/** Names of the trainers' metrics, by the name that curves have here; the first that is there counts. */
const names: Readonly<Record<string, readonly string[]>> = {
  loss: ["loss", "train_loss", "actor/pg_loss", "policy_loss", "policy/policy_loss", "objective/loss"],
  gradientNorm: ["grad_norm", "actor/grad_norm", "policy/raw_grad_norm"],
  learningRate: ["learning_rate", "lr", "actor/lr", "actor_lr", "policy/policy_lr"],
  reward: [
    "reward",
    "rollout/reward_mean",
    "critic/rewards/mean",
    "critic/score/mean",
    "reward/avg_raw_reward",
    "objective/scores",
  ],
  klToStart: ["kl", "actor/kl_loss", "actor/ppo_kl", "objective/kl", "objective/kl_avg"],
  entropy: ["entropy", "actor/entropy", "policy/policy_entropy"],
  clipShare: ["clip_ratio/region_mean", "actor/pg_clipfrac", "clip_ratio"],
  evaluationLoss: ["eval_loss", "eval/loss", "val/loss"],
  tokenAccuracy: ["mean_token_accuracy"],
};

/**
 * A logged step as a line of a run's metrics: under the names that curves have, and all of it under `trainer`. What was no
 * finite number is missing.
 */
export function toMetrics({ step, numbers: logged }: LoggedStep): Readonly<Record<string, unknown>> {
  const numbers = Object.fromEntries(Object.entries(logged).filter(([, value]) => Number.isFinite(value)));
  const named = Object.entries(names).flatMap(([name, candidates]) => {
    const found = candidates.find((candidate) => logged[candidate] !== undefined);
    if (found === undefined || numbers[found] === undefined) return [];
    return [[name, name === "reward" ? { mean: numbers[found] } : numbers[found]]];
  });
  return { step, ...Object.fromEntries(named), trainer: numbers };
}
