/** Columns of matrices: chosen, scaled, put side by side. */
import { createMatrix, type Matrix } from "../linalg/index.ts";

/** The columns of these numbers, in that order, each multiplied by its weight (1 by default), in memory of their own. */
export function selectColumns(
  { rows, columns, values }: Matrix,
  chosen: readonly number[],
  weights?: readonly number[],
): Matrix {
  const selected = createMatrix(rows, chosen.length);
  for (let row = 0; row < rows; row++)
    for (let position = 0; position < chosen.length; position++)
      selected.values[row * chosen.length + position] =
        (values[row * columns + (chosen[position] ?? 0)] ?? 0) * (weights?.[position] ?? 1);
  return selected;
}

/** Every column multiplied by its weight, in memory of its own. */
export function weigh(matrix: Matrix, weights: readonly number[]): Matrix {
  return selectColumns(matrix, [...weights.keys()], weights);
}

/** The sum of two matrices of one shape. */
export function addColumns(first: Matrix, second: Matrix): Matrix {
  const { rows, columns } = first;
  return createMatrix(
    rows,
    columns,
    first.values.map((value, index) => value + (second.values[index] ?? 0)),
  );
}

/** Both side by side. Throws `RangeError` for different numbers of rows. */
export function concatenateColumns(first: Matrix, second: Matrix): Matrix {
  if (first.rows !== second.rows)
    throw new RangeError(`Cannot put ${second.rows} rows beside ${first.rows} rows`);
  const joined = createMatrix(first.rows, first.columns + second.columns);
  for (let row = 0; row < first.rows; row++) {
    joined.values.set(takeRow(first, row), row * joined.columns);
    joined.values.set(takeRow(second, row), row * joined.columns + first.columns);
  }
  return joined;
}

/** Rows `start` up to `end`, as a view. */
export function viewRows({ columns, values }: Matrix, start: number, end: number): Matrix {
  return createMatrix(end - start, columns, values.subarray(start * columns, end * columns));
}

function takeRow({ columns, values }: Matrix, row: number): Float64Array {
  return values.subarray(row * columns, (row + 1) * columns);
}
