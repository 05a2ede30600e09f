/** What of a job is handed to its executor: what has no result, is in no open pack, and may still succeed. */
import { UsageError } from "../base/index.ts";
import {
  type Cause,
  type Executor,
  type ExecutorName,
  isDetached,
  listPlacedPacks,
  UnreachableError,
} from "./executor.ts";
import { isOpen, type JobFolder, type KeptSubmission, placeSubmission } from "./job-folder.ts";
import type { Piece } from "./job-plan.ts";
import { type PackGroup, type PackRule, packPieces } from "./pack-pieces.ts";

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

interface Missing {
  readonly index: number;
  readonly piece: Piece;
}

/** Submits what is missing. Gives the number of packs. Throws `UsageError` where it is refused, and then nothing of it stays. */
export async function submitMissing(
  job: JobFolder,
  {
    executor,
    rule,
    current,
    results,
    onNotice,
  }: {
    readonly executor: Executor;
    readonly rule: Omit<PackRule, "learned">;
    readonly current: readonly KeptSubmission[];
    readonly results: ReadonlySet<number>;
    readonly onNotice: (text: string) => void;
  },
): Promise<number> {
  const history = listHistory(current);
  const wanted: Missing[] = [];
  for (const [index, piece] of job.plan.pieces.entries()) {
    const own = history.get(index);
    if (results.has(index) || own?.isOpen === true) continue;
    if (executor.byHand !== undefined && hasFailed(own)) continue;
    if (own === undefined || !(await isHopeless(job, index, own))) wanted.push({ index, piece });
  }
  const groups = packPieces(wanted, {
    ...rule,
    learned: (index) => {
      const causes = history.get(index)?.causes ?? [];
      const count = (cause: Cause): number => causes.filter((one) => one === cause).length;
      return { bytes: 2 ** count("memory"), seconds: 2 ** count("time"), isAlone: causes.length > 0 };
    },
  });
  return await submitGroups(job, { groups, history, executor, current, onNotice });
}

/** What became of a piece so far. */
interface PieceHistory {
  readonly isOpen: boolean;
  /** How its packs ended, those included that were forgiven. */
  readonly causes: readonly Cause[];
  /** Those that count. */
  readonly counted: readonly Cause[];
}

function listHistory(submissions: readonly KeptSubmission[]): ReadonlyMap<number, PieceHistory> {
  const history = new Map<number, PieceHistory>();
  for (const { packs, ended, isForgiven } of submissions)
    for (const [pack, pieces] of packs.entries()) {
      const end = ended[pack];
      for (const piece of pieces) {
        const {
          isOpen: wasOpen,
          causes,
          counted,
        } = history.get(piece) ?? {
          isOpen: false,
          causes: [],
          counted: [],
        };
        const added = end === undefined || end.isForgiven === true ? [] : [end.cause];
        history.set(piece, {
          isOpen: wasOpen || end === undefined,
          causes: [...causes, ...added],
          counted: isForgiven ? counted : [...counted, ...added],
        });
      }
    }
  return history;
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
  }: {
    readonly groups: readonly PackGroup[];
    readonly history: ReadonlyMap<number, PieceHistory>;
    readonly executor: Executor;
    readonly current: readonly KeptSubmission[];
    readonly onNotice: (text: string) => void;
  },
): Promise<number> {
  const next = 1 + Math.max(-1, ...current.map(({ number }) => number));
  const made: KeptSubmission[] = [];
  for (const [offset, group] of groups.entries()) {
    const submission: KeptSubmission = {
      number: next + offset,
      executor: executor.name,
      packs: group.packs.map((pack) => [...pack]),
      resources: { ...group.resources },
      ended: {},
      isForgiven: false,
    };
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
      if (!(error instanceof UsageError) || !pieces.every((piece) => hasFailed(history.get(piece)))) {
        for (const earlier of made) await takeBack(job, earlier, { executor });
        throw error;
      }
      // More than before is not to be had: that is these pieces' end, and not that of the others.
      for (const piece of pieces)
        await job.keepFailure(piece, { message: error.message, isFinal: true, node: "" });
    }
  }
  return made.reduce((sum, { packs }) => sum + packs.length, 0);
}

const hasFailed = (history: PieceHistory | undefined): boolean => (history?.counted.length ?? 0) > 0;

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
 * itself.
 */
export async function settleLeftovers(
  job: JobFolder,
  { name }: { readonly name: ExecutorName },
): Promise<void> {
  for (const submission of (await job.readSubmissions()).filter(isOpen)) {
    const isLeft = isDetached(submission.executor);
    if (submission.executor === name && isLeft) continue;
    if (isLeft)
      throw new UsageError(
        `The job ${job.id} is carried out by ${submission.executor}; wait for it with: untwist attach ${job.id}, or end it before with: untwist cancel ${job.id}`,
      );
    await closePacks(job, submission, [...submission.packs.keys()]);
  }
}
