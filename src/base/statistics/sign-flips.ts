/**
 * What the largest of several statistics of the same items would be by chance: signs of whole groups are flipped at random, which
 * keeps how the statistics hang together.
 */
import { createRandom } from "../core/index.ts";

/** Which random signs. */
export interface SignDraws {
  readonly seed: number;
  /** How many times signs are drawn; default 4,999. */
  readonly numDraws?: number;
}

/** Settings of `flipSigns`. */
export interface FlipOptions extends SignDraws {
  /** Whether only large positive statistics count; else their size does. */
  readonly isOneSided: boolean;
}

/** The distribution of the largest statistic. */
export interface LargestByChance {
  /** The mid-p value of a statistic, above 0: how often the largest by chance exceeds it, ties by half. */
  pValue(statistic: number): number;
  /** What a statistic must exceed for its `pValue` to lie below `level`; infinite where none does. */
  critical(level: number): number;
}

/** Σ x / √(Σ x²) over groups: about standard normal where signs are matters of chance; 0 of zeros. */
export function scoreStatistic(sums: readonly number[]): number {
  const squares = sums.reduce((sum, value) => sum + value * value, 0);
  return squares === 0 ? 0 : sums.reduce((sum, value) => sum + value, 0) / Math.sqrt(squares);
}

/**
 * The largest `scoreStatistic` of columns (group sums of differences, group by group in the same order) under random signs of the
 * groups: a single-step max-T test, which keeps the chance of any false finding, however the columns depend on each other.
 * Westfall and Young, "Resampling-based multiple testing", 1993; with multipliers of ±1: Chernozhukov, Chetverikov, Kato, Annals of
 * Statistics 2013. The same seed draws the same signs. Throws `RangeError` unless there is a draw.
 */
export function flipSigns(
  columns: readonly (readonly number[])[],
  { seed, numDraws = 4999, isOneSided }: FlipOptions,
): LargestByChance {
  if (!(Number.isInteger(numDraws) && numDraws > 0))
    throw new RangeError(`Cannot draw signs ${numDraws} times: it must be a positive integer`);
  const numGroups = columns[0]?.length ?? 0;
  const scaled = columns.flatMap((column) => scale(column) ?? []);
  const signs = new Int8Array(numGroups);
  const random = createRandom(seed, "signs");
  const largest = new Float64Array(numDraws);
  for (let draw = 0; draw < numDraws; draw++) {
    drawSigns(signs, random.integer);
    // Columns without a difference have the statistic 0.
    let most = isOneSided && scaled.length === columns.length ? Number.NEGATIVE_INFINITY : 0;
    for (const column of scaled) {
      const sum = sumSigned(column, signs);
      most = Math.max(most, isOneSided ? sum : Math.abs(sum));
    }
    largest[draw] = most;
  }
  return describeLargest(largest.sort());
}

/** The nonzero values of a column, as shares of the root of its squares. */
interface Scaled {
  readonly groups: Int32Array;
  readonly values: Float64Array;
}

function scale(column: readonly number[]): Scaled | undefined {
  const groups = Int32Array.from([...column.keys()].filter((group) => column[group] !== 0));
  if (groups.length === 0) return undefined;
  const root = Math.sqrt(column.reduce((sum, value) => sum + value * value, 0));
  return { groups, values: Float64Array.from(groups, (group) => (column[group] ?? 0) / root) };
}

function sumSigned({ groups, values }: Scaled, signs: Int8Array): number {
  let sum = 0;
  for (let index = 0; index < groups.length; index++)
    sum += (signs[groups[index] ?? 0] ?? 0) * (values[index] ?? 0);
  return sum;
}

const bitsPerDraw = 30;

function drawSigns(signs: Int8Array, integer: (low: number, high: number) => number): void {
  let bits = 0;
  for (let group = 0; group < signs.length; group++) {
    if (group % bitsPerDraw === 0) bits = integer(0, 2 ** bitsPerDraw - 1);
    signs[group] = (bits & 1) === 1 ? 1 : -1;
    bits >>= 1;
  }
}

/** Sums of the same numbers in another order differ by less. */
const tied = 1e-9;

function describeLargest(sorted: Float64Array): LargestByChance {
  const pValue = (statistic: number): number => {
    const above = sorted.length - countBelow(sorted, statistic + tied);
    const notBelow = sorted.length - countBelow(sorted, statistic - tied);
    return (above + notBelow + 1) / (2 * (sorted.length + 1));
  };
  const critical = (level: number): number => {
    let [low, high] = [0, sorted.length];
    // The first draw whose p-value lies below the level.
    while (low < high) {
      const middle = (low + high) >> 1;
      if (pValue(sorted[middle] ?? 0) < level) high = middle;
      else low = middle + 1;
    }
    if (low === 0) return sorted[0] ?? 0;
    const isNeverBelow = 1 / (2 * (sorted.length + 1)) >= level;
    return isNeverBelow ? Number.POSITIVE_INFINITY : (sorted[low - 1] ?? 0);
  };
  return { pValue, critical };
}

/** How many of the sorted values lie below one. */
function countBelow(sorted: Float64Array, value: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? 0) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
