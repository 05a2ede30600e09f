/** What a trajectory is computed from, and the checks that make it comparable. */

/** Whether an item is solved; of one that was answered several times, the fraction of its answers that are right. */
export type Solved = boolean | number;

/**
 * Which items one checkpoint solved. All checkpoints of a trajectory list the same items in the same order; the
 * order must not be tied to parity, because the two halves of the OOD items serve different purposes.
 */
export interface CheckpointOutcome {
  readonly id: string;
  readonly stage: "base" | "sft" | "rl";
  /** Optimizer steps taken in this stage. */
  readonly step: number;
  /** Id of the checkpoint that training went on from. */
  readonly parent?: string | undefined;
  /** Name of the RL branch; RL checkpoints without one belong to the branch "rl". */
  readonly branch?: string | undefined;
  readonly solved: { readonly id: readonly Solved[]; readonly ood: readonly Solved[] };
}

/**
 * Throws `TypeError` when checkpoints list different numbers of items; `RangeError` when an id repeats, or a
 * step within SFT or an RL branch, a step is not a count, no checkpoint is of stage "sft", or there are under 1 ID or 2 OOD items.
 */
export function checkOutcomes(checkpoints: readonly CheckpointOutcome[]): void {
  const [first] = checkpoints;
  if (first === undefined || !checkpoints.some(({ stage }) => stage === "sft")) {
    throw new RangeError('Cannot compute a trajectory: no checkpoint is of stage "sft"');
  }
  if (first.solved.id.length < 1 || first.solved.ood.length < 2) {
    throw new RangeError(
      `Cannot compute a trajectory from ${first.solved.id.length} ID and ${first.solved.ood.length} OOD items: ` +
        "it takes at least 1 and 2",
    );
  }
  const names = new Set<string>();
  const places = new Set<string>();
  for (const checkpoint of checkpoints) {
    checkComparable(checkpoint, first);
    if (names.has(checkpoint.id))
      throw new RangeError(`Cannot tell checkpoints apart: two are named "${checkpoint.id}"`);
    names.add(checkpoint.id);
    if (checkpoint.stage === "base") continue;
    const chain = checkpoint.stage === "sft" ? "SFT" : `RL branch "${branchName(checkpoint)}"`;
    const place = `${chain} has two checkpoints at step ${checkpoint.step}`;
    if (places.has(place)) throw new RangeError(`Cannot order checkpoints: ${place}`);
    places.add(place);
  }
}

/** The branch an RL checkpoint belongs to. */
export function branchName({ branch }: CheckpointOutcome): string {
  return branch ?? "rl";
}

function checkComparable(checkpoint: CheckpointOutcome, first: CheckpointOutcome): void {
  if (!Number.isInteger(checkpoint.step) || checkpoint.step < 0) {
    throw new RangeError(
      `Cannot place checkpoint "${checkpoint.id}" at step ${checkpoint.step}: a step is a count`,
    );
  }
  for (const split of ["id", "ood"] as const) {
    const [numItems, numExpected] = [checkpoint.solved[split].length, first.solved[split].length];
    if (numItems === numExpected) continue;
    throw new TypeError(
      `Cannot compare checkpoints on different ${split.toUpperCase()} items: ` +
        `"${first.id}" has ${numExpected}, "${checkpoint.id}" has ${numItems}`,
    );
  }
}

/** The OOD items a peak is chosen on: those at even positions. */
export function selectionHalf(checkpoint: CheckpointOutcome): readonly Solved[] {
  return checkpoint.solved.ood.filter((_, index) => index % 2 === 0);
}

/** The OOD items that had no say in choosing the peak, so that estimates on them are unbiased: the odd positions. */
export function heldOutHalf(checkpoint: CheckpointOutcome): readonly Solved[] {
  return checkpoint.solved.ood.filter((_, index) => index % 2 === 1);
}

/** The best by the selection half, ties going to the first. Throws `RangeError` without checkpoints. */
export function findPeak(checkpoints: readonly CheckpointOutcome[]): CheckpointOutcome {
  const [first, ...others] = checkpoints;
  if (first === undefined) throw new RangeError("Cannot find the peak: there is no checkpoint");
  const score = (one: CheckpointOutcome): number => countSolved(selectionHalf(one));
  return others.reduce((best, one) => (score(one) > score(best) ? one : best), first);
}

/** How many items are solved; fractions of items add up. */
export function countSolved(solved: readonly Solved[]): number {
  const sum = solved.reduce<number>((count, isSolved) => count + Number(isSolved), 0);
  // Thirds add up to whole numbers, whatever their order.
  return Math.round(sum * 1e9) / 1e9;
}
