/** Jobs carried out: the same plan is the same job, whoever asks, and what it has results of is not done again. */
import { availableParallelism, freemem } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { UsageError } from "../base/index.ts";
import { takeLock } from "../file/index.ts";
import {
  adoptResults,
  computeJobId,
  createExecExecutor,
  createKubernetesExecutor,
  createLocalExecutor,
  createSlurmExecutor,
  createSubmission,
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
  listHistory,
  obtainJob,
  type PlainRule,
  type Profile,
  placeSubmission,
  planGroups,
  renewJob,
  settleLeftovers,
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
    if (place.mode === "describe") throw new HandedOverError(await describeJob(plan, { rule, executor }), []);
    if (place.expected !== undefined) await requireSame(plan, place.expected);
    const known = await obtainJob(chooseJobsFolder(), { plan, origin: place.origin });
    const lock = await takeLock(known.locate(followLockName), `the job ${known.id}`);
    try {
      const job = await admitJob(known, plan, place);
      await hooks.prepare?.(job);
      await followToEnd(job, { executor, rule, place, effects, hooks });
      return job;
    } finally {
      await lock.release();
    }
  } finally {
    await executor.close();
  }
}

/** Takes a job over, unless it is somebody else's; what is recorded of it changes only then. */
async function admitJob(known: JobFolder, plan: JobPlan, place: JobPlace): Promise<JobFolder> {
  const { executor, profile, origin } = place;
  await settleLeftovers(known, { executor, host: profile.host });
  // Who gives the command wants it done, whatever became of it before; who attaches wants to see.
  const job = place.expected === known.id ? known : await renewJob(known, { plan, origin });
  if (place.expected === undefined) await forgiveJob(job);
  await adoptResults(chooseJobsFolder(), job);
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
    readonly place: JobPlace;
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
        if (place.mode === "detach" && progress.numDone < progress.numPieces) stop.abort();
      },
      onNotice: (notice) => effects.report({ kind: "notice", text: notice }),
    });
  } catch (error) {
    if (!(error instanceof DetachedError)) throw error;
    if (!isDetached(executor.name)) throw new StoppedError(describeAttach(job));
    const begin = executor.byHand === undefined ? "goes on without this terminal" : "is written down";
    const left = `Job ${job.id} ${begin}; look at it with untwist jobs, and wait for its result with: ${describeAttach(job)}`;
    throw place.mode === "detach"
      ? new HandedOverError(left, [job.id])
      : new StoppedError(describeAttach(job), left);
  }
}

const describeAttach = ({ id }: JobFolder): string => `untwist attach ${id}`;

function createRule({ profile }: JobPlace): PlainRule {
  const { cpus = 1, memory, time } = profile;
  return {
    leastSeconds,
    cores: cpus,
    bytes: memory,
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
        atMost: profile.atMost,
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
      return createSlurmExecutor({ profile, command, environment: listEnvironment() });
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

/** What giving the command would submit: without what is done, runs or waits already. */
async function describeJob(
  plan: JobPlan,
  { rule, executor }: { readonly rule: PlainRule; readonly executor: Executor },
): Promise<string> {
  const known = await findJob(chooseJobsFolder(), computeJobId(plan));
  const results = (await known?.listResults()) ?? new Set<number>();
  // Whoever gives the command wants what failed to be tried again.
  const before = ((await known?.readSubmissions()) ?? []).map((one) => ({ ...one, isForgiven: true }));
  const history = listHistory(before);
  const missing = plan.pieces
    .map((piece, index) => ({ index, piece }))
    .filter(({ index }) => !results.has(index));
  const wanted = missing.filter(({ index }) => history.get(index)?.isOpen !== true);
  const { groups } = await planGroups(wanted, { history, rule, executor });
  const texts = await Promise.all(
    groups.map(async (group, offset) => {
      const submission = createSubmission(group, { number: before.length + offset, executor: executor.name });
      return await executor.describe(
        known === undefined
          ? { ...submission, job: "JOB", made: "TIME", folder: join(chooseJobsFolder(), "JOB") }
          : placeSubmission(known, submission),
      );
    }),
  );
  const numPacks = groups.reduce((sum, { packs }) => sum + packs.length, 0);
  const seconds = wanted.reduce((sum, { piece }) => sum + piece.seconds, 0);
  const others = [
    ...(results.size === 0 ? [] : [`${results.size} more are done`]),
    ...(missing.length === wanted.length ? [] : [`${missing.length - wanted.length} more are under way`]),
  ].join(", ");
  const head = `${countNoun(wanted.length, "piece")} of ${plan.kind}${others === "" ? "" : ` (${others})`} in ${countNoun(numPacks, "pack")}, about ${formatHours(seconds)} of one core`;
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
