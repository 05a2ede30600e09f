/** A tensor as its bytes lie in a checkpoint, read as a matrix block by block: a copy in wider floats never exists. */

import { createHash } from "node:crypto";
import {
  type Checkpoint,
  createRangeDecoder,
  type FloatDtype,
  isFloatDtype,
  type ReadableBytes,
} from "../checkpoint/index.ts";
import { createMatrix, type Matrix, type MatrixSource } from "../linalg/index.ts";

/** A tensor in the number format it is stored in, in memory or in its file. */
export interface StoredTensor {
  readonly dtype: FloatDtype;
  /** The axes' sizes, outermost first. */
  readonly shape: readonly number[];
  /** Little-endian, C order. */
  readonly bytes: ReadableBytes;
}

/** Elements of a tensor of that shape. */
export function countElements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** What a tensor is named by in the cache: a hash (SHA-256, hex) of format, shape and bytes. */
export function fingerprint({ dtype, shape, bytes }: StoredTensor): string {
  const sum = createHash("sha256").update(`${dtype} ${shape.join("x")}\n`);
  for (let start = 0; start < bytes.length; start += hashedBytes)
    sum.update(bytes.subarray(start, Math.min(start + hashedBytes, bytes.length)));
  return sum.digest("hex");
}

/** Bytes hashed at a time. */
const hashedBytes = 16 * 2 ** 20;

/** Elements decoded at a time. */
const chunkElements = 2 ** 20;

/** The values in order, as 32-bit floats, in chunks that are overwritten by the next. */
export function* readChunks({ dtype, shape, bytes }: StoredTensor): Generator<Float32Array, void, void> {
  const decode = createRangeDecoder(bytes, dtype);
  const numElements = countElements(shape);
  for (let start = 0; start < numElements; start += chunkElements)
    yield decode(start, Math.min(start + chunkElements, numElements));
}

/** The index of the first value that is NaN or infinite, or `undefined` where all are finite. */
export function findNonFinite(tensor: StoredTensor): number | undefined {
  let position = 0;
  for (const chunk of readChunks(tensor)) {
    const index = firstNonFinite(chunk);
    if (index >= 0) return position + index;
    position += chunk.length;
  }
  return undefined;
}

function firstNonFinite(values: Float32Array): number {
  for (let index = 0; index < values.length; index++) if (!Number.isFinite(values[index])) return index;
  return -1;
}

/** A tensor of two axes as a source of blocks. Throws `RangeError` for another number of axes. */
export function createStoredSource({ dtype, shape, bytes }: StoredTensor): MatrixSource {
  const [rows, columns, ...others] = shape;
  if (rows === undefined || columns === undefined || others.length > 0)
    throw new RangeError(`Cannot read a tensor of shape [${shape.join(", ")}] as a matrix`);
  const decode = createRangeDecoder(bytes, dtype);
  return {
    rows,
    columns,
    readBlock: (start, end) => {
      if (rows >= columns)
        return createMatrix(end - start, columns, new Float64Array(decode(start * columns, end * columns)));
      return readColumns({ rows, start, end }, (row) => decode(row * columns + start, row * columns + end));
    },
  };
}

function readColumns(
  { rows, start, end }: { readonly rows: number; readonly start: number; readonly end: number },
  readRow: (row: number) => Float32Array,
): Matrix {
  const block = createMatrix(rows, end - start);
  for (let row = 0; row < rows; row++) block.values.set(readRow(row), row * (end - start));
  return block;
}

/** A tensor of floats as it lies in a checkpoint, to be read by ranges. Throws `RangeError` for one that is none. */
export function openStored(checkpoint: Checkpoint, name: string): StoredTensor {
  const tensor = checkpoint.tensors.get(name);
  if (tensor === undefined || !isFloatDtype(tensor.dtype))
    throw new RangeError(`Cannot read ${name} of ${checkpoint.folder} as floats`);
  return { dtype: tensor.dtype, shape: tensor.shape, bytes: checkpoint.openBytes(name) };
}
