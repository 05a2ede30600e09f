/** Dense matrices of 64-bit floats, row after row; what every routine of this room takes and gives. */

/** A matrix in C order: element (i, j) is `values[i * columns + j]`. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly values: Float64Array;
}

/** A matrix of these values (zeros by default). Throws `RangeError` when they do not fill it. */
export function createMatrix(rows: number, columns: number, values?: Float64Array): Matrix {
  const filled = values ?? new Float64Array(rows * columns);
  if (filled.length !== rows * columns)
    throw new RangeError(`Cannot make a ${rows} × ${columns} matrix of ${filled.length} values`);
  return { rows, columns, values: filled };
}

/** The columns × rows matrix with element (j, i) at (i, j), in memory of its own. */
export function transpose({ rows, columns, values }: Matrix): Matrix {
  const turned = new Float64Array(values.length);
  // By tiles: walking one matrix along rows and the other along columns would miss the cache at every step.
  for (let top = 0; top < rows; top += tileSize)
    for (let left = 0; left < columns; left += tileSize) {
      const bottom = Math.min(top + tileSize, rows);
      const right = Math.min(left + tileSize, columns);
      for (let row = top; row < bottom; row++)
        for (let column = left; column < right; column++)
          turned[column * rows + row] = values[row * columns + column] ?? 0;
    }
  return createMatrix(columns, rows, turned);
}

const tileSize = 32;

/** The first `count` columns, in memory of their own; the matrix itself when that is all of them. */
export function takeColumns(matrix: Matrix, count: number): Matrix {
  const { rows, columns, values } = matrix;
  if (count === columns) return matrix;
  const taken = new Float64Array(rows * count);
  for (let row = 0; row < rows; row++)
    taken.set(values.subarray(row * columns, row * columns + count), row * count);
  return createMatrix(rows, count, taken);
}

/** The square matrix's leading block of that size; the matrix itself when that is all of it. */
export function takeLeadingBlock({ columns, values }: Matrix, size: number): Matrix {
  return takeColumns(createMatrix(size, columns, values.subarray(0, size * columns)), size);
}

/** Multiplies column j by `factors[j]`, in place. */
export function scaleColumns({ rows, columns, values }: Matrix, factors: ArrayLike<number>): void {
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const index = row * columns + column;
      values[index] = (values[index] ?? 0) * (factors[column] ?? 0);
    }
}

/** Takes `other` from `matrix`, in place, and gives `matrix`. Throws `RangeError` when the shapes differ. */
export function subtractFrom(matrix: Matrix, other: Matrix): Matrix {
  if (matrix.rows !== other.rows || matrix.columns !== other.columns)
    throw new RangeError(
      `Cannot subtract ${other.rows} × ${other.columns} from ${matrix.rows} × ${matrix.columns}`,
    );
  const { values } = matrix;
  for (let index = 0; index < values.length; index++)
    values[index] = (values[index] ?? 0) - (other.values[index] ?? 0);
  return matrix;
}

/** Σ of the squares of all elements: the square of the Frobenius norm. */
export function sumOfSquares(values: Float64Array): number {
  let sum = 0;
  for (let index = 0; index < values.length; index++) sum += (values[index] ?? 0) ** 2;
  return sum;
}
