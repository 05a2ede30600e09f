/**
 * Percentile intervals for any function of column means, by resampling items. Items are drawn whole, so whatever
 * is measured on the same item stays paired. Leaves out bias correction (BCa).
 */
import { createRandom, type Random } from "../core/index.ts";
import { quantile } from "./quantile.ts";
import { checkConfidence } from "./wilson-interval.ts";

/** The most resamples, as a fraction, on which a statistic may be undefined while its interval is still given. */
const maxUndefinedFraction = 0.05;

/** Settings of `pairedBootstrap`. */
export interface BootstrapOptions {
  readonly seed: number;
  /** How many resamples to draw; default 2000. */
  readonly numResamples?: number;
  /** Probability that the interval covers the true value, in (0, 1); default 0.95. */
  readonly confidence?: number;
}

/**
 * A statistic as a function of the column means; `undefined` where it has no value (a ratio over 0).
 * The list is reused from one resample to the next: read it, do not keep it.
 */
export type BootstrapStatistic = (means: readonly number[]) => number | undefined;

/** An interval, absent when the statistic was undefined on more than 5 % of resamples. */
export type BootstrapInterval =
  | { readonly low: number; readonly high: number; readonly numUndefined: number }
  | { readonly low: undefined; readonly high: undefined; readonly numUndefined: number };

/**
 * The percentile bootstrap interval of `statistic` over items, where `rows[i]` holds the numbers measured on item
 * i: each of `numResamples` rounds draws as many items as there are, with replacement, and hands their column
 * means to `statistic`; the interval runs between the (1 ∓ confidence)/2 quantiles of what it returned.
 * Rounds where the statistic is undefined are counted in `numUndefined` and left out of the quantiles.
 * Time grows with rows × columns × resamples; nothing is allocated per item. The same seed draws the same items.
 * Throws `TypeError` on rows of different lengths, `RangeError` on no rows, a bad setting, a non-finite statistic.
 * Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 1979; Efron and Tibshirani 1993, ch. 13.
 */
export function pairedBootstrap(
  rows: readonly (readonly number[])[],
  statistic: BootstrapStatistic,
  { seed, numResamples = 2000, confidence = 0.95 }: BootstrapOptions,
): BootstrapInterval {
  checkConfidence(confidence);
  if (!(Number.isInteger(numResamples) && numResamples > 0)) {
    throw new RangeError(`Cannot bootstrap with ${numResamples} resamples: it must be a positive integer`);
  }
  const table = flattenRows(rows);
  const means = new Array<number>(table.numColumns).fill(0);
  const random = createRandom(seed, "bootstrap");
  const defined = new Float64Array(numResamples);
  let numDefined = 0;
  for (let round = 0; round < numResamples; round++) {
    resampleMeans(table, means, random);
    const value = statistic(means);
    if (value === undefined) continue;
    if (!Number.isFinite(value))
      throw new RangeError(`Cannot bootstrap a statistic that is ${value} on a resample`);
    defined[numDefined++] = value;
  }
  const numUndefined = numResamples - numDefined;
  if (numUndefined > maxUndefinedFraction * numResamples)
    return { low: undefined, high: undefined, numUndefined };
  const sorted = defined.subarray(0, numDefined).sort();
  const tailFraction = (1 - confidence) / 2;
  return { low: quantile(sorted, tailFraction), high: quantile(sorted, 1 - tailFraction), numUndefined };
}

/** Rows laid end to end. */
interface Table {
  readonly values: Float64Array;
  readonly numRows: number;
  readonly numColumns: number;
}

function flattenRows(rows: readonly (readonly number[])[]): Table {
  const numColumns = rows[0]?.length;
  if (numColumns === undefined) throw new RangeError("Cannot bootstrap no items: give at least one row");
  const values = new Float64Array(rows.length * numColumns);
  for (const [index, row] of rows.entries()) {
    if (row.length !== numColumns) {
      throw new TypeError(
        `Cannot bootstrap rows of different lengths: row 0 has ${numColumns} values, row ${index} has ${row.length}`,
      );
    }
    values.set(row, index * numColumns);
  }
  return { values, numRows: rows.length, numColumns };
}

/** Overwrites `means` with the column means of a fresh resample. */
function resampleMeans({ values, numRows, numColumns }: Table, means: number[], random: Random): void {
  means.fill(0);
  for (let draw = 0; draw < numRows; draw++) {
    const offset = random.integer(0, numRows - 1) * numColumns;
    for (let column = 0; column < numColumns; column++) {
      means[column] = (means[column] ?? 0) + (values[offset + column] ?? 0);
    }
  }
  for (let column = 0; column < numColumns; column++) means[column] = (means[column] ?? 0) / numRows;
}
