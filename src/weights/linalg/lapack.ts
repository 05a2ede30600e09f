/**
 * The LAPACK backend. Matrices here are row after row, LAPACK's column after column: what it is given is always the
 * transpose, and the comments say which way that goes.
 */
import type { LapackLibrary } from "./lapack-library.ts";
import { type LinearAlgebra, planProduct, type SymmetricEigenpairs } from "./linear-algebra.ts";
import { createMatrix, type Matrix, transpose } from "./matrix.ts";

/** A backend on an open library. */
export function createLapack(library: LapackLibrary): LinearAlgebra {
  return {
    name: library.name,
    description: library.description,
    useThreads: library.useThreads,
    multiply: (left, right, transposed = {}) => {
      const { rows, inner, columns } = planProduct(left, right, transposed);
      const product = createMatrix(rows, columns);
      // (A B)ᵀ = Bᵀ Aᵀ, and the buffers already hold the transposes.
      const turns = [transposed.right ? "T" : "N", transposed.left ? "T" : "N"] as const;
      const [a, b] = [library.integers(left.columns), library.integers(right.columns)];
      const sizes = [columns, rows, inner].map((size) => library.integers(size));
      library.call(
        "gemm",
        ...turns,
        ...sizes,
        one,
        right.values,
        b,
        left.values,
        a,
        zero,
        product.values,
        sizes[0],
      );
      return product;
    },
    addGram: (gram, block, byRows = false) => {
      const [order, depth] = byRows ? [block.rows, block.columns] : [block.columns, block.rows];
      const [n, k, stride] = [order, depth, block.columns].map((size) => library.integers(size));
      // Above the diagonal row after row is below it column after column.
      library.call("syrk", "L", byRows ? "T" : "N", n, k, one, block.values, stride, one, gram.values, n);
    },
    decompose: (matrix) => decompose(library, matrix),
    singularValues: (matrix) => singularValues(library, matrix),
    symmetricEigenpairs: (matrix, numVectors) => symmetricEigenpairs(library, matrix, numVectors),
    orthogonalize: (matrix) => orthogonalize(library, matrix),
    triangularFactor: (matrix) => readTriangle(reduce(library, matrix)),
  };
}

const one = Float64Array.of(1);
const zero = Float64Array.of(0);

/** What LAPACK reports at the end: 0 for success. */
function expectSuccess(routine: string, info: ArrayLike<number | bigint>): void {
  const code = Number(info[0]);
  if (code !== 0) throw new Error(`Cannot finish ${routine}: LAPACK returned ${code}`);
}

/** Calls a routine twice: for the size of the workspace it wants, and with it. `call` gets the workspace and its size. */
function withWorkspace(
  library: LapackLibrary,
  call: (work: Float64Array, size: ArrayLike<number | bigint>) => void,
): void {
  const wanted = Float64Array.of(0);
  call(wanted, library.integers(-1));
  const size = Math.max(1, wanted[0] ?? 1);
  call(new Float64Array(size), library.integers(size));
}

function decompose(library: LapackLibrary, matrix: Matrix): ReturnType<LinearAlgebra["decompose"]> {
  const { rows, columns } = matrix;
  const r = Math.min(rows, columns);
  const values = new Float64Array(r);
  const left = createMatrix(rows, r);
  const rightTransposed = createMatrix(r, columns);
  const info = library.integers(0);
  const [m, n, k] = [columns, rows, r].map((size) => library.integers(size));
  const iwork = library.integers(0, 8 * r);
  const copy = matrix.values.slice();
  // Aᵀ = V S Uᵀ: LAPACK's left vectors are our right ones.
  withWorkspace(library, (work, size) =>
    library.call(
      "gesdd",
      "S",
      m,
      n,
      copy,
      m,
      values,
      rightTransposed.values,
      m,
      left.values,
      k,
      work,
      size,
      iwork,
      info,
    ),
  );
  expectSuccess("dgesdd", info);
  return { left, values, right: transpose(rightTransposed) };
}

function singularValues(library: LapackLibrary, matrix: Matrix): Float64Array {
  const values = new Float64Array(Math.min(matrix.rows, matrix.columns));
  const info = library.integers(0);
  const [m, n, unused] = [matrix.columns, matrix.rows, 1].map((size) => library.integers(size));
  const iwork = library.integers(0, 8 * values.length);
  const copy = matrix.values.slice();
  withWorkspace(library, (work, size) =>
    library.call("gesdd", "N", m, n, copy, m, values, one, unused, one, unused, work, size, iwork, info),
  );
  expectSuccess("dgesdd", info);
  return values;
}

/**
 * Householder tridiagonalization (dsytrd), all eigenvalues by QL/QR without square roots (dsterf), and only the
 * wanted eigenvectors by relatively robust representations (dstemr), turned back by the reflections (dormtr).
 */
function symmetricEigenpairs(
  library: LapackLibrary,
  { rows: size, values: elements }: Matrix,
  numVectors: number,
): SymmetricEigenpairs {
  const [diagonal, beside] = [new Float64Array(size), new Float64Array(size)];
  const reflectors = new Float64Array(size);
  const n = library.integers(size);
  const info = library.integers(0);
  withWorkspace(library, (work, workSize) =>
    library.call("sytrd", "L", n, elements, n, diagonal, beside, reflectors, work, workSize, info),
  );
  expectSuccess("dsytrd", info);
  const values = diagonal.slice();
  library.call("sterf", n, values, beside.slice(), info);
  expectSuccess("dsterf", info);
  values.reverse();
  if (numVectors === 0) return { values, vectors: createMatrix(size, 0) };
  const ascending = tridiagonalVectors(library, { diagonal, beside }, numVectors);
  const [k, vectors] = [library.integers(numVectors), ascending.values];
  withWorkspace(library, (work, workSize) =>
    library.call("ormtr", "L", "L", "N", n, k, elements, n, reflectors, vectors, n, work, workSize, info),
  );
  expectSuccess("dormtr", info);
  return { values, vectors: transpose(reverseRows(ascending)) };
}

interface Tridiagonal {
  readonly diagonal: Float64Array;
  readonly beside: Float64Array;
}

/** Eigenvectors of the `count` largest eigenvalues of a tridiagonal matrix, one a row, ascending. */
function tridiagonalVectors(
  library: LapackLibrary,
  { diagonal, beside }: Tridiagonal,
  count: number,
): Matrix {
  const size = diagonal.length;
  const vectors = createMatrix(count, size);
  const found = library.integers(0);
  const info = library.integers(0);
  const [n, k, first] = [size, count, size - count + 1].map((value) => library.integers(value));
  const supports = library.integers(0, 2 * count);
  const [work, iwork] = [new Float64Array(18 * size), library.integers(0, 10 * size)];
  const [workSize, iworkSize] = [library.integers(18 * size), library.integers(10 * size)];
  library.call(
    ...(["stemr", "V", "I", n, diagonal.slice(), beside.slice(), zero, zero, first, n, found] as const),
    ...([new Float64Array(size), vectors.values, n, k, supports, library.integers(1)] as const),
    ...([work, workSize, iwork, iworkSize, info] as const),
  );
  return Number(info[0]) === 0 ? vectors : divideTridiagonal(library, { diagonal, beside }, count);
}

/**
 * The same by divide and conquer (dstedc), all vectors at the cost of n³: dstemr fails where many eigenvalues are alike,
 * as the zeros of matrices of low rank may be.
 */
function divideTridiagonal(library: LapackLibrary, { diagonal, beside }: Tridiagonal, count: number): Matrix {
  const size = diagonal.length;
  const vectors = new Float64Array(size * size);
  const info = library.integers(0);
  const [workSize, iworkSize] = [1 + 4 * size + size ** 2, 3 + 5 * size];
  const [n, lwork, liwork] = [size, workSize, iworkSize].map((value) => library.integers(value));
  library.call(
    ...(["stedc", "I", n, diagonal.slice(), beside.slice(), vectors, n] as const),
    ...([new Float64Array(workSize), lwork, library.integers(0, iworkSize), liwork, info] as const),
  );
  expectSuccess("dstedc", info);
  return createMatrix(count, size, vectors.slice((size - count) * size));
}

function reverseRows({ rows, columns, values }: Matrix): Matrix {
  const reversed = new Float64Array(values.length);
  for (let row = 0; row < rows; row++)
    reversed.set(values.subarray(row * columns, (row + 1) * columns), (rows - 1 - row) * columns);
  return createMatrix(rows, columns, reversed);
}

/** What dgelqf leaves of A: R on and above the diagonal of its first rows, the reflections of Q in the rest. */
interface Reduced extends Matrix {
  readonly reflectors: Float64Array;
}

/** A = Q R from the LQ factors of Aᵀ, which is what the buffer holds: Aᵀ = L Qᵀ with L = Rᵀ. */
function reduce(library: LapackLibrary, { rows, columns, values }: Matrix): Reduced {
  const reduced = { rows, columns, values: values.slice(), reflectors: new Float64Array(columns) };
  const info = library.integers(0);
  const [m, n] = [library.integers(columns), library.integers(rows)];
  withWorkspace(library, (work, size) =>
    library.call("gelqf", m, n, reduced.values, m, reduced.reflectors, work, size, info),
  );
  expectSuccess("dgelqf", info);
  return reduced;
}

function readTriangle({ columns, values }: Reduced): Matrix {
  const r = createMatrix(columns, columns);
  for (let row = 0; row < columns; row++)
    r.values.set(values.subarray(row * columns + row, (row + 1) * columns), row * columns + row);
  return r;
}

function orthogonalize(library: LapackLibrary, matrix: Matrix): ReturnType<LinearAlgebra["orthogonalize"]> {
  const { rows, columns, values, reflectors } = reduce(library, matrix);
  const r = readTriangle({ rows, columns, values, reflectors });
  const info = library.integers(0);
  const [m, n] = [library.integers(columns), library.integers(rows)];
  withWorkspace(library, (work, size) =>
    library.call("orglq", m, n, m, values, m, reflectors, work, size, info),
  );
  expectSuccess("dorglq", info);
  return { q: createMatrix(rows, columns, values), r };
}
