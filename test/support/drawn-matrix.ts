/** Seeded matrices whose singular values and vectors are known, made without the code under test. */
import { createRandom, type Random } from "../../src/base/core/index.ts";
import type { LinearAlgebra, Matrix } from "../../src/weights/linalg/index.ts";

/** A matrix of independent standard normal elements. */
export function drawNoise(rows: number, columns: number, seed: number): Matrix {
  const random = createRandom(seed, "noise", rows, columns);
  return { rows, columns, values: Float64Array.from({ length: rows * columns }, () => random.normal()) };
}

/** The product by the definition. */
export function multiplyNaively(left: Matrix, right: Matrix): Matrix {
  const values = new Float64Array(left.rows * right.columns);
  for (let i = 0; i < left.rows; i++)
    for (let k = 0; k < left.columns; k++) {
      const factor = left.values[i * left.columns + k]!;
      for (let j = 0; j < right.columns; j++)
        values[i * right.columns + j]! += factor * right.values[k * right.columns + j]!;
    }
  return { rows: left.rows, columns: right.columns, values };
}

/** The transpose by the definition. */
export function turnOver({ rows, columns, values }: Matrix): Matrix {
  const turned = new Float64Array(values.length);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) turned[j * rows + i] = values[i * columns + j]!;
  return { rows: columns, columns: rows, values: turned };
}

/** Columns `start` up to `end`. */
export function sliceColumns({ rows, columns, values }: Matrix, start: number, end: number): Matrix {
  const width = end - start;
  const part = Float64Array.from(
    { length: rows * width },
    (_, index) => values[Math.floor(index / width) * columns + start + (index % width)]!,
  );
  return { rows, columns: width, values: part };
}

/** The matrix with column j multiplied by `factors[j]`. */
export function stretchColumns({ rows, columns, values }: Matrix, factors: ArrayLike<number>): Matrix {
  const stretched = values.slice();
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      stretched[row * columns + column]! *= factors[column] ?? 0;
  return { rows, columns, values: stretched };
}

/** Left minus right. */
export function subtractNaively(left: Matrix, right: Matrix): Matrix {
  const values = left.values.slice();
  for (let index = 0; index < values.length; index++) values[index]! -= right.values[index]!;
  return { rows: left.rows, columns: left.columns, values };
}

/** ‖·‖_F. */
export function measureNorm({ values }: Matrix): number {
  let sum = 0;
  for (let index = 0; index < values.length; index++) sum += values[index]! ** 2;
  return Math.sqrt(sum);
}

/** How far the columns are from orthonormal: the largest element of columnsᵀ · columns − I, in absolute value. */
export function measureDeparture(columns: Matrix, algebra: LinearAlgebra): number {
  return algebra
    .multiply(columns, columns, { left: true })
    .values.reduce(
      (most, value, index) => Math.max(most, Math.abs(value - Number(index % (columns.columns + 1) === 0))),
      0,
    );
}

/** An orthonormal basis of `count` columns: random reflections of the first unit vectors. */
export function drawBasis(dimension: number, count: number, seed: number, side = ""): Matrix {
  return reflect(createDiagonal(dimension, count), seed, side);
}

function createDiagonal(rows: number, columns: number, diagonal?: readonly number[]): Matrix {
  const values = new Float64Array(rows * columns);
  for (let index = 0; index < Math.min(rows, columns); index++)
    values[index * (columns + 1)] = diagonal === undefined ? 1 : (diagonal[index] ?? 0);
  return { rows, columns, values };
}

/** Enough to mix all rows; as many as there are dimensions would give any rotation. */
const numReflections = 4;

/** Reflects the columns, in place; the reflections depend on the seed, the side and the number of rows only. */
function reflect(matrix: Matrix, seed: number, side: string): Matrix {
  const random = createRandom(seed, "reflections", side, matrix.rows);
  for (let turn = 0; turn < Math.min(matrix.rows, numReflections); turn++) reflectOnce(matrix, random);
  return matrix;
}

function reflectOnce({ rows, columns, values }: Matrix, random: Random): void {
  const axis = Float64Array.from({ length: rows }, () => random.normal());
  const size = axis.reduce((sum, value) => sum + value * value, 0);
  const along = new Float64Array(columns);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) along[j]! += axis[i]! * values[i * columns + j]!;
  for (let i = 0; i < rows; i++) {
    const factor = (2 / size) * axis[i]!;
    for (let j = 0; j < columns; j++) values[i * columns + j]! -= factor * along[j]!;
  }
}

/** A matrix by its singular value decomposition. */
export interface KnownMatrix {
  readonly matrix: Matrix;
  /** rows × r, orthonormal columns. */
  readonly left: Matrix;
  readonly values: readonly number[];
  /** columns × r, orthonormal columns. */
  readonly right: Matrix;
}

/** A matrix with these r singular values (descending; r at most its smaller side) and random singular vectors. */
export function drawKnown(
  { rows, columns }: { readonly rows: number; readonly columns: number },
  values: readonly number[],
  seed: number,
): KnownMatrix {
  const half = reflect(createDiagonal(rows, columns, values), seed, "left");
  return {
    matrix: turnOver(reflect(turnOver(half), seed, "right")),
    left: drawBasis(rows, values.length, seed, "left"),
    values,
    right: drawBasis(columns, values.length, seed, "right"),
  };
}
