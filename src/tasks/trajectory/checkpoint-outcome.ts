/** What a trajectory is computed from, and the checks that make it comparable. */
import { createHash } from "node:crypto";

/** Whether an item is solved; of one that was answered several times, the fraction of its answers that are right. */
export type Solved = boolean | number;

/** The question sets of a run: what is trained for, and what must not be lost. */
export type Split = "id" | "ood";

/** Which items one checkpoint solved. All checkpoints of a trajectory list the same items in the same order. */
export interface CheckpointOutcome {
  readonly id: string;
  readonly stage: "base" | "sft" | "rl";
  /** Optimizer steps taken in this stage. */
  readonly step: number;
  /** Id of the checkpoint that training went on from. */
  readonly parent?: string | undefined;
  /** Name of the RL branch; RL checkpoints without one belong to the branch "rl". */
  readonly branch?: string | undefined;
  readonly solved: { readonly [S in Split]: readonly Solved[] };
  /**
   * What each item belongs to, the same for all checkpoints: its group, or else only itself. Items of one key are alike, and lie on the same
   * side of every choice. Absent: each item stands for itself, and items take sides in turns.
   */
  readonly keys?: { readonly [S in Split]: readonly string[] } | undefined;
}

/**
 * Throws `TypeError` when checkpoints list different numbers of items; `RangeError` when an id repeats, or a
 * step within SFT or an RL branch, a step is not a count, no checkpoint is of stage "sft", or there are under 1 ID item or 2 OOD items or
 * groups of them.
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
  if (first.keys !== undefined && new Set(first.keys.ood).size < 2)
    throw new RangeError("Cannot compute a trajectory: all OOD items are of one group, and it takes two");
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

/** Items of a split that one checkpoint solved, and what they belong to. */
export interface Answers {
  readonly solved: readonly Solved[];
  readonly keys: readonly string[] | undefined;
}

/** All answers of a checkpoint to a split. */
export function allAnswers({ solved, keys }: CheckpointOutcome, split: Split): Answers {
  return { solved: solved[split], keys: keys?.[split] };
}

/** A half of the items: one that choices are made on, or the other, where estimates are not flattered by them. */
export type Half = "selection" | "held-out";

/** A checkpoint's answers to half of a split. */
export function halfAnswers(checkpoint: CheckpointOutcome, split: Split, half: Half): Answers {
  const { solved, keys } = allAnswers(checkpoint, split);
  const halves = assignHalves({ solved, keys });
  const isIn = (_: unknown, item: number): boolean => halves[item] === half;
  return { solved: solved.filter(isIn), keys: keys?.filter(isIn) };
}

const halvesByKeys = new WeakMap<readonly string[], readonly Half[]>();

/**
 * The half of each item. Groups are dealt out in the order of a hash of their keys, each to the half with fewer items so far: no group is
 * on both sides, and the order of the items has no say.
 */
export function assignHalves({ solved, keys }: Answers): readonly Half[] {
  if (keys === undefined) return solved.map((_, item) => (item % 2 === 0 ? "selection" : "held-out"));
  const known = halvesByKeys.get(keys) ?? dealKeys(keys);
  halvesByKeys.set(keys, known);
  return known;
}

function dealKeys(keys: readonly string[]): readonly Half[] {
  const sizes = new Map<string, number>();
  for (const key of keys) sizes.set(key, (sizes.get(key) ?? 0) + 1);
  const hashes = new Map(
    [...sizes.keys()].map((key) => [key, createHash("sha256").update(key).digest("hex")]),
  );
  const order = [...sizes.keys()].sort((a, b) => ((hashes.get(a) ?? "") < (hashes.get(b) ?? "") ? -1 : 1));
  const halves = new Map<string, Half>();
  // Items in the selection half beyond those in the other.
  let excess = 0;
  for (const key of order) {
    halves.set(key, excess <= 0 ? "selection" : "held-out");
    excess += (excess <= 0 ? 1 : -1) * (sizes.get(key) ?? 0);
  }
  return keys.map((key) => halves.get(key) ?? "selection");
}

/** The best in OOD accuracy on a half of the items, ties going to the first. Throws `RangeError` without checkpoints. */
export function findPeak(
  checkpoints: readonly CheckpointOutcome[],
  half: Half = "selection",
): CheckpointOutcome {
  return findBest(checkpoints, (one) => halfAnswers(one, "ood", half).solved);
}

/** The one that solves most of what is picked of it, ties going to the first. Throws as `findPeak`. */
export function findBest(
  checkpoints: readonly CheckpointOutcome[],
  pick: (checkpoint: CheckpointOutcome) => readonly Solved[],
): CheckpointOutcome {
  const [first, ...others] = checkpoints.map((checkpoint) => ({
    checkpoint,
    score: countSolved(pick(checkpoint)),
  }));
  if (first === undefined) throw new RangeError("Cannot find the peak: there is no checkpoint");
  return others.reduce((best, one) => (one.score > best.score ? one : best), first).checkpoint;
}

/** How many items are solved; fractions of items add up. */
export function countSolved(solved: readonly Solved[]): number {
  const sum = solved.reduce<number>((count, isSolved) => count + Number(isSolved), 0);
  // Thirds add up to whole numbers, whatever their order.
  return Math.round(sum * 1e9) / 1e9;
}
