/** QR of a tall matrix that comes in blocks of rows: only the triangular factor is kept. */
import type { LinearAlgebra } from "./linear-algebra.ts";
import { createMatrix, type Matrix } from "./matrix.ts";

/**
 * The upper triangular R of A = Q R, for the blocks of A from top to bottom; it has the singular values of A, and its
 * right singular vectors. Blocks are joined with the R so far (sequential TSQR: Demmel et al., arXiv 0808.2664),
 * which is as stable as a QR of the whole. A matrix with fewer rows than columns comes back as it is.
 */
export function reduceToTriangle(blocks: Iterable<Matrix>, algebra: LinearAlgebra): Matrix {
  let triangle: Matrix | undefined;
  for (const block of blocks) {
    const joined = triangle === undefined ? block : stack(triangle, block);
    triangle = joined.rows > joined.columns ? algebra.triangularFactor(joined) : joined;
  }
  return triangle ?? createMatrix(0, 0);
}

function stack(top: Matrix, bottom: Matrix): Matrix {
  const stacked = createMatrix(top.rows + bottom.rows, top.columns);
  stacked.values.set(top.values);
  stacked.values.set(bottom.values, top.values.length);
  return stacked;
}
