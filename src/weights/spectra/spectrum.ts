/** What singular values alone say: ranks of several kinds, the shift between two spectra, the tail's power law. */

/** Singular values, descending, all min(rows, columns) of them. */
type Values = Float64Array;

/** ‖W‖_F² / ‖W‖₂², from 1 to the rank; `undefined` for the zero matrix. */
export function stableRank(squares: number, spectral: number): number | undefined {
  return spectral === 0 ? undefined : squares / spectral ** 2;
}

/** exp of the entropy of σ / Σσ, from 1 to the rank (Roy and Vetterli, EUSIPCO 2007); `undefined` for zero. */
export function entropyRank(values: Values): number | undefined {
  let total = 0;
  for (const value of values) total += value;
  if (total === 0) return undefined;
  let entropy = 0;
  for (const value of values) {
    const share = value / total;
    if (share > 0) entropy -= share * Math.log(share);
  }
  return Math.exp(entropy);
}

/** The fewest leading directions that hold that share of Σσ²; 0 for the zero matrix. */
export function energyRank(values: Values, share: number): number {
  let total = 0;
  for (const value of values) total += value * value;
  let sum = 0;
  for (const [index, value] of values.entries()) {
    if (sum >= share * total) return index;
    sum += value * value;
  }
  return values.length;
}

/** A rank and the value above which singular values were counted. */
export interface NumericalRank {
  readonly rank: number;
  readonly tolerance: number;
}

/** Rounding of 32-bit floats, the widest that weights are kept in. */
export const singleEpsilon: number = 2 ** -23;

/**
 * The number of values above max(rows, columns) · ε · σ₁, as `numpy.linalg.matrix_rank` and `torch.linalg.matrix_rank`
 * count (ε of 32-bit floats by default). Rounding to bf16 alone makes an update numerically full.
 */
export function numericalRank(
  values: Values,
  { rows, columns, epsilon = singleEpsilon }: { rows: number; columns: number; epsilon?: number },
): NumericalRank {
  const tolerance = Math.max(rows, columns) * epsilon * (values[0] ?? 0);
  return { rank: values.filter((value) => value > tolerance).length, tolerance };
}

/** ‖σ_after − σ_before‖ / ‖σ_before‖ (arXiv 2511.08567); `undefined` when before is zero. */
export function spectralShift(before: Values, after: Values): number | undefined {
  let [difference, size] = [0, 0];
  for (const [index, value] of before.entries()) {
    difference += ((after[index] ?? 0) - value) ** 2;
    size += value * value;
  }
  return size === 0 ? undefined : Math.sqrt(difference / size);
}

/** A power law fitted to the largest eigenvalues λ = σ². */
export interface PowerLaw {
  /** The density of λ falls as λ^−exponent. */
  readonly exponent: number;
  /** The eigenvalue from which on it was fitted. */
  readonly start: number;
  /** Eigenvalues from there on. */
  readonly numTail: number;
  /** Kolmogorov–Smirnov distance between the tail and the law. */
  readonly distance: number;
}

/** Eigenvalues a tail must have. */
const fewestTail = 10;
/** Eigenvalues a spectrum must have to be fitted at all. */
const fewestValues = 20;

/** Eigenvalues this far below the largest are rounding. */
const negligible = 1e-12;

/**
 * A power law of the spectrum's tail by maximum likelihood, exponent = 1 + n / Σ ln(λ / λ_start), started where the
 * Kolmogorov–Smirnov distance is least (Clauset, Shalizi and Newman, SIAM Review 51(4), 2009; as WeightWatcher).
 * `undefined` for fewer than 20 nonzero values.
 */
export function fitPowerLaw(values: Values): PowerLaw | undefined {
  const largest = (values[0] ?? 0) ** 2;
  const eigenvalues = values.map((value) => value * value).filter((value) => value > negligible * largest);
  if (largest === 0 || eigenvalues.length < fewestValues) return undefined;
  let best: PowerLaw | undefined;
  let logSum = 0;
  for (const [index, start] of eigenvalues.entries()) {
    logSum += Math.log(start);
    const numTail = index + 1;
    const isTied = eigenvalues[index + 1] === start;
    const excess = logSum - numTail * Math.log(start);
    if (isTied || numTail < fewestTail || excess <= 0) continue;
    const exponent = 1 + numTail / excess;
    const distance = distanceToPowerLaw(eigenvalues.subarray(0, numTail), { start, exponent });
    if (best === undefined || distance < best.distance) best = { exponent, start, numTail, distance };
  }
  return best;
}

/** The largest gap between the law and the share of the tail below each value, as WeightWatcher takes it. */
function distanceToPowerLaw(
  tail: Float64Array,
  { start, exponent }: { readonly start: number; readonly exponent: number },
): number {
  let largest = 0;
  for (let index = 0; index < tail.length; index++) {
    const law = 1 - ((tail[index] ?? 0) / start) ** (1 - exponent);
    // Descending: all later values are smaller.
    const shareBelow = (tail.length - index - 1) / tail.length;
    largest = Math.max(largest, Math.abs(law - shareBelow));
  }
  return largest;
}
