/**
 * Principal angles between subspaces, accurate from tiny angles to right ones: cosines tell large angles, sines small
 * ones (Knyazev and Argentati, SIAM J. Sci. Comput. 23(6), 2002). Arccosines alone lose everything below 1e-8 rad in
 * 64-bit floats, and below 1e-3 in 32-bit ones.
 */
import type { LinearAlgebra } from "./linear-algebra.ts";
import { createMatrix, type Matrix, subtractFrom, takeColumns, takeLeadingBlock } from "./matrix.ts";
import { reduceToTriangle } from "./reduce.ts";

/** Two bases of subspaces of the same space, and what they have in common. */
export interface BasisPair {
  /** dimension × k, orthonormal columns. */
  readonly before: Matrix;
  /** dimension × k, orthonormal columns. */
  readonly after: Matrix;
  /** beforeᵀ · after, k × k: cosines between single vectors. */
  readonly overlap: Matrix;
}

/** Pairs two bases. */
export function pairBases(before: Matrix, after: Matrix, algebra: LinearAlgebra): BasisPair {
  return { before, after, overlap: algebra.multiply(before, after, { left: true }) };
}

/** Angles that are zero whatever the subspaces are: two k-dimensional ones of n dimensions meet in 2k − n at least. */
export function numForcedZeros(dimension: number, rank: number): number {
  return Math.max(0, 2 * rank - dimension);
}

/**
 * The principal angles between the spans of the first `rank` vectors of both bases: radians in [0, π/2], ascending,
 * exactly 0 where the dimension forces it.
 */
export function principalAngles(pair: BasisPair, rank: number, algebra: LinearAlgebra): Float64Array {
  const numZeros = numForcedZeros(pair.before.rows, rank);
  const angles = new Float64Array(rank);
  if (numZeros >= rank) return angles;
  const overlap = takeLeadingBlock(pair.overlap, rank);
  const cosines = algebra.singularValues(overlap);
  const sines = algebra
    .singularValues(reduceToTriangle(residuals(pair, overlap, algebra), algebra))
    .reverse();
  for (let index = numZeros; index < rank; index++)
    angles[index] = Math.atan2(sines[index] ?? 0, cosines[index] ?? 0);
  return angles.sort();
}

/** Rows of a block: enough for fast products, whatever the dimension. */
const blockRows = 4096;

/** What is left of the vectors after, without their parts along those before: before · overlap − after, by rows. */
function* residuals(
  { before, after }: BasisPair,
  overlap: Matrix,
  algebra: LinearAlgebra,
): Generator<Matrix, void, void> {
  const rank = overlap.columns;
  for (let start = 0; start < before.rows; start += blockRows) {
    const end = Math.min(start + blockRows, before.rows);
    const [first, second] = [before, after].map(({ columns, values }) =>
      takeColumns(createMatrix(end - start, columns, values.subarray(start * columns, end * columns)), rank),
    );
    // The sign does not matter to singular values.
    if (first !== undefined && second !== undefined)
      yield subtractFrom(algebra.multiply(first, overlap), second);
  }
}
