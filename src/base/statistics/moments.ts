/** The first four standardized moments of a list of numbers. */

/** Population moments; each is `undefined` where it has no value. */
export interface Moments {
  /** Σx / n; undefined for no values. */
  readonly mean: number | undefined;
  /** √m₂, dividing by n; undefined for no values. */
  readonly standardDeviation: number | undefined;
  /** m₃ / m₂^1.5: 0 for a symmetric shape; undefined at zero variance. */
  readonly skewness: number | undefined;
  /** Excess kurtosis m₄ / m₂² − 3: 0 for a normal, positive for heavy tails; undefined at zero variance. */
  readonly kurtosis: number | undefined;
}

/**
 * The population moments of `values`, with mₖ = Σ(x − mean)ᵏ / n (divided by n, no small-sample correction; what
 * `scipy.stats.skew` and `kurtosis` give by default). A variance within rounding of 0 counts as 0.
 * Throws `RangeError` on a value that is not finite.
 */
export function moments(values: ArrayLike<number>): Moments {
  const n = values.length;
  if (n === 0)
    return { mean: undefined, standardDeviation: undefined, skewness: undefined, kurtosis: undefined };
  const mean = computeMean(values);
  let variance = 0;
  for (let index = 0; index < n; index++) variance += ((values[index] ?? 0) - mean) ** 2 / n;
  if (variance <= (Number.EPSILON * mean) ** 2) {
    return { mean, standardDeviation: 0, skewness: undefined, kurtosis: undefined };
  }
  const standardDeviation = Math.sqrt(variance);
  let [skewness, kurtosis] = [0, -3];
  for (let index = 0; index < n; index++) {
    const score = ((values[index] ?? 0) - mean) / standardDeviation;
    skewness += score ** 3 / n;
    kurtosis += score ** 4 / n;
  }
  return { mean, standardDeviation, skewness, kurtosis };
}

function computeMean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let index = 0; index < values.length; index++) {
    const value = values[index] ?? 0;
    if (!Number.isFinite(value)) throw new RangeError(`Cannot take moments: value ${index} is ${value}`);
    sum += value;
  }
  return sum / values.length;
}
