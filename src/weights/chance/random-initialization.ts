/**
 * Tells whether a spectrum is that of independent noise, as of a matrix that was initialized and never trained: its
 * singular vectors mean nothing. By the singular values alone; leaves out noise of rows or columns of unequal size.
 */

/** The shape of a matrix. */
export interface MatrixShape {
  readonly rows: number;
  readonly columns: number;
}

/** How well independent elements of one variance explain the singular values. */
export interface MarchenkoPasturFit {
  /** The elements' standard deviation: ‖W‖_F / √(rows · columns). */
  readonly scale: number;
  /** The largest distance between a singular value and its quantile, as a fraction of the largest quantile. */
  readonly maxRelativeError: number;
  /** Whether noise of this shape would pass 99 times in 100: from about 500 × 500 or 256 × 1024 on. */
  readonly isConclusive: boolean;
  /** Conclusive, and no error of 2 % or more. */
  readonly looksRandom: boolean;
}

/** Errors from here on are not noise. */
const errorLimit = 0.02;

/**
 * The error that noise stays below, in units of `fluctuationOf`. On the edge of conclusive, at 500 × 500, 236 × 944,
 * 100 × 1600, 40 × 2560 and 15 × 3840, between 99.2 and 99.7 % of drawn matrices did.
 */
const numFluctuations = 4;

/**
 * Compares singular values with the law of Marchenko and Pastur (Math. USSR-Sbornik 1(4), 1967): σᵢ with the quantile
 * that (i − ½) / r of the law lies above, edges scale · (√rows ± √columns). `values` are all r = min(rows, columns),
 * descending. Any elements of one variance and light tails give this law, uniform ones as well. Distances are counted in
 * units of the largest quantile, for small values of square matrices fluctuate by a multiple of themselves.
 * Throws `RangeError` when there are more or fewer values.
 */
export function fitMarchenkoPastur(
  values: ArrayLike<number>,
  { rows, columns }: MatrixShape,
): MarchenkoPasturFit {
  if (values.length === 0 || values.length !== Math.min(rows, columns))
    throw new RangeError(
      `Cannot judge a ${rows} × ${columns} matrix by ${values.length} singular values: it needs all of them`,
    );
  const scale = Math.sqrt(Array.from(values).reduce((sum, value) => sum + value * value, 0) / rows / columns);
  const isConclusive = numFluctuations * fluctuationOf({ rows, columns }) <= errorLimit;
  if (scale === 0) return { scale, maxRelativeError: 0, isConclusive, looksRandom: false };
  const quantiles = listQuantiles({ rows, columns });
  const distance = quantiles.reduce(
    (largest, quantile, index) => Math.max(largest, Math.abs((values[index] ?? 0) / scale - quantile)),
    0,
  );
  const maxRelativeError = distance / (quantiles[0] ?? 1);
  return {
    scale,
    maxRelativeError,
    isConclusive,
    looksRandom: isConclusive && maxRelativeError < errorLimit,
  };
}

/**
 * The scale on which the largest singular value of noise fluctuates, as a fraction of it:
 * (1 / √m + 1 / √n)^⅓ / (2 (√m + √n)) (Johnstone, Annals of Statistics 29(2), 2001).
 */
function fluctuationOf({ rows, columns }: MatrixShape): number {
  const [m, n] = [Math.sqrt(rows), Math.sqrt(columns)];
  return Math.cbrt(1 / m + 1 / n) / (2 * (m + n));
}

/** Enough to halve [0, π] down to rounding. */
const numHalvings = 52;

/**
 * Singular values of noise of variance 1: the r quantiles of the law at (i − ½) / r from above, descending. With
 * σ² = long + short + 2 √(long · short) cos θ, θ from 0 to π, they need the inverse of `shareAbove`.
 */
function listQuantiles({ rows, columns }: MatrixShape): Float64Array {
  const [short, long] = [Math.min(rows, columns), Math.max(rows, columns)];
  const product = 2 * Math.sqrt(short * long);
  let least = 0;
  return Float64Array.from({ length: short }, (_, index) => {
    const share = (index + 0.5) / short;
    let most = Math.PI;
    for (let step = 0; step < numHalvings; step++) {
      const middle = (least + most) / 2;
      if (shareAbove(middle, Math.sqrt(short / long)) < share) least = middle;
      else most = middle;
    }
    return Math.sqrt(long + short + product * Math.cos(least));
  });
}

/**
 * The mass of the law above the angle θ, for q = √(short / long): its density sin² θ · (2 / π) / (1 + q² + 2 q cos θ)
 * has no singularity and an antiderivative.
 */
function shareAbove(angle: number, q: number): number {
  const [sine, cosine] = [Math.sin(angle / 2), Math.cos(angle / 2)];
  const turn = Math.atan2((1 - q) * sine, (1 + q) * cosine);
  return ((1 + q * q) * angle - 2 * (1 - q * q) * turn - 4 * q * sine * cosine) / (2 * Math.PI * q * q);
}
