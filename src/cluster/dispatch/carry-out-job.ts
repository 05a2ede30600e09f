/** Jobs carried out: the same plan is the same job, whoever asks, and what it has results of is not done again. */
import { rm } from "node:fs/promises";
import { action, UsageError } from "../../base/core/index.ts";
import { takeLock } from "../../base/file/index.ts";
import { type Effects, StoppedError } from "../../base/progress/index.ts";
import { type Executor, isDetached } from "../executor/index.ts";
import {
  adoptResults,
  computeJobId,
  DetachedError,
  findJob,
  followJob,
  forgiveJob,
  isOpen,
  type JobFolder,
  type JobPlan,
  type JobProgress,
  obtainJob,
  type PlainRule,
  renewJob,
  settleLeftovers,
} from "../job/index.ts";
import { countNoun, describeJob } from "./describe-job.ts";
import { createRule, type JobOptions, locateJobs } from "./job-options.ts";
import { openExecutor } from "./open-executor.ts";

/** The file of a job that says who follows it. */
export const followLockName = "follow.lock";

/** Thrown when jobs were handed over or described, as was asked: there is no result yet. */
export class HandedOverError extends Error {
  override readonly name = "HandedOverError";
  /** Those that were handed over. */
  readonly jobs: readonly string[];

  constructor(text: string, jobs: readonly string[]) {
    super(text);
    this.jobs = jobs;
  }
}

/** What a kind of work does beside waiting. */
export interface JobHooks {
  /** Called before anything is submitted. */
  readonly prepare?: (job: JobFolder) => Promise<void>;
  /** Called for each piece that has a result, once, as soon as it is seen. */
  readonly onResult?: (job: JobFolder, piece: number) => Promise<void>;
}

/**
 * Brings the job of a plan to its end: the same plan is the same job, and what it has results of is not done again. Throws
 * `HandedOverError` where more was not asked for, `StoppedError` when it is left, `UsageError` with the reason where it fails.
 */
export async function carryOutJob(
  plan: JobPlan,
  place: JobOptions,
  effects: Effects,
  hooks: JobHooks = {},
): Promise<JobFolder> {
  const executor = openExecutor(place, effects.machine);
  const rule = createRule(place);
  const home = locateJobs(effects.machine);
  try {
    if (place.mode === "describe")
      throw new HandedOverError(await describeJob(plan, { rule, executor, home }), []);
    if (place.expected !== undefined) await requireSame(plan, place.expected, home);
    const isNew = (await findJob(home, computeJobId(plan))) === undefined;
    const known = await obtainJob(home, { plan, origin: place.origin });
    // From here on others may see it as under way, and cancel it.
    const cancellation = isNew ? undefined : await known.readCancellation();
    const lock = await takeLock(known.locate(followLockName), `the job ${known.id}`);
    try {
      const job = await admitJob(known, { plan, place, home, cancellation });
      await hooks.prepare?.(job);
      await followToEnd(job, { executor, rule, place, effects, hooks });
      return job;
    } catch (error) {
      if (isNew && error instanceof UsageError && (await isUntouched(known)))
        await rm(known.path, { recursive: true, force: true });
      throw error;
    } finally {
      await lock.release();
    }
  } finally {
    await executor.close();
  }
}

/** Whether nobody ever took anything of it: then there is nothing to come back to. */
async function isUntouched(job: JobFolder): Promise<boolean> {
  if (await job.isCancelled()) return false;
  const submissions = await job.readSubmissions();
  const ends = submissions.flatMap(({ packs, ended }) => packs.map((_, pack) => ended[pack]));
  return (await job.listResults()).size === 0 && ends.every((end) => end?.isForgiven === true);
}

/** Takes a job over, unless it is somebody else's; what is recorded of it changes only then. */
async function admitJob(
  known: JobFolder,
  {
    plan,
    place,
    home,
    cancellation,
  }: {
    readonly plan: JobPlan;
    readonly place: JobOptions;
    readonly home: string;
    /** The one that there was before this command. */
    readonly cancellation: string | undefined;
  },
): Promise<JobFolder> {
  const { executor, profile, origin } = place;
  await settleLeftovers(known, { executor, host: profile.host });
  // Who gives the command wants it done, whatever became of it before; who attaches wants to see.
  const job = place.expected === known.id ? known : await renewJob(known, { plan, origin });
  if (place.expected === undefined) await forgiveJob(job, { cancellation });
  await adoptResults(home, job);
  return job;
}

async function followToEnd(
  job: JobFolder,
  {
    executor,
    rule,
    place,
    effects,
    hooks,
  }: {
    readonly executor: Executor;
    readonly rule: PlainRule;
    readonly place: JobOptions;
    readonly effects: Effects;
    readonly hooks: JobHooks;
  },
): Promise<void> {
  const stop = new AbortController();
  const report = createReporter(effects);
  let text = await introduce(job, executor);
  try {
    await followJob(job, {
      executor,
      rule,
      intervalMs: place.intervalMs,
      signal: AbortSignal.any([effects.signal, stop.signal]),
      onResult: async (piece) => await hooks.onResult?.(job, piece),
      onProgress: (progress) => {
        if (text !== undefined) effects.report({ kind: "notice", text });
        text = undefined;
        report(progress);
        // What can never start is told before it is left alone.
        const isSeen = progress.packs.numRunning + progress.packs.numWaiting > 0;
        const isLeft = place.mode === "detach" && (isSeen || executor.byHand !== undefined);
        if (isLeft && progress.numDone < progress.numPieces) stop.abort();
      },
      onNotice: (notice) => effects.report({ kind: "notice", text: notice }),
    });
  } catch (error) {
    if (!(error instanceof DetachedError)) throw error;
    const attach = action("attach", job.id);
    if (!isDetached(executor.name)) throw new StoppedError(attach);
    const begin = executor.byHand === undefined ? "continues without this terminal" : "is written down";
    const left = `Job ${job.id} ${begin}; look at it with ${action("list jobs")}, and wait for its result with: ${attach}`;
    throw place.mode === "detach" ? new HandedOverError(left, [job.id]) : new StoppedError(attach, left);
  }
}

/**
 * Throws `UsageError` where a job that somebody attaches to is another by now. A command may have several jobs, and go on with a next
 * one where that one is done.
 */
async function requireSame(plan: JobPlan, expected: string, home: string): Promise<void> {
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
