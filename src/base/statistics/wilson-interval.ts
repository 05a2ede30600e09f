/** The score interval of one proportion. For a difference of paired proportions use `tangoInterval`. */
import { normalQuantile } from "./normal-quantile.ts";

/** A closed interval, `low` ≤ `high`. */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** How many of `total` items came out right; one that was answered several times counts by the fraction that is right. */
export interface Tally {
  readonly correct: number;
  readonly total: number;
}

/** The measured rate, from 0 to 1; 0 of nothing. */
export function toShare({ correct, total }: Tally): number {
  return correct / Math.max(1, total);
}

/**
 * The interval that covers the true rate behind `correct` of `total` with probability about `confidence`
 * (default 0.95), inside [0, 1]:
 * (k + z²/2 ± z √(k (n − k) / n + z²/4)) / (n + z²) with k correct of n and z the normal quantile.
 * No items at all give [0, 1]. Of items answered several times `correct` may hold fractions: the interval is then at least as wide as
 * it need be. Throws `RangeError` unless 0 ≤ correct ≤ total, total is an integer, 0 < confidence < 1.
 * Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927.
 */
export function wilsonInterval(
  { correct, total }: Tally,
  { confidence = 0.95 }: { readonly confidence?: number } = {},
): Interval {
  if (!(Number.isInteger(total) && correct >= 0 && correct <= total)) {
    throw new RangeError(
      `Cannot bound a rate of ${correct} in ${total}: the second must be a count, the first no larger`,
    );
  }
  checkConfidence(confidence);
  const z = normalQuantile(0.5 + confidence / 2);
  const spread = total === 0 ? 0 : (correct * (total - correct)) / total;
  const center = correct + (z * z) / 2;
  const halfWidth = z * Math.sqrt(spread + (z * z) / 4);
  return {
    low: correct === 0 ? 0 : Math.max(0, (center - halfWidth) / (total + z * z)),
    high: correct === total ? 1 : Math.min(1, (center + halfWidth) / (total + z * z)),
  };
}

/** Throws `RangeError` unless `confidence` lies strictly between 0 and 1. */
export function checkConfidence(confidence: number): void {
  if (confidence > 0 && confidence < 1) return;
  throw new RangeError(
    `Cannot use a confidence of ${confidence}: it must lie between 0 and 1, both excluded`,
  );
}
