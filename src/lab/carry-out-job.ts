/** Jobs carried out: the same plan is the same job, whoever asks, and what it has results of is not done again. */
import { availableParallelism, freemem } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { UsageError } from "../base/index.ts";
import { takeLock } from "../file/index.ts";
import {
  computeJobId,
  createExecExecutor,
  createKubernetesExecutor,
  createLocalExecutor,
  createSlurmExecutor,
  DetachedError,
  type Executor,
  type ExecutorName,
  findJob,
  followJob,
  forgiveJob,
  isDetached,
  isOpen,
  type JobFolder,
  type JobOrigin,
  type JobPlan,
  type JobProgress,
  type Learned,
  obtainJob,
  type PackRule,
  type Profile,
  packPieces,
} from "../job/index.ts";
import { chooseCacheFolder } from "./cache-folder.ts";
import { type Effects, StoppedError } from "./effects.ts";

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
  /** The job that this is to be, where somebody attaches to one. */
  readonly expected?: string | undefined;
}

/** The file of a job that says who follows it. */
export const followLockName = "follow.lock";

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
    if (place.mode === "describe") {
      const known = await findJob(chooseJobsFolder(), computeJobId(plan));
      throw new HandedOverError(
        await describeJob(plan, { rule, executor, results: (await known?.listResults()) ?? new Set() }),
      );
    }
    if (place.expected !== undefined) await requireSame(plan, place.expected);
    const job = await obtainJob(chooseJobsFolder(), { plan, origin: place.origin });
    const lock = await takeLock(job.locate(followLockName), `the job ${job.id}`);
    const stop = new AbortController();
    const signal = AbortSignal.any([effects.signal, stop.signal]);
    const report = createReporter(effects);
    try {
      // Who gives the command wants it done, whatever became of it before; who attaches wants to see.
      if (place.expected === undefined) await forgiveJob(job);
      await hooks.prepare?.(job);
      let text = await introduce(job, executor);
      await followJob(job, {
        executor,
        rule,
        intervalMs: place.intervalMs,
        signal,
        onResult: async (piece) => await hooks.onResult?.(job, piece),
        onProgress: (progress) => {
          if (text !== undefined) effects.report({ kind: "notice", text });
          text = undefined;
          report(progress);
          if (place.mode === "detach" && progress.numDone < progress.numPieces) stop.abort();
        },
        onNotice: (text) => effects.report({ kind: "notice", text }),
      });
      return job;
    } catch (error) {
      if (!(error instanceof DetachedError)) throw error;
      if (!isDetached(executor.name)) throw new StoppedError(describeAttach(job));
      const begin = executor.byHand === undefined ? "goes on without this terminal" : "is written down";
      const text = `Job ${job.id} ${begin}; look at it with untwist jobs, and wait for its result with: ${describeAttach(job)}`;
      throw place.mode === "detach" ? new HandedOverError(text) : new StoppedError(describeAttach(job), text);
    } finally {
      await lock.release();
    }
  } finally {
    await executor.close();
  }
}

const describeAttach = ({ id }: JobFolder): string => `untwist attach ${id}`;

function createRule({ executor, profile }: JobPlace): Omit<PackRule, "learned"> {
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

/** What must be the same wherever work is done. */
function listEnvironment(): Readonly<Record<string, string>> {
  const { UNTWIST_LAPACK = "" } = process.env;
  return { UNTWIST_CACHE: chooseCacheFolder(), ...(UNTWIST_LAPACK !== "" && { UNTWIST_LAPACK }) };
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
    case "kubernetes":
      return createKubernetesExecutor({
        profile,
        command: ["node", ...command.slice(1)],
        environment: listEnvironment(),
      });
  }
}

/**
 * Throws `UsageError` where a job that somebody attaches to is another by now. A command may have several jobs, and go on with a next
 * one where that one is done.
 */
async function requireSame(plan: JobPlan, expected: string): Promise<void> {
  const home = chooseJobsFolder();
  if ((await findJob(home, computeJobId(plan))) !== undefined) return;
  const job = await findJob(home, expected);
  if (job !== undefined && (await job.listResults()).size === job.plan.pieces.length) return;
  throw new UsageError(
    `Cannot attach to job ${expected}: there are other checkpoints or settings by now than it was made for; cancel it, and give its command again`,
  );
}

/** What is submitted can be looked up, whatever becomes of this process. */
async function introduce(job: JobFolder, { name }: Executor): Promise<string | undefined> {
  const [numDone, numPieces] = [(await job.listResults()).size, job.plan.pieces.length];
  if (numDone === numPieces) return undefined;
  const isUnderWay = isDetached(name) && (await job.readSubmissions()).some(isOpen);
  const done = numDone === 0 ? "" : `, ${numDone} of them done`;
  const other = isUnderWay ? "; it is under way already, as it was submitted" : "";
  return `Job ${job.id}: ${countNoun(numPieces, "piece")}${done}${other}`;
}

async function describeJob(
  { pieces, kind }: JobPlan,
  {
    rule,
    executor,
    results,
  }: {
    readonly rule: Omit<PackRule, "learned">;
    readonly executor: Executor;
    readonly results: ReadonlySet<number>;
  },
): Promise<string> {
  const learned = (): Learned => ({ bytes: 1, seconds: 1, isAlone: false });
  const wanted = pieces.map((piece, index) => ({ index, piece })).filter(({ index }) => !results.has(index));
  const groups = packPieces(wanted, { ...rule, learned });
  const texts = await Promise.all(
    groups.map((group, number) =>
      executor.describe({
        ...group,
        number,
        executor: executor.name,
        job: "JOB",
        made: "TIME",
        ended: {},
        folder: join(chooseJobsFolder(), "JOB"),
      }),
    ),
  );
  const numPacks = groups.reduce((sum, { packs }) => sum + packs.length, 0);
  const seconds = wanted.reduce((sum, { piece }) => sum + piece.seconds, 0);
  const done = results.size === 0 ? "" : ` (${results.size} more are done)`;
  const head = `${countNoun(wanted.length, "piece")} of ${kind}${done} in ${countNoun(numPacks, "pack")}, about ${formatHours(seconds)} of one core`;
  return [head, ...texts].join("\n\n");
}

const countNoun = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`;

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
    const { numRunning, numWaiting, reason } = packs;
    const waiting =
      numWaiting === 0 ? "" : `, ${numWaiting} waiting${reason === undefined ? "" : ` (${reason})`}`;
    const what = `${numDone} of ${numPieces} pieces, ${countNoun(numRunning, "pack")} running${waiting}`;
    effects.report({ kind: "progress", work: "job", what, doneFraction, ...(gained > 0 && { remainingMs }) });
  };
}
