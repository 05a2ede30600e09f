/** The portable backend: ml-matrix, pure JavaScript, on every machine. For small matrices: time grows quickly. */
import {
  EigenvalueDecomposition,
  SingularValueDecomposition as MlSvd,
  QrDecomposition,
  Matrix as Rows,
} from "ml-matrix";
import { type LinearAlgebra, planProduct, type Transposed } from "./linear-algebra.ts";
import { createMatrix, type Matrix, takeColumns } from "./matrix.ts";

/** Creates the portable backend. */
export function createPortable(): LinearAlgebra {
  return {
    name: "portable",
    description: "ml-matrix (JavaScript)",
    safety: 8,
    useThreads: () => undefined,
    multiply,
    addGram: (gram, block, byRows = false) => {
      const product = multiply(block, block, byRows ? { right: true } : { left: true });
      for (let index = 0; index < gram.values.length; index++)
        gram.values[index] = (gram.values[index] ?? 0) + (product.values[index] ?? 0);
    },
    decompose: (matrix) => {
      const found = new MlSvd(toRows(blur(matrix)), { autoTranspose: true });
      return {
        left: fromRows(found.leftSingularVectors),
        values: Float64Array.from(found.diagonal),
        right: fromRows(found.rightSingularVectors),
      };
    },
    singularValues: (matrix) => {
      const options = { computeLeftSingularVectors: false, computeRightSingularVectors: false };
      return Float64Array.from(new MlSvd(toRows(blur(matrix)), { autoTranspose: true, ...options }).diagonal);
    },
    symmetricEigenpairs,
    orthogonalize: (matrix) => {
      const { orthogonalMatrix, upperTriangularMatrix } = new QrDecomposition(toRows(matrix));
      return { q: fromRows(orthogonalMatrix), r: fromRows(upperTriangularMatrix) };
    },
    triangularFactor: (matrix) => fromRows(new QrDecomposition(toRows(matrix)).upperTriangularMatrix),
  };
}

/**
 * The matrix with its last bits made unlike: ml-matrix (6.15) never ends on many a matrix whose rows are all alike,
 * because values that should be 0 shrink until its threshold is 0 as well. By at most ε / 2 of the largest element.
 */
function blur({ rows, columns, values }: Matrix): Matrix {
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const size = (Number.EPSILON / 2) * largest;
  // Multiples of the golden ratio, modulo 1: fixed, and unlike in every row.
  const blurred = values.map((value, index) => value + size * (2 * ((index * goldenRatio) % 1) - 1));
  return createMatrix(rows, columns, blurred);
}

const goldenRatio = 0.618033988749895;

function toRows({ rows, columns, values }: Matrix): Rows {
  return Rows.from1DArray(rows, columns, values);
}

function fromRows(source: Rows): Matrix {
  return createMatrix(source.rows, source.columns, Float64Array.from(source.to1DArray()));
}

function multiply(left: Matrix, right: Matrix, transposed: Transposed = {}): Matrix {
  const { rows, columns } = planProduct(left, right, transposed);
  const [a, b] = [toRows(left), toRows(right)];
  const product = (transposed.left ? a.transpose() : a).mmul(transposed.right ? b.transpose() : b);
  return createMatrix(rows, columns, Float64Array.from(product.to1DArray()));
}

function symmetricEigenpairs(
  matrix: Matrix,
  numVectors: number,
): ReturnType<LinearAlgebra["symmetricEigenpairs"]> {
  const { rows: size, values } = matrix;
  for (let row = 1; row < size; row++)
    for (let column = 0; column < row; column++)
      values[row * size + column] = values[column * size + row] ?? 0;
  const found = new EigenvalueDecomposition(toRows(matrix), { assumeSymmetric: true });
  // ml-matrix gives the smallest first.
  const vectors = fromRows(found.eigenvectorMatrix.flipRows());
  return {
    values: Float64Array.from(found.realEigenvalues).reverse(),
    vectors: takeColumns(vectors, numVectors),
  };
}
