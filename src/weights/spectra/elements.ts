/** One pass over the elements of a tensor before and after: norms, what rounding to bf16 would do, what changed. */
import { type FloatDtype, roundFloats } from "../checkpoint/index.ts";
import type { ElementComparison } from "./record/matrix-spectra.ts";
import { createSparsityCounter } from "./sparsity.ts";
import { readChunks, type StoredTensor } from "./stored-tensor.ts";

/** Compares tensors of the same shape, element by element. */
export function compareElements(before: StoredTensor, after: StoredTensor): ElementComparison {
  const counter = createSparsityCounter();
  const rounding = { forwards: before.dtype !== after.dtype, backwards: before.dtype !== after.dtype };
  const sums = { before: 0, after: 0, update: 0, rounding: 0 };
  const afterChunks = readChunks(after);
  for (const first of readChunks(before)) {
    const { value: second } = afterChunks.next();
    if (second === undefined) break;
    counter.add(first, second);
    rounding.forwards &&= isRounding(first, second, after.dtype);
    rounding.backwards &&= isRounding(second, first, before.dtype);
    const squares = sumSquares(first, second);
    sums.before += squares.first;
    sums.after += squares.second;
    sums.update += squares.difference;
    sums.rounding += sumRounding(first);
  }
  return {
    squares: { before: sums.before, after: sums.after },
    updateSquares: sums.update,
    roundingSquares: sums.rounding,
    counts: counter.read(),
    isRounded: rounding.forwards || rounding.backwards,
  };
}

/** Whether all of `others` are `values` rounded to the format. */
function isRounding(values: Float32Array, others: Float32Array, dtype: FloatDtype): boolean {
  const rounded = roundFloats(values, dtype);
  return others.every((value, index) => value === rounded[index]);
}

function sumSquares(
  first: Float32Array,
  second: Float32Array,
): { readonly first: number; readonly second: number; readonly difference: number } {
  let [firstSum, secondSum, differenceSum] = [0, 0, 0];
  for (let index = 0; index < first.length; index++) {
    const [a, b] = [first[index] ?? 0, second[index] ?? 0];
    firstSum += a * a;
    secondSum += b * b;
    differenceSum += (b - a) * (b - a);
  }
  return { first: firstSum, second: secondSum, difference: differenceSum };
}

/** Variance of rounding to bf16 by the exponent of a float: ulp² / 12, ulp = 2^(exponent − 7). */
const roundingByExponent = Float64Array.from({ length: 256 }, (_, exponent) =>
  exponent === 0 || exponent === 255 ? 0 : 2 ** (2 * (exponent - 127 - 7)) / 12,
);

function sumRounding(values: Float32Array): number {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  let sum = 0;
  for (let index = 0; index < bits.length; index++)
    sum += roundingByExponent[((bits[index] ?? 0) >>> 23) & 0xff] ?? 0;
  return sum;
}
