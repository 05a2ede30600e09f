/** Probabilities of the binomial distribution, to nearly all digits for any number of trials. */

/** A number of independent trials and the probability of success in each. */
export interface BinomialOptions {
  /** Trials, a count. */
  readonly n: number;
  /** In [0, 1]. */
  readonly probability: number;
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

/** P(X = k) of X ~ Binomial(n, p), 0 ≤ k ≤ n. Loader, "Fast and accurate computation of binomial probabilities", 2000. */
export function binomialMass(k: number, { n, probability }: BinomialOptions): number {
  if (probability === 0 || probability === 1) return k === n * probability ? 1 : 0;
  if (k === 0) return Math.exp(n * Math.log1p(-probability));
  if (k === n) return Math.exp(n * Math.log(probability));
  const errors = computeStirlingError(n) - computeStirlingError(k) - computeStirlingError(n - k);
  const deviance = computeDeviance(k, n * probability) + computeDeviance(n - k, n * (1 - probability));
  return Math.exp(errors - deviance) * Math.sqrt(n / (2 * Math.PI * k * (n - k)));
}

/** P(X ≥ k) of X ~ Binomial(n, p): 1 for k ≤ 0, 0 for k > n. */
export function binomialUpperTail(k: number, { n, probability }: BinomialOptions): number {
  if (k <= 0) return 1;
  let sum = 0;
  for (let count = n; count >= k; count--) sum += binomialMass(count, { n, probability });
  return Math.min(1, sum);
}
