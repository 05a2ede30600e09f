/** What of a job is handed to its executor: what has no result, is in no open pack, and may still succeed. */
import { action, describeError, setting, UsageError } from "../../base/core/index.ts";
import {
  type Cause,
  type Executor,
  type ExecutorName,
  isDetached,
  listPlacedPacks,
  UnreachableError,
} from "../executor/index.ts";
import {
  createSubmission,
  isOpen,
  type JobFolder,
  type KeptSubmission,
  placeSubmission,
} from "./job-folder.ts";
import type { Piece } from "./job-plan.ts";
import type { PackGroup } from "./pack-pieces.ts";
import { listHistory, type PieceHistory, type PlainRule, planGroups } from "./plan-groups.ts";

/** How often a piece may end without its result, by cause, before it counts as failed. */
const mostAttempts: Readonly<Record<Cause, number>> = {
  // Ended well, without all results: as odd as a failure.
  completed: 2,
  failed: 2,
  memory: 4,
  time: 4,
  node: 6,
  cancelled: 1,
};

/** How what is missing is submitted. */
export interface SubmitOptions {
  readonly executor: Executor;
  readonly rule: PlainRule;
  readonly onNotice: (text: string) => void;
}

/** Submits what is missing. Returns what was submitted. Throws `UsageError` where it is refused, and then nothing of it stays. */
export async function submitMissing(
  job: JobFolder,
  {
    current,
    results,
    ...options
  }: SubmitOptions & { readonly current: readonly KeptSubmission[]; readonly results: ReadonlySet<number> },
): Promise<readonly KeptSubmission[]> {
  const { executor } = options;
  const history = listHistory(current);
  const wanted: { readonly index: number; readonly piece: Piece }[] = [];
  for (const [index, piece] of job.plan.pieces.entries()) {
    const own = history.get(index);
    if (results.has(index) || own?.isOpen === true) continue;
    // What a person has to hand over is theirs to try again.
    if (executor.byHand !== undefined && own !== undefined && own.counted.length > 0) continue;
    if (own === undefined || !(await isHopeless(job, index, own))) wanted.push({ index, piece });
  }
  const { groups, tooLong } = await planGroups(wanted, { ...options, history });
  for (const piece of tooLong) await giveUp(job, piece, tooLongText);
  return await submitGroups(job, { ...options, groups, history, current });
}

const tooLongText = `it takes longer than the partition allows; choose another by ${setting("profile", "partition=NAME")}, or more cores by ${setting("profile", "cpus=NUMBER")}`;

/** Nothing more is tried for a piece. */
async function giveUp(job: JobFolder, piece: number, message: string): Promise<void> {
  await job.keepFailure(piece, { message, isFinal: true, node: "" });
}

async function isHopeless(job: JobFolder, piece: number, { counted }: PieceHistory): Promise<boolean> {
  if (counted.length === 0) return false;
  if (counted.some((cause) => counted.filter((one) => one === cause).length >= mostAttempts[cause]))
    return true;
  return (await job.readFailure(piece))?.isFinal === true;
}

async function submitGroups(
  job: JobFolder,
  {
    groups,
    history,
    executor,
    current,
    onNotice,
  }: Omit<SubmitOptions, "rule"> & {
    readonly groups: readonly PackGroup[];
    readonly history: ReadonlyMap<number, PieceHistory>;
    readonly current: readonly KeptSubmission[];
  },
): Promise<readonly KeptSubmission[]> {
  const next = 1 + Math.max(-1, ...current.map(({ number }) => number));
  const made: KeptSubmission[] = [];
  for (const [offset, group] of groups.entries()) {
    const submission = createSubmission(group, { number: next + offset, executor: executor.name });
    // Written down before it is submitted, so that no pack is ever unknown.
    await job.keepSubmission(submission);
    try {
      const placed = placeSubmission(job, submission);
      await executor.submit(placed);
      made.push(submission);
      if (executor.byHand !== undefined) onNotice(`Start it by: ${executor.byHand.start(placed)}`);
    } catch (error) {
      // Whoever does not answer may have taken it all the same: the next look will tell.
      if (error instanceof UnreachableError) throw error;
      await takeBack(job, submission, { executor });
      const pieces = group.packs.flat();
      const isRaised = pieces.every((piece) => (history.get(piece)?.causes.length ?? 0) > 0);
      if (!(error instanceof UsageError) || !isRaised) {
        for (const earlier of made) await takeBack(job, earlier, { executor });
        throw error;
      }
      // More than before is not to be had: that is these pieces' end, and not that of the others.
      for (const piece of pieces) await giveUp(job, piece, describeError(error));
    }
  }
  return made;
}

/** Cancels packs of a submission, all unless some are named, which then count as never submitted. */
export async function takeBack(
  job: JobFolder,
  submission: KeptSubmission,
  { executor, packs }: { readonly executor: Executor; readonly packs?: readonly number[] },
): Promise<void> {
  const wanted = packs ?? [...submission.packs.keys()];
  const placed = listPlacedPacks([placeSubmission(job, submission)]);
  await executor.cancel(placed.filter(({ pack }) => wanted.includes(pack))).catch(() => undefined);
  await closePacks(job, submission, wanted);
}

/** Packs that are known to have ended stay as they are. */
async function closePacks(
  job: JobFolder,
  submission: KeptSubmission,
  packs: readonly number[],
): Promise<void> {
  const ends = packs.map((pack) => [pack, { cause: "cancelled" as const, isForgiven: true }]);
  await job.keepSubmission({ ...submission, ended: { ...Object.fromEntries(ends), ...submission.ended } });
}

/** Closes all packs of a job that was cancelled: what became of them is nobody's failure. */
export async function closeJob(job: JobFolder): Promise<void> {
  for (const submission of (await job.readSubmissions()).filter(isOpen))
    await closePacks(job, submission, [...submission.packs.keys()]);
}

/**
 * Closes what earlier processes left open that ended with them. Throws `UsageError` where another executor is at work that goes on by
 * itself, or the same one on another host.
 */
export async function settleLeftovers(
  job: JobFolder,
  { executor, host }: { readonly executor: ExecutorName; readonly host?: string | undefined },
): Promise<void> {
  if ((await job.listResults()).size >= job.plan.pieces.length) return;
  const isSame = (one: KeptSubmission): boolean => one.executor === executor && job.origin.host === host;
  for (const submission of (await job.readSubmissions()).filter(isOpen)) {
    const isLeft = isDetached(submission.executor);
    if (isLeft && isSame(submission)) continue;
    const at = job.origin.host === undefined ? "" : ` at ${job.origin.host}`;
    if (isLeft)
      throw new UsageError(
        `The job ${job.id} is carried out by ${submission.executor}${at}; wait for it with: ${action("attach", job.id)}, or end it before with: ${action("cancel", job.id)}`,
      );
    await closePacks(job, submission, [...submission.packs.keys()]);
  }
}
