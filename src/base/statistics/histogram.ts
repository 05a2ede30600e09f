/** Counts of numbers in bins of equal width. */

/** The range of a histogram and how finely it is cut. */
export interface HistogramOptions {
  readonly low: number;
  readonly high: number;
  readonly numBins: number;
}

/** Counts per bin; all counts together add up to the number of values. */
export interface Histogram {
  readonly low: number;
  readonly high: number;
  /** One count per bin, lowest bin first. */
  readonly counts: readonly number[];
  /** Values below `low`. */
  readonly numUnderflow: number;
  /** Values above `high`. */
  readonly numOverflow: number;
}

/**
 * Counts `values` in `numBins` bins of equal width over [low, high]: each bin holds its lower edge, the last one
 * also `high` (numpy's rule). Infinities count as under- or overflow.
 * Throws `RangeError` on NaN, on low ≥ high, or unless `numBins` is a positive integer.
 */
export function histogram(values: ArrayLike<number>, { low, high, numBins }: HistogramOptions): Histogram {
  if (!(low < high && Number.isFinite(high - low))) {
    throw new RangeError(`Cannot bin between ${low} and ${high}: the first must be smaller, both finite`);
  }
  if (!(Number.isInteger(numBins) && numBins > 0)) {
    throw new RangeError(`Cannot make ${numBins} bins: the number must be a positive integer`);
  }
  const counts = new Array<number>(numBins).fill(0);
  let [numUnderflow, numOverflow] = [0, 0];
  for (let index = 0; index < values.length; index++) {
    const value = values[index] ?? 0;
    if (Number.isNaN(value)) throw new RangeError(`Cannot bin value ${index}: it is NaN`);
    if (value < low) numUnderflow++;
    else if (value > high) numOverflow++;
    else {
      const bin = findBin(value, { low, high, numBins });
      counts[bin] = (counts[bin] ?? 0) + 1;
    }
  }
  return { low, high, counts, numUnderflow, numOverflow };
}

/** The bin of a value inside the range, corrected where the division rounds across an edge. */
function findBin(value: number, { low, high, numBins }: HistogramOptions): number {
  const width = (high - low) / numBins;
  const bin = Math.min(numBins - 1, Math.floor(((value - low) / (high - low)) * numBins));
  if (value < low + bin * width) return Math.max(0, bin - 1);
  if (value >= low + (bin + 1) * width) return Math.min(numBins - 1, bin + 1);
  return bin;
}
