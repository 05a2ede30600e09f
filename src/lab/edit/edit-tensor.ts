/** One tensor edited: read, changed and encoded by blocks of rows, and measured as it is stored. */
import { createRangeDecoder, encodeDoubles } from "../../weights/checkpoint/index.ts";
import type { LinearAlgebra } from "../../weights/linalg/index.ts";
import { countElements, type StoredTensor } from "../../weights/spectra/index.ts";
import { applyEdit, type Edit, findCopy } from "../../weights/surgery/index.ts";

/** A tensor as stored in both checkpoints. */
export interface StoredPair {
  readonly target: StoredTensor;
  readonly source?: StoredTensor | undefined;
}

/** How far an edited tensor is from both, as fractions of the target's Frobenius norm. */
export interface Distances {
  /** ‖edited − target‖. */
  readonly toTarget: number;
  /** ‖edited − source‖; absent without a source. */
  readonly toSource?: number;
  /** ‖target − source‖: how far it had been. */
  readonly before?: number;
}

/** The same rows of an edited tensor, of the target and of the source. */
export interface RowTriple {
  readonly stored: Float32Array;
  readonly own: Float32Array;
  readonly other: Float32Array | undefined;
}

/** What came of an edited tensor. */
export interface EditedTensor {
  /** How far it moved. */
  readonly distances: Distances;
  /** The target's Frobenius norm. */
  readonly size: number;
}

/** How a tensor is edited. */
export interface WriteOptions {
  readonly algebra: LinearAlgebra;
  /** Throws an error that says why these rows have values that are not finite. */
  readonly refuse: (rows: RowTriple) => never;
}

/** Elements in a block of rows: 16 MiB of 64-bit floats. */
const blockElements = 2 ** 21;

/** The edited tensor's bytes block by block, in the target's format; returns what came of it. */
export function* writeEdited(
  edit: Edit,
  { target, source }: StoredPair,
  { algebra, refuse }: WriteOptions,
): Generator<Uint8Array, EditedTensor, void> {
  const { rows, columns } = flatten(target.shape);
  const copied = findCopy(edit);
  const original =
    copied === "source" && source?.dtype === target.dtype ? source : copied === "target" ? target : undefined;
  const readTarget = createRowReader(target);
  const readSource = source === undefined ? undefined : createRowReader(source);
  const sums = { target: 0, toTarget: 0, toSource: 0, before: 0 };
  const step = Math.max(1, Math.floor(blockElements / Math.max(1, columns)));
  for (let start = 0; start < rows; start += step) {
    const end = Math.min(start + step, rows);
    const own = readTarget(start, end);
    const other = readSource?.(start, end);
    const bytes =
      original === undefined
        ? encodeDoubles(
            applyEdit(edit, { start, end, target: own, source: other }, algebra).values,
            target.dtype,
          )
        : copyRows(original, start, end);
    const stored = createRangeDecoder(bytes, target.dtype)(0, own.length);
    addSquares(sums, { stored, own, other });
    if (!Number.isFinite(sums.toTarget)) refuse({ stored, own, other });
    yield bytes;
  }
  const size = Math.sqrt(sums.target);
  const share = (squares: number): number => (size === 0 ? 0 : Math.sqrt(squares) / size);
  const ofSource = source !== undefined && { toSource: share(sums.toSource), before: share(sums.before) };
  return { distances: { toTarget: share(sums.toTarget), ...ofSource }, size };
}

/** A tensor of any number of axes as rows: the first axis against all others. */
export function flatten(shape: readonly number[]): { readonly rows: number; readonly columns: number } {
  const [rows = 1, ...others] = shape;
  return shape.length < 2 ? { rows: 1, columns: rows } : { rows, columns: countElements(others) };
}

/** Reads rows; each result is overwritten by the next. */
function createRowReader(tensor: StoredTensor): (start: number, end: number) => Float32Array {
  const { columns } = flatten(tensor.shape);
  const decode = createRangeDecoder(tensor.bytes, tensor.dtype);
  return (start, end) => decode(start * columns, end * columns);
}

function copyRows({ shape, bytes }: StoredTensor, start: number, end: number): Uint8Array {
  const { rows } = flatten(shape);
  const width = bytes.length / Math.max(1, rows);
  return bytes.subarray(start * width, end * width).slice();
}

function addSquares(
  sums: { target: number; toTarget: number; toSource: number; before: number },
  { stored, own, other }: RowTriple,
): void {
  // Sums in variables of their own: in fields of an object they would be boxed at every step.
  let [target, toTarget, toSource, before] = [0, 0, 0, 0];
  for (let index = 0; index < own.length; index++) {
    const value = own[index] ?? 0;
    target += value * value;
    toTarget += square((stored[index] ?? 0) - value);
  }
  sums.target += target;
  sums.toTarget += toTarget;
  if (other === undefined) return;
  for (let index = 0; index < own.length; index++) {
    const aim = other[index] ?? 0;
    toSource += square((stored[index] ?? 0) - aim);
    before += square((own[index] ?? 0) - aim);
  }
  sums.toSource += toSource;
  sums.before += before;
}

const square = (value: number): number => value * value;

/** ‖target − source‖ / ‖target‖ of two tensors of the same shape, read block by block. */
export function measureDistance(target: StoredTensor, source: StoredTensor): number {
  const [readTarget, readSource] = [createRowReader(target), createRowReader(source)];
  const { rows, columns } = flatten(target.shape);
  const step = Math.max(1, Math.floor(blockElements / Math.max(1, columns)));
  let [difference, size] = [0, 0];
  for (let start = 0; start < rows; start += step) {
    const end = Math.min(start + step, rows);
    const own = readTarget(start, end);
    const other = readSource(start, end);
    for (let index = 0; index < own.length; index++) {
      difference += ((own[index] ?? 0) - (other[index] ?? 0)) ** 2;
      size += (own[index] ?? 0) ** 2;
    }
  }
  return size === 0 ? 0 : Math.sqrt(difference / size);
}
