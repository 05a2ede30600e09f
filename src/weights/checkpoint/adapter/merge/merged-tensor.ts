/** One tensor of a base model as an adapter makes it, range by range when it is read: no more in memory than thin factors. */
import {
  createRangeDecoder,
  encodeDoubles,
  type FloatDtype,
  numBytesOf,
  type ReadableBytes,
} from "../../dtype.ts";
import type { LowRankUpdate } from "../../open-checkpoint.ts";

/** What is computed of one tensor: a · (W + left · right), with some rows replaced after that. */
export interface Change {
  readonly update?: LowRankUpdate;
  /** DoRA: the norms that rows, or columns, are brought to. Liu et al., "DoRA: Weight-Decomposed Low-Rank Adaptation", 2024. */
  readonly magnitudes?: Magnitudes;
  /** Rows that take the place of the tensor's, by number. */
  readonly rows?: ReadonlyMap<number, Float32Array>;
}

/** A norm for every row or column. */
export interface Magnitudes {
  readonly values: Float32Array;
  readonly of: "rows" | "columns";
}

/** Where the sum starts. */
export interface MergeOrigin {
  readonly bytes: ReadableBytes;
  readonly dtype: FloatDtype;
  /** The tensor as a matrix. */
  readonly rows: number;
  readonly columns: number;
}

/** Elements in a block while norms are taken: 8 MiB of 64-bit floats. */
const blockElements = 2 ** 20;

/** The changed tensor's bytes in a format. */
export function openMerged(origin: MergeOrigin, change: Change, dtype: FloatDtype): ReadableBytes {
  const { rows, columns } = origin;
  const decode = createRangeDecoder(origin.bytes, origin.dtype);
  const width = numBytesOf(dtype, 1);
  let factors: Float64Array | undefined;
  const sumUp = (first: number, last: number): Float64Array => {
    const sum = Float64Array.from(decode(first, last));
    if (change.update !== undefined) addProduct(sum, change.update, { first, last, columns });
    return sum;
  };
  return {
    length: rows * columns * width,
    subarray: (start, end) => {
      const range = { first: start / width, last: end / width, columns };
      const sum = sumUp(range.first, range.last);
      if (change.magnitudes !== undefined) {
        factors ??= findFactors(sumUp, change.magnitudes, origin);
        scale(sum, factors, { ...range, of: change.magnitudes.of });
      }
      for (const [row, values] of change.rows ?? []) replaceRow(sum, { row, values }, range);
      return encodeDoubles(sum, dtype);
    },
  };
}

interface ElementRange {
  readonly first: number;
  readonly last: number;
  readonly columns: number;
}

/** magnitude / norm of every row or column of the sum. */
function findFactors(
  sumUp: (first: number, last: number) => Float64Array,
  { values, of }: Magnitudes,
  { rows, columns }: MergeOrigin,
): Float64Array {
  const squares = new Float64Array(values.length);
  const step = Math.max(1, Math.floor(blockElements / Math.max(1, columns))) * columns;
  for (let first = 0; first < rows * columns; first += step) {
    const sum = sumUp(first, Math.min(first + step, rows * columns));
    for (let index = 0; index < sum.length; index++) {
      const position = of === "rows" ? Math.floor((first + index) / columns) : (first + index) % columns;
      squares[position] = (squares[position] ?? 0) + (sum[index] ?? 0) ** 2;
    }
  }
  return squares.map((square, index) => (values[index] ?? 0) / Math.sqrt(square));
}

function scale(
  sum: Float64Array,
  factors: Float64Array,
  { first, columns, of }: ElementRange & Pick<Magnitudes, "of">,
): void {
  for (let index = 0; index < sum.length; index++) {
    const position = of === "rows" ? Math.floor((first + index) / columns) : (first + index) % columns;
    sum[index] = (sum[index] ?? 0) * (factors[position] ?? 0);
  }
}

function replaceRow(
  sum: Float64Array,
  { row, values }: { readonly row: number; readonly values: Float32Array },
  { first, last, columns }: ElementRange,
): void {
  const start = Math.max(first, row * columns);
  const end = Math.min(last, (row + 1) * columns);
  for (let index = start; index < end; index++) sum[index - first] = values[index - row * columns] ?? 0;
}

/** Adds the elements `first` to `last` (C order) of left · right. */
function addProduct(
  sum: Float64Array,
  { left, right, rank }: LowRankUpdate,
  { first, last, columns }: ElementRange,
): void {
  for (let row = Math.floor(first / columns); row * columns < last; row++) {
    const start = Math.max(first, row * columns);
    const end = Math.min(last, (row + 1) * columns);
    for (let term = 0; term < rank; term++) {
      const weight = left[row * rank + term] ?? 0;
      const offset = (term - row) * columns;
      for (let index = start; index < end; index++)
        sum[index - first] = (sum[index - first] ?? 0) + weight * (right[index + offset] ?? 0);
    }
  }
}
