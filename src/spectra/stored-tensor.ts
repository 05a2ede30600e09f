/** A tensor as its bytes lie in a checkpoint, read as a matrix block by block: a copy in wider floats never exists. */
import { createHash } from "node:crypto";
import { decodeFloats, type FloatDtype } from "../checkpoint/index.ts";
import { createMatrix, type Matrix, type MatrixSource } from "../linalg/index.ts";

/** A tensor in memory, in the number format it is stored in. */
export interface StoredTensor {
  readonly dtype: FloatDtype;
  /** The axes' sizes, outermost first. */
  readonly shape: readonly number[];
  /** Little-endian, C order. */
  readonly bytes: Uint8Array;
}

/** Elements of a tensor of that shape. */
export function countElements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** What a tensor is named by in the cache: a hash (SHA-256, hex) of format, shape and bytes. */
export function fingerprint({ dtype, shape, bytes }: StoredTensor): string {
  return createHash("sha256")
    .update(`${dtype} ${shape.join("x")}\n`)
    .update(bytes)
    .digest("hex");
}

/** Elements decoded at a time. */
const chunkElements = 2 ** 20;

/** The values in order, as 32-bit floats, in chunks of their own memory. */
export function* readChunks({ dtype, shape, bytes }: StoredTensor): Generator<Float32Array, void, void> {
  const width = bytes.length / Math.max(1, countElements(shape));
  const step = chunkElements * width;
  for (let start = 0; start < bytes.length; start += step)
    yield decodeFloats(bytes.subarray(start, start + step), dtype);
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
  const width = bytes.length / (rows * columns);
  const decode = (start: number, end: number): Float32Array =>
    decodeFloats(bytes.subarray(start * width, end * width), dtype);
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
