/** Tests of whether two solvers of the same items differ: exact, and nearly so. They give p-values, not the size of the difference. */

import { binomialMass } from "./binomial.ts";

/** Items that only one of two paired solvers got right; items on which both agree carry no evidence. */
export interface DiscordantCounts {
  readonly onlyFirst: number;
  readonly onlySecond: number;
}

/**
 * The two-sided exact p-value of McNemar's test, in (0, 1] up to underflow: under "no difference" each of the
 * n = onlyFirst + onlySecond discordant items falls either way with probability 1/2, so
 * p = min(1, 2 P(X ≤ min(onlyFirst, onlySecond))), X ~ Binomial(n, 1/2). No discordant item gives 1.
 * Throws `RangeError` unless both are counts.
 * McNemar, "Note on the sampling error of the difference between correlated proportions", Psychometrika 1947.
 */
export function mcnemarExact({ onlyFirst, onlySecond }: DiscordantCounts): number {
  if (!(Number.isInteger(onlyFirst) && Number.isInteger(onlySecond) && onlyFirst >= 0 && onlySecond >= 0)) {
    throw new RangeError(
      `Cannot test ${onlyFirst} against ${onlySecond} discordant items: both must be counts`,
    );
  }
  const n = onlyFirst + onlySecond;
  const smaller = Math.min(onlyFirst, onlySecond);
  if (onlyFirst === onlySecond) return 1;
  let relativeSum = 1;
  let relativeTerm = 1;
  for (let k = smaller; k > 0 && relativeTerm > relativeSum * 1e-18; k--) {
    relativeTerm *= k / (n - k + 1);
    relativeSum += relativeTerm;
  }
  return Math.min(1, 2 * binomialMass(smaller, { n, probability: 0.5 }) * relativeSum);
}

/**
 * The two-sided mid-p value of McNemar's test, in (0, 1]: the exact p-value less P(X = min(onlyFirst, onlySecond)),
 * X ~ Binomial(onlyFirst + onlySecond, ½); 1 where both are equal. Throws as `mcnemarExact`.
 * Fagerland, Lydersen, Laake, "The McNemar test for binary matched-pairs data", BMC Medical Research Methodology 2013.
 */
export function mcnemarMidP(counts: DiscordantCounts): number {
  const exact = mcnemarExact(counts);
  const { onlyFirst, onlySecond } = counts;
  if (onlyFirst === onlySecond) return 1;
  const n = onlyFirst + onlySecond;
  return exact - binomialMass(Math.min(onlyFirst, onlySecond), { n, probability: 0.5 });
}
