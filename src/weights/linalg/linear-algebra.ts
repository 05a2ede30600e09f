/** What this room asks of a backend: six routines on dense matrices, the same contract for all backends. */
import type { Matrix } from "./matrix.ts";

/** A thin singular value decomposition A = left · diag(values) · rightᵀ, r = min(rows, columns). */
export interface SingularValueDecomposition {
  /** rows × r, orthonormal columns. */
  readonly left: Matrix;
  /** r values, descending. */
  readonly values: Float64Array;
  /** columns × r, orthonormal columns. */
  readonly right: Matrix;
}

/** Eigenvalues of a symmetric matrix, and eigenvectors of the largest. */
export interface SymmetricEigenpairs {
  /** All n eigenvalues, descending. */
  readonly values: Float64Array;
  /** n × as many as asked for; orthonormal columns, in the order of the values. */
  readonly vectors: Matrix;
}

/** Dense linear algebra in 64-bit floats. All routines are synchronous; long ones belong into a worker. */
export interface LinearAlgebra {
  /** A native library, or the one that ships and runs everywhere. */
  readonly name: "lapack" | "portable";
  /** Which library it is, for people. */
  readonly description: string;
  /** Threads that one routine may use from now on, in this whole process. */
  useThreads(count: number): void;
  /** The product, either factor transposed where asked. Throws `RangeError` when the inner sizes differ. */
  multiply(left: Matrix, right: Matrix, transposed?: Transposed): Matrix;
  /**
   * Adds blockᵀ · block (or block · blockᵀ where `byRows`) to `gram`, in place. Only the elements on and above the
   * diagonal are meant: what stands below is undefined.
   */
  addGram(gram: Matrix, block: Matrix, byRows?: boolean): void;
  /** All singular values and vectors, each value to a few ε · σ₁. Throws `Error` when it does not converge. */
  decompose(matrix: Matrix): SingularValueDecomposition;
  /** All singular values, descending, each to a few ε · σ₁. Throws `Error` when it does not converge. */
  singularValues(matrix: Matrix): Float64Array;
  /**
   * All eigenvalues and the eigenvectors of the `numVectors` largest of a symmetric matrix, read on and above its
   * diagonal. The matrix is used up. Each value to a few ε · the largest |eigenvalue|.
   */
  symmetricEigenpairs(matrix: Matrix, numVectors: number): SymmetricEigenpairs;
  /** The thin QR factors of a matrix with rows ≥ columns: q with orthonormal columns, r upper triangular. */
  orthogonalize(matrix: Matrix): { readonly q: Matrix; readonly r: Matrix };
  /** The r of `orthogonalize` alone, at half the time. */
  triangularFactor(matrix: Matrix): Matrix;
}

/** Which factors of a product are transposed first. */
export interface Transposed {
  readonly left?: boolean;
  readonly right?: boolean;
}

/** Sizes of a product; throws `RangeError` when the inner ones differ. */
export function planProduct(
  left: Matrix,
  right: Matrix,
  { left: turnLeft = false, right: turnRight = false }: Transposed,
): { readonly rows: number; readonly inner: number; readonly columns: number } {
  const [rows, inner] = turnLeft ? [left.columns, left.rows] : [left.rows, left.columns];
  const [other, columns] = turnRight ? [right.columns, right.rows] : [right.rows, right.columns];
  if (inner !== other)
    throw new RangeError(
      `Cannot multiply ${rows} × ${inner} by ${other} × ${columns}: inner sizes ${inner} and ${other} differ`,
    );
  return { rows, inner, columns };
}
