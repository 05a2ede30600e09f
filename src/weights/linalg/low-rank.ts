/** Products of thin matrices, whose singular values need no factorization of the whole. */
import type { LinearAlgebra } from "./linear-algebra.ts";
import { createMatrix, type Matrix, transpose } from "./matrix.ts";

/** A matrix as left · right: rows × r and r × columns. */
export interface ThinProduct {
  readonly left: Matrix;
  readonly right: Matrix;
}

/**
 * All min(rows, columns) singular values of left · right, descending; those beyond r are exactly 0. With the triangular
 * factors of left and rightᵀ they are those of R_left · R_rightᵀ, r × r: (rows + columns) · r² multiplications instead of
 * rows · columns · min(rows, columns). Throws `RangeError` where r is larger than a side.
 */
export function productValues({ left, right }: ThinProduct, algebra: LinearAlgebra): Float64Array {
  const short = Math.min(left.rows, right.columns);
  if (left.columns > short)
    throw new RangeError(
      `Cannot call a product of rank ${left.columns} thin: it is ${left.rows} × ${right.columns}`,
    );
  const values = new Float64Array(short);
  if (left.columns === 0) return values;
  const [first, second] = [algebra.triangularFactor(left), algebra.triangularFactor(transpose(right))];
  values.set(algebra.singularValues(algebra.multiply(first, second, { right: true })));
  return values;
}

/** Two products added up: one of the sum of their ranks. */
export function addProducts(one: ThinProduct, other: ThinProduct): ThinProduct {
  const [rows, columns] = [one.left.rows, one.left.columns + other.left.columns];
  const left = createMatrix(rows, columns);
  for (let row = 0; row < rows; row++) {
    left.values.set(rowOf(one.left, row), row * columns);
    left.values.set(rowOf(other.left, row), row * columns + one.left.columns);
  }
  const right = createMatrix(columns, one.right.columns);
  right.values.set(one.right.values);
  right.values.set(other.right.values, one.right.values.length);
  return { left, right };
}

const rowOf = ({ columns, values }: Matrix, row: number): Float64Array =>
  values.subarray(row * columns, (row + 1) * columns);
