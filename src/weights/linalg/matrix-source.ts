/**
 * A matrix that is read block by block, so that only its short side decides what fits into memory. Its long side is
 * its rows where it has at least as many rows as columns, its columns otherwise.
 */
import type { LinearAlgebra } from "./linear-algebra.ts";
import { createMatrix, type Matrix, subtractFrom } from "./matrix.ts";

/** A matrix to be read in blocks across its long side. */
export interface MatrixSource {
  readonly rows: number;
  readonly columns: number;
  /**
   * Rows `start` up to `end` of a tall or square matrix; columns `start` up to `end` of a wide one. In memory of its
   * own, which whoever reads it may overwrite.
   */
  readBlock(start: number, end: number): Matrix;
}

/** The sides of a source. */
export function sidesOf({ rows, columns }: Pick<MatrixSource, "rows" | "columns">): {
  readonly long: number;
  readonly short: number;
  readonly isWide: boolean;
} {
  return { long: Math.max(rows, columns), short: Math.min(rows, columns), isWide: columns > rows };
}

/** A matrix in memory as a source. */
export function createDenseSource(matrix: Matrix): MatrixSource {
  const { rows, columns, values } = matrix;
  return {
    rows,
    columns,
    readBlock: (start, end) => {
      if (rows >= columns)
        return createMatrix(end - start, columns, values.slice(start * columns, end * columns));
      const block = createMatrix(rows, end - start);
      for (let row = 0; row < rows; row++)
        block.values.set(values.subarray(row * columns + start, row * columns + end), row * (end - start));
      return block;
    },
  };
}

/** The difference after − before, formed block by block. Throws `RangeError` when the shapes differ. */
export function createDifference(before: MatrixSource, after: MatrixSource): MatrixSource {
  if (before.rows !== after.rows || before.columns !== after.columns)
    throw new RangeError(
      `Cannot subtract ${before.rows} × ${before.columns} from ${after.rows} × ${after.columns}`,
    );
  return {
    rows: before.rows,
    columns: before.columns,
    readBlock: (start, end) => subtractFrom(after.readBlock(start, end), before.readBlock(start, end)),
  };
}

/** Elements of a block: 32 MiB of floats, large enough for fast products. */
const blockElements = 4 * 2 ** 20;

/** A block and where it lies on the long side. */
export interface Block {
  readonly start: number;
  readonly end: number;
  readonly matrix: Matrix;
}

/** All blocks of a source, in order. */
export function* readBlocks(source: MatrixSource): Generator<Block, void, void> {
  const { long, short } = sidesOf(source);
  const step = Math.max(1, Math.floor(blockElements / Math.max(1, short)));
  for (let start = 0; start < long; start += step) {
    const end = Math.min(start + step, long);
    yield { start, end, matrix: source.readBlock(start, end) };
  }
}

/** The whole source in memory. */
export function readWhole(source: MatrixSource): Matrix {
  return source.readBlock(0, sidesOf(source).long);
}

/** The Gram matrix of the short side, on and above its diagonal. */
export function computeGram(source: MatrixSource, algebra: LinearAlgebra): Matrix {
  const { short, isWide } = sidesOf(source);
  const gram = createMatrix(short, short);
  for (const { matrix } of readBlocks(source)) algebra.addGram(gram, matrix, isWide);
  return gram;
}

/** From the short side to the long one: A · x (or Aᵀ · x of a wide matrix), long × k for x of short × k. */
export function multiplyToLong(source: MatrixSource, x: Matrix, algebra: LinearAlgebra): Matrix {
  const { long, isWide } = sidesOf(source);
  const product = createMatrix(long, x.columns);
  for (const { start, matrix } of readBlocks(source))
    product.values.set(algebra.multiply(matrix, x, { left: isWide }).values, start * x.columns);
  return product;
}

/** From the long side to the short one: Aᵀ · y (or A · y of a wide matrix), short × k for y of long × k. */
export function multiplyToShort(source: MatrixSource, y: Matrix, algebra: LinearAlgebra): Matrix {
  const { short, isWide } = sidesOf(source);
  const sum = createMatrix(short, y.columns);
  for (const { start, end, matrix } of readBlocks(source)) {
    const rows = createMatrix(end - start, y.columns, y.values.subarray(start * y.columns, end * y.columns));
    const part = algebra.multiply(matrix, rows, { left: !isWide });
    for (let index = 0; index < sum.values.length; index++)
      sum.values[index] = (sum.values[index] ?? 0) + (part.values[index] ?? 0);
  }
  return sum;
}
