/** Matrices whose singular values are known without any rounding. */
import type { Matrix } from "../../src/weights/linalg/index.ts";

/**
 * Integer matrices with orthogonal rows: Kronecker products of rotations with integer sides and of Hadamard's. All
 * arithmetic on them is exact, and so are the singular values of left · diagonal · right.
 */
const integerFactors = [
  { norm: 5, values: [3, 4, -4, 3] },
  { norm: 13, values: [5, 12, -12, 5] },
  { norm: Math.SQRT2, values: [1, 1, 1, -1] },
] as const;

/** How many factors there are to choose from. */
export const numIntegerFactors: number = integerFactors.length;

/** The Kronecker product of the chosen factors, and the length of its rows. */
export function multiplyOut(choices: readonly number[]): { readonly matrix: Matrix; readonly norm: number } {
  let matrix: Matrix = { rows: 1, columns: 1, values: Float64Array.of(1) };
  let squaredNorm = 1;
  for (const choice of choices) {
    const { norm, values } = integerFactors[choice]!;
    const size = matrix.rows * 2;
    const next = new Float64Array(size * size);
    for (let i = 0; i < size; i++)
      for (let j = 0; j < size; j++)
        next[i * size + j] =
          matrix.values[(i >> 1) * matrix.rows + (j >> 1)]! * values[(i & 1) * 2 + (j & 1)]!;
    matrix = { rows: size, columns: size, values: next };
    squaredNorm *= Math.round(norm * norm);
  }
  return { matrix, norm: Math.sqrt(squaredNorm) };
}
