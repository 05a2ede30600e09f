/** The exact test of whether two solvers of the same items differ. Gives a p-value, not the size of the difference. */

/** Items that only one of two paired solvers got right; items on which both agree carry no evidence. */
export interface DiscordantCounts {
  readonly onlyFirst: number;
  readonly onlySecond: number;
}

const smallFactorialLogs: readonly number[] = [
  0, 0, 2, 6, 24, 120, 720, 5040, 40_320, 362_880, 3_628_800, 39_916_800, 479_001_600, 6_227_020_800,
  87_178_291_200, 1_307_674_368_000,
].map((factorial) => Math.log(Math.max(1, factorial)));

/** log n! − log(√(2πn) (n/e)ⁿ) for an integer n ≥ 1: what Stirling's formula leaves out. */
function computeStirlingError(n: number): number {
  const factorialLog = smallFactorialLogs[n];
  if (factorialLog !== undefined) return factorialLog - 0.5 * Math.log(2 * Math.PI * n) - n * Math.log(n) + n;
  const square = n * n;
  return (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / 1188 / square) / square) / square) / square) / n;
}

/** x log(x / m) + m − x for x, m > 0, without the cancellation that the formula suffers near x = m. */
function computeDeviance(x: number, m: number): number {
  const ratio = (x - m) / (x + m);
  if (Math.abs(ratio) >= 0.1) return x * Math.log(x / m) + m - x;
  let sum = (x - m) * ratio;
  let power = 2 * x * ratio;
  for (let odd = 3; odd < 1000; odd += 2) {
    power *= ratio * ratio;
    const next = sum + power / odd;
    if (next === sum) break;
    sum = next;
  }
  return sum;
}

/** P(X = k) of X ~ Binomial(n, 1/2), 0 ≤ k ≤ n/2. Loader, "Fast and accurate computation of binomial probabilities", 2000. */
function computeFairMass(k: number, n: number): number {
  if (k === 0) return Math.exp(-n * Math.LN2);
  const errors = computeStirlingError(n) - computeStirlingError(k) - computeStirlingError(n - k);
  const deviance = computeDeviance(k, n / 2) + computeDeviance(n - k, n / 2);
  return Math.exp(errors - deviance) * Math.sqrt(n / (2 * Math.PI * k * (n - k)));
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
  return Math.min(1, 2 * computeFairMass(smaller, n) * relativeSum);
}
