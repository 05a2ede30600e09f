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
