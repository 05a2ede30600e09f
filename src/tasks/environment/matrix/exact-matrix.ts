/** Determinants and ranks of integer matrices, exactly: fraction-free elimination over big integers. */

/** Rows of integers, all of one length. */
export type IntegerMatrix = readonly (readonly number[])[];

interface Elimination {
  readonly rank: number;
  /** Of a square matrix. */
  readonly determinant: bigint;
}

/**
 * Bareiss elimination: every division is exact. Bareiss, "Sylvester's identity and multistep integer-preserving Gaussian
 * elimination", Mathematics of Computation 1968.
 */
function eliminate(matrix: IntegerMatrix): Elimination {
  const rows: (readonly bigint[])[] = matrix.map((row) => row.map(BigInt));
  const numColumns = rows[0]?.length ?? 0;
  let [rank, previous, sign] = [0, 1n, 1n];
  for (let column = 0; column < numColumns && rank < rows.length; column++) {
    const pivotRow = rows.findIndex((row, index) => index >= rank && row[column] !== 0n);
    if (pivotRow < 0) continue;
    if (pivotRow !== rank) {
      [rows[rank], rows[pivotRow]] = [rows[pivotRow] ?? [], rows[rank] ?? []];
      sign = -sign;
    }
    previous = clearBelow(rows, { rank, column, previous });
    rank += 1;
  }
  return { rank, determinant: rank === rows.length ? sign * previous : 0n };
}

/** Makes a column zero below the row of its pivot, in place; gives the pivot, by which the next step divides. */
function clearBelow(
  rows: (readonly bigint[])[],
  { rank, column, previous }: { readonly rank: number; readonly column: number; readonly previous: bigint },
): bigint {
  const top = rows[rank] ?? [];
  const pivot = top[column] ?? 1n;
  for (let row = rank + 1; row < rows.length; row++) {
    const own = rows[row] ?? [];
    const factor = own[column] ?? 0n;
    rows[row] = own.map((value, index) => (value * pivot - factor * (top[index] ?? 0n)) / previous);
  }
  return pivot;
}

/** The determinant of a square matrix. Throws `RangeError` for any other. */
export function computeDeterminant(matrix: IntegerMatrix): number {
  if (matrix.some((row) => row.length !== matrix.length))
    throw new RangeError(`Cannot compute the determinant of a matrix that is not square`);
  return Number(eliminate(matrix).determinant);
}

/** The rank of a matrix. */
export function computeRank(matrix: IntegerMatrix): number {
  return eliminate(matrix).rank;
}
