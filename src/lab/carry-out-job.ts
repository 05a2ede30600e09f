/** Jobs carried out: the same plan is the same job, whoever asks, and what it has results of is not done again. */
import { availableParallelism, freemem } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { UsageError } from "../base/index.ts";
import {
  createExecExecutor,
  createLocalExecutor,
  createSlurmExecutor,
  DetachedError,
  type Executor,
  followJob,
  type JobFolder,
  type JobOrigin,
  type JobPlan,
  type JobProgress,
  obtainJob,
  type PackRule,
  type Profile,
  packPieces,
} from "../job/index.ts";
import { chooseCacheFolder } from "./cache-folder.ts";
import { type Effects, StoppedError } from "./effects.ts";

/** Who can carry out jobs. */
export const executorNames = ["local", "slurm", "exec"] as const;

/** The name of an executor. */
export type ExecutorName = (typeof executorNames)[number];

/** Where a job is carried out, and how it is looked after. */
export interface JobPlace {
  readonly executor: ExecutorName;
  readonly profile: Profile;
  /** Of a local executor: memory of all its processes together. Default: half of what is free. */
  readonly bytes?: number | undefined;
  readonly origin: JobOrigin;
  /** Followed to its end, only handed over, or only described. */
  readonly mode: "follow" | "detach" | "describe";
  readonly intervalMs: number;
}

/** Thrown when a job was handed over or described, as was asked: there is no result yet. */
export class HandedOverError extends Error {
  override readonly name = "HandedOverError";
}

/** Where jobs are kept: the cache folder, which all nodes of a cluster must see under the same path. */
export function chooseJobsFolder(): string {
  return join(chooseCacheFolder(), "jobs");
}

/** What a kind of work does beside waiting. */
export interface JobHooks {
  /** Called before anything is submitted. */
  readonly prepare?: (job: JobFolder) => Promise<void>;
  /** Called for each piece that has a result, once, as soon as it is seen. */
  readonly onResult?: (job: JobFolder, piece: number) => Promise<void>;
}

/** Packs that take less are put together. */
const leastSeconds = 30;

/**
 * Brings the job of a plan to its end: the same plan is the same job, and what it has results of is not done again. Throws
 * `HandedOverError` where more was not asked for, `StoppedError` when it is left, `UsageError` with the reason where it fails.
 */
export async function carryOutJob(
  plan: JobPlan,
  place: JobPlace,
  effects: Effects,
  hooks: JobHooks = {},
): Promise<JobFolder> {
  const executor = openExecutor(place);
  const rule = createRule(place);
  try {
    if (place.mode === "describe") throw new HandedOverError(await describeJob(plan, rule, executor));
    const { isDetached } = await executor.capabilities();
    const job = await obtainJob(chooseJobsFolder(), { plan, origin: place.origin });
    await hooks.prepare?.(job);
    const stop = new AbortController();
    const forward = (): void => stop.abort();
    effects.signal.addEventListener("abort", forward);
    const report = createReporter(effects);
    try {
      await followJob(job, {
        executor,
        rule,
        intervalMs: place.intervalMs,
        signal: stop.signal,
        onResult: async (piece) => await hooks.onResult?.(job, piece),
        onProgress: (progress) => {
          report(progress);
          if (place.mode === "detach" && progress.numDone < progress.numPieces) stop.abort();
        },
        onNotice: (text) => effects.report({ kind: "notice", text }),
      });
      return job;
    } catch (error) {
      if (!(error instanceof DetachedError)) throw error;
      if (!isDetached) throw new StoppedError(describeAttach(job));
      const text = `Job ${job.id} goes on without this terminal; look at it with untwist jobs, and wait for its result with: ${describeAttach(job)}`;
      throw place.mode === "detach" ? new HandedOverError(text) : new LeftError(text);
    } finally {
      effects.signal.removeEventListener("abort", forward);
    }
  } finally {
    await executor.close();
  }
}

/** Work was left, not stopped: it goes on elsewhere. */
class LeftError extends StoppedError {
  constructor(text: string) {
    super("");
    this.message = text;
  }
}

const describeAttach = ({ id }: JobFolder): string => `untwist attach ${id}`;

function createRule({ executor, profile }: JobPlace): Omit<PackRule, "raise"> {
  const { cpus = 1, memory, time } = profile;
  return {
    leastSeconds,
    cores: cpus,
    bytes: executor === "local" ? undefined : memory,
    seconds: time,
  };
}

/** How this program is started to carry out a pack. */
function listWorkCommand(): readonly string[] {
  return [process.execPath, fileURLToPath(new URL("../../bin/untwist.js", import.meta.url)), "work"];
}

/** Opens an executor. Whoever opens it closes it. */
export function openExecutor({
  executor,
  profile,
  bytes,
}: Pick<JobPlace, "executor" | "profile" | "bytes">): Executor {
  const command = listWorkCommand();
  switch (executor) {
    case "local":
      return createLocalExecutor({
        cores: Math.max(availableParallelism(), profile.cpus ?? 1),
        bytes: bytes ?? freemem() / 2,
        command,
      });
    case "exec": {
      const { exec: line, atMost = availableParallelism() } = profile;
      if (line === undefined)
        throw new UsageError(
          "Cannot use --on exec without a line that carries out a command: give it, as in --set exec='srun -n1 {command}'",
        );
      return createExecExecutor({ line, atMost, command });
    }
    case "slurm":
      return createSlurmExecutor({ profile, command });
  }
}

async function describeJob(
  { pieces, ...plan }: JobPlan,
  rule: Omit<PackRule, "raise">,
  executor: Executor,
): Promise<string> {
  const raise = (): { bytes: number; seconds: number } => ({ bytes: 1, seconds: 1 });
  const wanted = pieces.map((piece, index) => ({ index, piece }));
  const groups = packPieces(wanted, { ...rule, raise });
  const texts = await Promise.all(
    groups.map((group, number) =>
      executor.describe({
        ...group,
        number,
        executor: executor.name,
        job: "JOB",
        folder: join(chooseJobsFolder(), "JOB"),
      }),
    ),
  );
  const numPacks = groups.reduce((sum, { packs }) => sum + packs.length, 0);
  const seconds = pieces.reduce((sum, piece) => sum + piece.seconds, 0);
  const head = `${pieces.length} pieces of ${plan.kind} in ${numPacks} packs, about ${formatHours(seconds)} of one core`;
  return [head, ...texts].join("\n\n");
}

function formatHours(seconds: number): string {
  if (seconds < 120) return `${Math.ceil(seconds)} seconds`;
  return seconds < 7200 ? `${Math.ceil(seconds / 60)} minutes` : `${(seconds / 3600).toFixed(1)} hours`;
}

function createReporter(effects: Effects): (progress: JobProgress) => void {
  const startMs = effects.now();
  let start: number | undefined;
  return ({ numDone, numPieces, doneFraction, packs }) => {
    start ??= doneFraction;
    const gained = doneFraction - start;
    const remainingMs = ((effects.now() - startMs) * (1 - doneFraction)) / gained;
    const { numRunning = 0, numWaiting = 0, reason } = packs ?? {};
    const waiting =
      numWaiting === 0 ? "" : `, ${numWaiting} waiting${reason === undefined ? "" : ` (${reason})`}`;
    const what = `${numDone} of ${numPieces} pieces, ${numRunning} packs running${waiting}`;
    effects.report({ kind: "progress", work: "job", what, doneFraction, ...(gained > 0 && { remainingMs }) });
  };
}
