/** The score interval of the difference between two solvers of the same items. */
import type { DiscordantCounts } from "./mcnemar.ts";
import type { Interval } from "./wilson-interval.ts";

/** Paired answers in counts. */
export interface PairedCounts extends DiscordantCounts {
  /** All items, those on which both agree included; at least 1. */
  readonly numItems: number;
}

/**
 * The differences in accuracy, first − second, that the score test does not reject at a critical value of |z|: an interval
 * inside [−1, 1] that is never a point. It holds 0 just where (onlyFirst − onlySecond) / √(onlyFirst + onlySecond) does not exceed
 * the critical value. Throws `RangeError` unless both counts and their sum lie between 0 and the items.
 * Tango, "Equivalence test and confidence interval for the difference in proportions for the paired-sample design", Statistics in
 * Medicine 1998.
 */
export function tangoInterval(counts: PairedCounts, critical: number): Interval {
  const { onlyFirst, onlySecond, numItems } = counts;
  if (!(onlyFirst >= 0 && onlySecond >= 0 && numItems >= 1 && onlyFirst + onlySecond <= numItems))
    throw new RangeError(
      `Cannot bound a difference of ${onlyFirst} and ${onlySecond} items among ${numItems}: they must be counts`,
    );
  const mirrored = { onlyFirst: onlySecond, onlySecond: onlyFirst, numItems };
  return { low: findLow(counts, critical), high: -findLow(mirrored, critical) };
}

/** The smallest difference whose score is at most the critical value: scores fall as the difference grows. */
function findLow(counts: PairedCounts, critical: number): number {
  let [low, high] = [-1, (counts.onlyFirst - counts.onlySecond) / counts.numItems];
  // 0 decides between significant and not: there the score is known without rounding.
  if (low < 0 && high > 0) {
    if (scoreOf(counts, 0) > critical) low = 0;
    else high = 0;
  }
  for (let round = 0; round < 60; round++) {
    const middle = (low + high) / 2;
    if (scoreOf(counts, middle) > critical) low = middle;
    else high = middle;
  }
  return high;
}

/** The score of a difference Δ: (b − c − nΔ) / √(n (2 q + Δ (1 − Δ))), where q is the likeliest share of `onlySecond` under Δ. */
function scoreOf({ onlyFirst, onlySecond, numItems }: PairedCounts, difference: number): number {
  const excess = onlyFirst - onlySecond - numItems * difference;
  if (difference === 0) return excess === 0 ? 0 : excess / Math.sqrt(onlyFirst + onlySecond);
  const a = 2 * numItems;
  const b = (2 * numItems - onlyFirst + onlySecond) * difference - onlyFirst - onlySecond;
  const c = -onlySecond * difference * (1 - difference);
  const q = (Math.sqrt(Math.max(0, b * b - 4 * a * c)) - b) / (2 * a);
  const variance = numItems * (2 * q + difference * (1 - difference));
  if (variance <= 0) return excess === 0 ? 0 : Math.sign(excess) * Number.POSITIVE_INFINITY;
  return excess / Math.sqrt(variance);
}
