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
export const factorMethods = ["svd", "gram", "qr", "randomised"] as const;
export type FactorMethod = (typeof factorMethods)[number];

/** Singular values, and the leading singular vectors on both sides. */
export interface Factors {
  readonly rows: number;
  readonly columns: number;
  /** Descending; all min(rows, columns), or as many as there are vectors where the method is randomised. */
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

/** Matrices up to this short side and size are decomposed whole: the most accurate way, and quick enough. */
const [denseShort, denseElements] = [512, 2 ** 21];

/** Factors of the matrix. Throws `Error` when the backend does not converge, as it does on NaN. */
export function factorize(
  source: MatrixSource,
  { numVectors, tolerance }: FactorRequest,
  algebra: LinearAlgebra,
): Factors {
  const { long, short } = sidesOf(source);
  const count = Math.min(numVectors, short);
  if (short <= denseShort && long * short <= denseElements) return decomposeWhole(source, count, algebra);
  const found = factorizeByGram(source, count, algebra);
  const [largest = 0] = found.values;
  return found.valueError <= tolerance * largest ? found : factorizeByQr(source, count, algebra);
}

const epsilon = Number.EPSILON;

/** Backward error of a decomposition, in units of the spectral norm: as random rounding adds up, times a safety. */
function boundRounding(source: Pick<MatrixSource, "rows" | "columns">, { safety }: LinearAlgebra): number {
  return safety * epsilon * (Math.sqrt(source.rows) + Math.sqrt(source.columns));
}

function decomposeWhole(source: MatrixSource, count: number, algebra: LinearAlgebra): Factors {
  const { rows, columns } = source;
  const matrix = readWhole(source);
  const rounding = boundRounding(source, algebra);
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
 * By the eigenpairs of the Gram matrix. An eigenvalue λ = σ² is off by up to δ = rounding · λ₁, so a
 * value is off by δ / (σ + √(σ² + δ)) at most: fully accurate near σ₁, √δ at 0.
 */
function factorizeByGram(source: MatrixSource, count: number, algebra: LinearAlgebra): Factors {
  const { values: squares, vectors } = algebra.symmetricEigenpairs(computeGram(source, algebra), count);
  const values = squares.map((square) => Math.sqrt(Math.max(0, square)));
  const rounding = boundRounding(source, algebra);
  const delta = rounding * (squares[0] ?? 0);
  const smallest = values.at(-1) ?? 0;
  const valueError = delta === 0 ? 0 : delta / (smallest + Math.sqrt(smallest ** 2 + delta));
  const vectorsToo = { values, short: vectors, departure: delta / (values[count - 1] ?? 1) ** 2 };
  return assemble(source, { ...vectorsToo, method: "gram", valueError, rounding }, algebra);
}

/** By QR of the long side in blocks, which keeps small values, and a dense SVD of the triangular factor. */
function factorizeByQr(source: MatrixSource, count: number, algebra: LinearAlgebra): Factors {
  const { rows, columns } = source;
  const rounding = boundRounding(source, algebra);
  const errorOf = (values: Float64Array) => ({ rounding, valueError: rounding * (values[0] ?? 0) });
  if (rows === columns) {
    // A square matrix cannot be reduced.
    const { left, values, right } = algebra.decompose(readWhole(source));
    const sides = { left: takeColumns(left, count), right: takeColumns(right, count) };
    return { rows, columns, values, ...sides, method: "svd", ...errorOf(values) };
  }
  const { values, right } = algebra.decompose(reduceToTriangle(readLongRows(source), algebra));
  const found = { values, short: takeColumns(right, count), departure: Number.POSITIVE_INFINITY };
  return assemble(source, { ...found, method: "qr", ...errorOf(values) }, algebra);
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

/** Largest departure from orthonormal columns that is left as it is. */
const acceptedDeparture = 1e-12;

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
  const long = departure <= acceptedDeparture || short.columns === 0 ? product : straighten(product, algebra);
  return {
    rows,
    columns,
    values,
    left: isWide ? short : long,
    right: isWide ? long : short,
    ...precision,
  };
}

/** The nearest thing to the columns that is orthonormal to the last bit, by QR; signs are kept. */
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
 * subspace is no property of the matrix. 0 where it is all of the smaller space.
 */
export function subspaceError(factors: Factors, rank: number): number {
  const { values, method, rounding } = factors;
  if (rank >= factors.rows && rank >= factors.columns) return 0;
  const [largest = 0] = values;
  const [inside = 0, outside = 0] = [values[rank - 1], values[rank]];
  if (inside <= outside) return Math.PI / 2;
  const sine =
    method === "gram"
      ? (rounding * largest ** 2) / (inside ** 2 - outside ** 2)
      : (rounding * largest) / (inside - outside);
  return Math.asin(Math.min(1, sine));
}
