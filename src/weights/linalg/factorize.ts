/**
 * Singular values and leading singular vectors of a matrix of any shape, by the cheapest way that is accurate enough.
 * Small matrices: a dense SVD. Larger ones: the Gram matrix of the short side and its eigenpairs, in 64-bit floats;
 * where that would lose small singular values, QR by blocks and a dense SVD of the triangular factor.
 */
import type { LinearAlgebra } from "./linear-algebra.ts";
import { createMatrix, type Matrix, scaleColumns, takeColumns, transpose } from "./matrix.ts";
import {
  computeGram,
  type MatrixSource,
  multiplyToLong,
  readBlocks,
  readWhole,
  sidesOf,
} from "./matrix-source.ts";
import { reduceToTriangle } from "./reduce.ts";

/** How factors were computed. */
export const factorMethods = ["svd", "gram", "qr", "randomized"] as const;
export type FactorMethod = (typeof factorMethods)[number];

/** Singular values, and the leading singular vectors on both sides. */
export interface Factors {
  readonly rows: number;
  readonly columns: number;
  /** Descending; all min(rows, columns), or as many as there are vectors where the method is randomized. */
  readonly values: Float64Array;
  /** rows × k, orthonormal columns. */
  readonly left: Matrix;
  /** columns × k, orthonormal columns. */
  readonly right: Matrix;
  readonly method: FactorMethod;
  /** No value is further than this from the exact one. */
  readonly valueError: number;
  /** What was decomposed differs from the matrix (or its Gram matrix) by at most this times its spectral norm. */
  readonly rounding: number;
}

/** What to compute. */
export interface FactorRequest {
  /** Singular vectors on each side; 0 for values only. */
  readonly numVectors: number;
  /** Largest error of a value as a fraction of the largest value. */
  readonly tolerance: number;
}

/** Matrices up to this short side and number of elements are decomposed whole: the most accurate way, and quick enough. */
const denseShort = 512;
const denseElements = 2 ** 21;

/** Factors of the matrix, whose elements must be finite. Throws `Error` when the backend does not converge. */
export function factorize(
  source: MatrixSource,
  { numVectors, tolerance }: FactorRequest,
  algebra: LinearAlgebra,
): Factors {
  const { long, short } = sidesOf(source);
  const count = Math.min(numVectors, short);
  if (short <= denseShort && long * short <= denseElements) return decomposeWhole(source, count, algebra);
  const found = examineGram(source, count, algebra);
  const [largest = 0] = found.values;
  if (found.valueError <= tolerance * largest) return assemble(source, found, algebra);
  if (count > 0 && found.departure > tellingDeparture) return factorizeByQr(source, count, algebra);
  // The leading vectors are as good as any; only small values were lost.
  return assemble(source, { ...found, ...examineValues(source, algebra) }, algebra);
}

/** Vectors whose long side departs further from orthonormal columns than this are not told by the Gram matrix. */
const tellingDeparture = 1e-4;

const epsilon = Number.EPSILON;

/**
 * Backward error of a decomposition, in units of the spectral norm: roundings add up like a random walk, and in part in
 * step, as they do where elements are alike; the values of tight clusters come out less exactly. No proof: it held for
 * all that the tests try.
 */
function boundRounding({ rows, columns }: Pick<MatrixSource, "rows" | "columns">): number {
  return epsilon * (48 + Math.sqrt(rows) + Math.sqrt(columns) + (rows + columns) / 8);
}

function decomposeWhole(source: MatrixSource, count: number, algebra: LinearAlgebra): Factors {
  const { rows, columns } = source;
  const matrix = readWhole(source);
  const rounding = boundRounding(source);
  const shape = { rows, columns, method: "svd" as const, rounding };
  if (count === 0) {
    const values = algebra.singularValues(matrix);
    const none = { left: createMatrix(rows, 0), right: createMatrix(columns, 0) };
    return { ...shape, ...none, values, valueError: rounding * (values[0] ?? 0) };
  }
  const { left, values, right } = algebra.decompose(matrix);
  return {
    ...shape,
    left: takeColumns(left, count),
    values,
    right: takeColumns(right, count),
    valueError: rounding * (values[0] ?? 0),
  };
}

/**
 * By the eigenpairs of the Gram matrix. An eigenvalue λ = σ² is off by up to δ = rounding · λ₁, so a value is
 * off by δ / (σ + √(σ² − δ)) at most: fully accurate near σ₁, √δ at 0.
 */
function examineGram(source: MatrixSource, count: number, algebra: LinearAlgebra): ShortSide {
  const { values: squares, vectors } = algebra.symmetricEigenpairs(computeGram(source, algebra), count);
  const values = squares.map((square) => Math.sqrt(Math.max(0, square)));
  const rounding = boundRounding(source);
  const delta = rounding * (squares[0] ?? 0);
  const smallest = values.at(-1) ?? 0;
  const excess = smallest ** 2 - delta;
  const valueError = excess <= 0 ? Math.sqrt(delta) : delta / (smallest + Math.sqrt(excess));
  const last = values[count - 1] ?? 0;
  const departure = last === 0 ? Number.POSITIVE_INFINITY : delta / last ** 2;
  return { values, short: vectors, departure, method: "gram", valueError, rounding };
}

/** All values without squaring the matrix: of its triangular factor, or of itself when it is square. */
function examineValues(
  source: MatrixSource,
  algebra: LinearAlgebra,
): Pick<ShortSide, "values" | "valueError" | "rounding"> {
  const isSquare = source.rows === source.columns;
  const reduced = isSquare ? readWhole(source) : reduceToTriangle(readLongRows(source), algebra);
  const values = algebra.singularValues(reduced);
  const rounding = boundRounding(source);
  return { values, valueError: rounding * (values[0] ?? 0), rounding };
}

/** By QR of the long side in blocks, which keeps small values, and a dense SVD of the triangular factor. */
function factorizeByQr(source: MatrixSource, count: number, algebra: LinearAlgebra): Factors {
  // A square matrix cannot be reduced.
  if (source.rows === source.columns) return decomposeWhole(source, count, algebra);
  const { values, right } = algebra.decompose(reduceToTriangle(readLongRows(source), algebra));
  const rounding = boundRounding(source);
  const found = { values, short: takeColumns(right, count), departure: Number.POSITIVE_INFINITY };
  const valueError = rounding * (values[0] ?? 0);
  return assemble(source, { ...found, method: "qr", rounding, valueError }, algebra);
}

/** The source block by block with its long side as rows: of a wide matrix, the rows of its transpose. */
function* readLongRows(source: MatrixSource): Generator<Matrix, void, void> {
  const { isWide } = sidesOf(source);
  for (const { matrix } of readBlocks(source)) yield isWide ? transpose(matrix) : matrix;
}

/** What a decomposition of the short side found. */
interface ShortSide extends Pick<Factors, "values" | "method" | "valueError" | "rounding"> {
  /** The vectors of the short side, short × k. */
  readonly short: Matrix;
  /** How far A · short / σ may be from orthonormal columns. */
  readonly departure: number;
}

/** A departure from orthonormal columns that needs no polishing. */
const acceptedDeparture = 1e-12;
/** A departure that one step of polishing removes. */
const polishedDeparture = 1e-8;

/** Adds the vectors of the long side: A · v / σ, made orthonormal once more where rounding asks for it. */
function assemble(
  source: MatrixSource,
  { short, departure, values, ...precision }: ShortSide,
  algebra: LinearAlgebra,
): Factors {
  const { rows, columns } = source;
  const { isWide } = sidesOf(source);
  const product =
    short.columns === 0 ? createMatrix(sidesOf(source).long, 0) : multiplyToLong(source, short, algebra);
  scaleColumns(
    product,
    values.map((value) => (value > 0 ? 1 / value : 0)),
  );
  const long = short.columns === 0 ? product : orthonormalize(product, departure, algebra);
  return {
    rows,
    columns,
    values,
    left: isWide ? short : long,
    right: isWide ? long : short,
    ...precision,
  };
}

/** Columns that are orthonormal to the last bits, given how far they depart from it. */
function orthonormalize(matrix: Matrix, departure: number, algebra: LinearAlgebra): Matrix {
  if (departure <= acceptedDeparture) return matrix;
  return departure <= polishedDeparture ? polish(matrix, algebra) : straighten(matrix, algebra);
}

/** One Newton–Schulz step, X (3 I − XᵀX) / 2, toward the nearest orthonormal columns: squares the departure. */
function polish(matrix: Matrix, algebra: LinearAlgebra): Matrix {
  const size = matrix.columns;
  const step = createMatrix(size, size);
  algebra.addGram(step, matrix);
  const { values } = step;
  for (let row = 0; row < size; row++)
    for (let column = row; column < size; column++) {
      const value = ((row === column ? 3 : 0) - (values[row * size + column] ?? 0)) / 2;
      values[row * size + column] = value;
      values[column * size + row] = value;
    }
  return algebra.multiply(matrix, step);
}

/** Orthonormal columns by QR, for columns that may be far from it; signs are kept. */
function straighten(matrix: Matrix, algebra: LinearAlgebra): Matrix {
  const { q, r } = algebra.orthogonalize(matrix);
  scaleColumns(
    q,
    Float64Array.from({ length: r.columns }, (_, index) =>
      (r.values[index * (r.columns + 1)] ?? 0) < 0 ? -1 : 1,
    ),
  );
  return q;
}

/**
 * How far the spans of the first `rank` left and right vectors may be turned from the exact ones, in radians: rounding
 * over the gap between values `rank` and `rank` + 1 (Davis and Kahan; Wedin). π/2 where there is no gap: then the
 * subspace is not a property of the matrix. 0 where it is all of the smaller space.
 */
export function subspaceError(factors: Factors, rank: number): number {
  const { values, method, rounding } = factors;
  if (rank >= factors.rows && rank >= factors.columns) return 0;
  // A randomized factorization does not know what comes after its last value.
  if (method === "randomized" && rank >= values.length) return Math.PI / 2;
  const [largest = 0] = values;
  const [inside = 0, outside = 0] = [values[rank - 1], values[rank]];
  if (inside <= outside) return Math.PI / 2;
  const sine =
    method === "gram"
      ? (rounding * largest ** 2) / (inside ** 2 - outside ** 2)
      : (rounding * largest) / (inside - outside);
  return Math.asin(Math.min(1, sine));
}

/** The same factors with fewer vectors; of randomized ones, with fewer values too. */
export function trimFactors(factors: Factors, numVectors: number): Factors {
  const { left, right, values, method } = factors;
  if (left.columns <= numVectors) return factors;
  return {
    ...factors,
    left: takeColumns(left, numVectors),
    right: takeColumns(right, numVectors),
    values: method === "randomized" ? values.slice(0, numVectors) : values,
  };
}
