/** A job brought to its end: what has no result is submitted, looked after, and submitted again where that may help. */
import { setTimeout as wait } from "node:timers/promises";
import { action, describeError, UsageError } from "../../base/core/index.ts";
import {
  type Cause,
  type Executor,
  isDetached,
  listPlacedPacks,
  type PackState,
  type PlacedSubmission,
  UnreachableError,
} from "../executor/index.ts";
import { isOpen, type JobFolder, type KeptSubmission, placeSubmission } from "./job-folder.ts";
import type { PlainRule } from "./plan-groups.ts";
import { submitMissing, takeBack } from "./submit-missing.ts";

/** How far a job is. */
export interface JobProgress {
  readonly numDone: number;
  readonly numPieces: number;
  /** By the estimates of the pieces. */
  readonly doneFraction: number;
  /** Packs that run and wait, and the scheduler's reason for the first that waits. */
  readonly packs: { readonly numRunning: number; readonly numWaiting: number; readonly reason?: string };
}

/** How a job is looked after. */
export interface FollowOptions {
  readonly executor: Executor;
  /** What the packs are made by, but for what was learned from failures. */
  readonly rule: PlainRule;
  /** The least time between two questions to the scheduler, in milliseconds; it grows where nothing changes. */
  readonly intervalMs: number;
  readonly signal: AbortSignal;
  /** Called for each piece that has a result, once, as soon as it is seen. */
  readonly onResult?: ((piece: number) => Promise<void>) | undefined;
  readonly onProgress: (progress: JobProgress) => void;
  readonly onNotice: (text: string) => void;
}

/** Following was given up; the job goes on where its executor is detached. */
export class DetachedError extends Error {
  override readonly name = "DetachedError";
}

/** The scheduler is asked this many times less often, at most, where nothing changes. */
const mostPatience = 6;

/** Longest time between two looks for results, which ask nobody. */
const mostWaitMs = 1000;

/**
 * Follows a job until every piece has its result. Throws `UsageError` with the reason of the first piece that failed for good, when
 * all others have ended; `DetachedError` when aborted; `UnreachableError` where the scheduler does not answer the first look: later it is
 * waited for.
 */
export async function followJob(job: JobFolder, options: FollowOptions): Promise<void> {
  const { executor, signal, intervalMs, onNotice } = options;
  const look = createLook(job, options);
  let watch = unwatched;
  for (;;) {
    if (signal.aborted) throw new DetachedError(`Left job ${job.id}`);
    const { size } = await job.listResults();
    // Results are files, and cheap to look for; a scheduler has others to serve.
    const isDone = size >= job.plan.pieces.length;
    const wanted = intervalMs * (isDetached(executor.name) && size === watch.numSeen ? watch.patience : 1);
    if (isDone || performance.now() - watch.lookedAt >= wanted) {
      const looked = await lookAgain(
        look,
        { ...watch, numSeen: size, lookedAt: performance.now() },
        onNotice,
      );
      if (looked === undefined) return;
      watch = looked;
    }
    await wait(Math.min(intervalMs, mostWaitMs), undefined, { signal }).catch(() => undefined);
  }
}

/** What is known of a job between two looks. */
interface Watch {
  /** How many times less often than it might be the scheduler is asked. */
  readonly patience: number;
  /** What the last look found; `undefined` before the first. */
  readonly change: string | undefined;
  /** Whether the scheduler did not answer the last look. */
  readonly isSilent: boolean;
  readonly lookedAt: number;
  /** Results at that time. */
  readonly numSeen: number;
}

const unwatched: Watch = {
  patience: 1,
  change: undefined,
  isSilent: false,
  lookedAt: Number.NEGATIVE_INFINITY,
  numSeen: -1,
};

function noteChange(watch: Watch, change: string): Watch {
  const patience = change === watch.change ? Math.min(mostPatience, watch.patience * 1.5) : 1;
  return { ...watch, patience, change, isSilent: false };
}

function noteSilence(watch: Watch): Watch {
  return { ...watch, patience: mostPatience / 2, isSilent: true };
}

/** Looks, and bears with a scheduler that has answered before; `undefined` where the job is done. */
async function lookAgain(
  look: Look,
  watch: Watch,
  onNotice: FollowOptions["onNotice"],
): Promise<Watch | undefined> {
  try {
    const { isDone, change } = await look();
    return isDone ? undefined : noteChange(watch, change);
  } catch (error) {
    if (!(error instanceof UnreachableError) || watch.change === undefined) throw error;
    if (!watch.isSilent) onNotice(`${describeError(error)}; looking again`);
    return noteSilence(watch);
  }
}

type Look = () => Promise<{ readonly isDone: boolean; readonly change: string }>;

/** One look at the job: its results, its packs, and what to do about them. */
function createLook(job: JobFolder, options: FollowOptions): Look {
  const { executor, onProgress, onNotice } = options;
  // A shared file system may show a result later than the scheduler shows its end.
  let endedBefore: ReadonlySet<string> = new Set();
  const ghosts = createGhostWatch(executor);
  const tell = createTeller(options);
  return async () => {
    const isDone = await isFinished(job);
    if (!isDone) await refuseCancelled(job);
    const kept = await job.readSubmissions();
    const open = isDone ? [] : kept.filter((one) => one.executor === executor.name && isOpen(one));
    const placed = open.map((one) => placeSubmission(job, one));
    const states = placed.length === 0 ? [] : await executor.poll(placed);
    await refuseHopeless(job, { open, states, executor });
    // Results are listed after the states: what has ended by then has written what it will.
    const results = await job.listResults();
    await ghosts(placed, states, results);
    await tell(results);
    const { settled, failed, ended } = findEnds({ open, states, results }, endedBefore);
    for (const submission of settled) await job.keepSubmission(submission);
    for (const text of describeEnds(job, failed, results)) onNotice(text);
    endedBefore = ended;
    const current = await job.readSubmissions();
    // The scheduler may have taken its time to answer.
    if (!isDone) await refuseCancelled(job);
    const submitted = await submitMissing(job, { ...options, current, results });
    if (await job.isCancelled()) for (const one of submitted) await takeBack(job, one, options);
    const progress = describeProgress(job, results, states);
    onProgress(progress);
    const isOver = submitted.length === 0 && !current.some(isOpen);
    const hasAll = results.size >= job.plan.pieces.length;
    if (isOver && !hasAll) throw await describeFailure(job, results, executor);
    return {
      isDone: hasAll,
      change: `${results.size} ${progress.packs.numRunning} ${submitted.length}`,
    };
  };
}

/** Says of each piece once that it has its result, in the order of the pieces. */
function createTeller({ onResult }: FollowOptions): (results: ReadonlySet<number>) => Promise<void> {
  const told = new Set<number>();
  return async (results) => {
    for (const piece of [...results].sort((a, b) => a - b)) {
      if (!told.has(piece)) await onResult?.(piece);
      told.add(piece);
    }
  };
}

async function refuseCancelled(job: JobFolder): Promise<void> {
  if (await job.isCancelled())
    throw new UsageError(`The job ${job.id} was cancelled; go on with: ${action("retry", job.id)}`);
}

async function isFinished(job: JobFolder): Promise<boolean> {
  return (await job.listResults()).size >= job.plan.pieces.length;
}

/** Takes back what would wait forever. Throws `UsageError` that says what to do about it. */
async function refuseHopeless(
  job: JobFolder,
  {
    open,
    states,
    executor,
  }: {
    readonly open: readonly KeptSubmission[];
    readonly states: readonly (readonly PackState[])[];
    readonly executor: Executor;
  },
): Promise<void> {
  let problem: string | undefined;
  for (const [position, submission] of open.entries()) {
    const hopeless = (states[position] ?? []).flatMap((state, pack) => {
      if (state.kind !== "waiting" || state.advice === undefined) return [];
      problem ??= `${state.reason}; ${state.advice}`;
      return [pack];
    });
    if (hopeless.length > 0) await takeBack(job, submission, { executor, packs: hopeless });
  }
  if (problem !== undefined)
    throw new UsageError(`The job ${job.id} would wait forever, says ${executor.name}: ${problem}`);
}

/** What has all its results and still runs, after so long, is a ghost: its end was lost with a controller's memory. */
const ghostMs = 10_000;

/** Cancels ghosts, which would keep others from running. */
function createGhostWatch(
  executor: Executor,
): (
  submissions: readonly PlacedSubmission[],
  states: readonly (readonly PackState[])[],
  results: ReadonlySet<number>,
) => Promise<void> {
  const since = new Map<string, number>();
  return async (submissions, states, results) => {
    const found = listPlacedPacks(submissions).filter(({ submission, pack }) => {
      const state = states[submissions.indexOf(submission)]?.[pack];
      const isGhost =
        state?.kind === "running" && submission.packs[pack]?.every((piece) => results.has(piece)) === true;
      const key = `${submission.number} ${pack}`;
      if (!isGhost) {
        since.delete(key);
        return false;
      }
      const first = since.get(key) ?? performance.now();
      since.set(key, first);
      return performance.now() - first > ghostMs;
    });
    if (found.length > 0) await executor.cancel(found);
  };
}

interface EndedPack {
  readonly key: string;
  readonly pack: number;
  readonly state: { readonly cause: Cause; readonly node?: string };
  readonly isDone: boolean;
}

/** Packs of a submission that have ended and are not known to have. */
function listEnded(
  { number, packs, ended }: KeptSubmission,
  states: readonly PackState[],
  results: ReadonlySet<number>,
): readonly EndedPack[] {
  return packs.flatMap((pieces, pack) => {
    const state = states[pack];
    if (String(pack) in ended || state === undefined) return [];
    const isDone = pieces.every((piece) => results.has(piece));
    if (state.kind !== "ended") return [];
    const { cause, node } = state;
    const how = { cause: isDone ? ("completed" as const) : cause, ...(node !== undefined && { node }) };
    return [{ key: `${number} ${pack}`, pack, state: how, isDone }];
  });
}

/** What the scheduler says of packs, and the results that were there after it. */
interface Poll {
  readonly open: readonly KeptSubmission[];
  /** Of each of `open`. */
  readonly states: readonly (readonly PackState[])[];
  readonly results: ReadonlySet<number>;
}

/** What has ended since the look before. */
interface Ends {
  /** Submissions with ends to be kept. */
  readonly settled: readonly KeptSubmission[];
  readonly failed: readonly FailedPack[];
  /** Keys of all packs that have ended, also of those whose results may still show. */
  readonly ended: ReadonlySet<string>;
}

/** The ends that hold: of packs with all their results, and of those that had ended at the look before. */
function findEnds({ open, states, results }: Poll, endedBefore: ReadonlySet<string>): Ends {
  const settled: KeptSubmission[] = [];
  const failed: FailedPack[] = [];
  const endedNow = new Set<string>();
  for (const [position, submission] of open.entries()) {
    const ended = listEnded(submission, states[position] ?? [], results);
    for (const { key } of ended) endedNow.add(key);
    const sure = ended.filter(({ key, isDone }) => isDone || endedBefore.has(key));
    if (sure.length === 0) continue;
    const now = Object.fromEntries(sure.map(({ pack, state }) => [pack, state]));
    settled.push({ ...submission, ended: { ...submission.ended, ...now } });
    for (const { pack, state, isDone } of sure)
      if (!isDone) failed.push({ pieces: submission.packs[pack] ?? [], ...state });
  }
  return { settled, failed, ended: endedNow };
}

function describeProgress(
  job: JobFolder,
  results: ReadonlySet<number>,
  states: readonly (readonly PackState[])[],
): JobProgress {
  const { pieces } = job.plan;
  const total = pieces.reduce((sum, { seconds }) => sum + seconds, 0);
  const done = pieces.reduce((sum, { seconds }, index) => sum + (results.has(index) ? seconds : 0), 0);
  const all = states.flat();
  const waiting = all.flatMap((state) => (state.kind === "waiting" ? [state] : []));
  const reason = waiting.find((one) => one.reason !== undefined && one.reason !== "None")?.reason;
  return {
    numDone: results.size,
    numPieces: pieces.length,
    doneFraction: total === 0 ? results.size / pieces.length : done / total,
    packs: {
      numRunning: all.filter(({ kind }) => kind === "running").length,
      numWaiting: waiting.length,
      ...(reason !== undefined && { reason }),
    },
  };
}

const causeTexts: Readonly<Record<Cause, string>> = {
  completed: "ended without all results",
  failed: "its process failed",
  memory: "ran out of memory",
  time: "ran out of time",
  node: "lost with the node",
  cancelled: "cancelled",
};

/** A pack that ended without all of its results. */
interface FailedPack {
  readonly pieces: readonly number[];
  readonly cause: Cause;
  readonly node?: string;
}

/** Which pieces have no result, and why: a line for all that ended alike. */
function describeEnds(
  job: JobFolder,
  failed: readonly FailedPack[],
  results: ReadonlySet<number>,
): readonly string[] {
  const byReason = new Map<string, number[]>();
  for (const { pieces, cause, node } of failed) {
    const reason = `${causeTexts[cause]}${node === undefined ? "" : ` on ${node}`}`;
    const missing = pieces.filter((piece) => !results.has(piece));
    byReason.set(reason, [...(byReason.get(reason) ?? []), ...missing]);
  }
  return [...byReason].map(([reason, [first = 0, ...others]]) => {
    const more = others.length > 0 ? ` and ${others.length} more` : "";
    return `${job.plan.pieces[first]?.name}${more}: ${reason}`;
  });
}

/** Why the job cannot be brought to its end: the first piece without a result, its reason, and its log's last lines. */
async function describeFailure(
  job: JobFolder,
  results: ReadonlySet<number>,
  executor: Executor,
): Promise<UsageError> {
  const missing = [...job.plan.pieces.keys()].filter((index) => !results.has(index));
  const [first = 0] = missing;
  const failure = await job.readFailure(first);
  const submissions = await job.readSubmissions();
  const last = submissions.findLast(({ packs }) => packs.some((pieces) => pieces.includes(first)));
  const pack = last?.packs.findIndex((pieces) => pieces.includes(first)) ?? 0;
  const end = last?.ended[pack];
  const placed: PlacedSubmission | undefined = last && placeSubmission(job, last);
  const log = placed === undefined ? "" : await executor.logs(placed, pack);
  // Where in a program it happened is for the log itself.
  const lines = log.split("\n").filter((line) => line.trim() !== "" && !/^\s+at /.test(line));
  const words = lines.slice(-3).join(" | ");
  const node = failure?.node || end?.node;
  const reason = failure?.message ?? causeTexts[end?.cause ?? "failed"];
  return new UsageError(
    `${missing.length} of ${job.plan.pieces.length} pieces of job ${job.id} have no result. ${job.plan.pieces[first]?.name}${node === undefined ? "" : ` on ${node}`}: ${reason}${words === "" ? "" : `; its log ends: ${words}`}${placed === undefined || executor.byHand !== undefined ? "" : `; all of it is in ${job.locate("logs")}`}; put it right, then: ${action("retry", job.id)}`,
  );
}
