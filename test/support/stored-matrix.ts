/** Tensors as they lie in checkpoints, and their comparison from beginning to end. */
import { encodeFloats } from "../../src/weights/checkpoint/dtype.ts";
import type { WritableDtype } from "../../src/weights/checkpoint/index.ts";
import { type Factors, factorize, type LinearAlgebra, type Matrix } from "../../src/weights/linalg/index.ts";
import {
  compareMatrices,
  fingerprint,
  type MatrixComparison,
  type StoredTensor,
} from "../../src/weights/spectra/index.ts";
import { createStoredSource } from "../../src/weights/spectra/stored-tensor.ts";

/** A tensor of these values, rounded to the number format. */
export function storeTensor(
  shape: readonly number[],
  values: ArrayLike<number>,
  dtype: WritableDtype = "F32",
): StoredTensor {
  return { dtype, shape, bytes: encodeFloats(Float32Array.from(values), dtype) };
}

/** A matrix, rounded to the number format. */
export function storeMatrix({ rows, columns, values }: Matrix, dtype: WritableDtype = "F32"): StoredTensor {
  return storeTensor([rows, columns], values, dtype);
}

/** The numbers that a stored matrix holds. */
export function readStored(tensor: StoredTensor): Matrix {
  const source = createStoredSource(tensor);
  return source.readBlock(0, Math.max(source.rows, source.columns));
}

/** Exact factors with all vectors. */
export function factorizeStored(tensor: StoredTensor, algebra: LinearAlgebra): Factors {
  const request = { numVectors: Number.POSITIVE_INFINITY, tolerance: 1e-8 };
  return factorize(createStoredSource(tensor), request, algebra);
}

/** Two stored matrices, factorized whole and compared. */
export function compareStored(
  { before, after }: { readonly before: StoredTensor; readonly after: StoredTensor },
  ranks: readonly number[],
  algebra: LinearAlgebra,
): MatrixComparison {
  const isUnchanged = fingerprint(before) === fingerprint(after);
  const first = factorizeStored(before, algebra);
  const factors = { before: first, after: isUnchanged ? first : factorizeStored(after, algebra) };
  return compareMatrices({ before, after, isUnchanged }, factors, { settings: { ranks }, algebra });
}
