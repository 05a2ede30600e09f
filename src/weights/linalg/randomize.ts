/**
 * Leading singular triplets by random projections and power iterations (Halko, Martinsson and Tropp, SIAM Review
 * 53(2), 2011): a fraction of the time of an exact factorization, and an error that is measured afterwards.
 */
import { createRandom } from "../../base/core/index.ts";
import type { Factors } from "./factorize.ts";
import type { LinearAlgebra } from "./linear-algebra.ts";
import { createMatrix, type Matrix, scaleColumns, subtractFrom, takeColumns } from "./matrix.ts";
import { type MatrixSource, multiplyToLong, multiplyToShort, sidesOf } from "./matrix-source.ts";

/** What to compute. */
export interface RandomizedRequest {
  /** Triplets to find. */
  readonly numVectors: number;
  /** Names the random projection: the same seed gives the same result. */
  readonly seed: number;
}

/** Directions tried beyond those that are wanted, as Halko et al. recommend for slow decay. */
const numExtra = 16;
/** Power iterations, by the same authors. */
const numIterations = 4;

/**
 * The leading triplets of a matrix. `valueError` is the largest residual ‖Av − σu‖ of them: within that distance of
 * each value given lies an exact one (though not surely the one of the same index).
 */
export function factorizeRandomly(
  source: MatrixSource,
  { numVectors, seed }: RandomizedRequest,
  algebra: LinearAlgebra,
): Factors {
  const { long, short, isWide } = sidesOf(source);
  const count = Math.min(numVectors, short);
  const width = Math.min(short, count + numExtra);
  const random = createRandom(seed, "projection", long, short);
  const start = createMatrix(
    short,
    width,
    Float64Array.from({ length: short * width }, () => random.normal()),
  );
  const basisOf = (matrix: Matrix): Matrix => algebra.orthogonalize(matrix).q;
  let basis = basisOf(multiplyToLong(source, start, algebra));
  for (let iteration = 0; iteration < numIterations; iteration++)
    basis = basisOf(multiplyToLong(source, basisOf(multiplyToShort(source, basis, algebra)), algebra));
  // Aᵀ · basis = P S Wᵀ, so A ≈ (basis W) S Pᵀ.
  const { left, values, right } = algebra.decompose(multiplyToShort(source, basis, algebra));
  const shortVectors = takeColumns(left, count);
  const longVectors = algebra.multiply(basis, takeColumns(right, count));
  const kept = values.slice(0, count);
  const residual = measureResidual(multiplyToLong(source, shortVectors, algebra), longVectors, kept);
  return {
    rows: source.rows,
    columns: source.columns,
    values: kept,
    left: isWide ? shortVectors : longVectors,
    right: isWide ? longVectors : shortVectors,
    method: "randomized",
    valueError: residual,
    rounding: residual / (kept[0] || 1),
  };
}

/** The largest ‖A v − σ u‖ over the columns. */
function measureResidual(image: Matrix, vectors: Matrix, values: Float64Array): number {
  const expected = createMatrix(vectors.rows, vectors.columns, vectors.values.slice());
  scaleColumns(expected, values);
  const { columns, values: gaps } = subtractFrom(image, expected);
  const squares = new Float64Array(columns);
  for (const [index, gap] of gaps.entries())
    squares[index % columns] = (squares[index % columns] ?? 0) + gap * gap;
  return Math.sqrt(squares.reduce((largest, square) => Math.max(largest, square), 0));
}
