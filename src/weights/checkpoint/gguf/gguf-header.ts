/** The header of a GGUF file (ggml's docs/gguf.md, versions 2 and 3): what it says of the model, and where its tensors lie. */
import type { ByteSource } from "../../../base/file/index.ts";
import { isCount, numElementsOf } from "../safetensors/safetensors-header.ts";

/** A value of the metadata; lists are passed over. */
export type GgufValue = number | string | boolean;

/** A tensor as the header lists it. */
export interface GgufTensor {
  /** Outermost axis first, as everywhere but in GGUF. */
  readonly shape: readonly number[];
  /** The number of its format. */
  readonly type: number;
  /** Where its bytes start in the file. */
  readonly start: number;
}

/** What a file says of itself. */
export interface GgufHeader {
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

/** Vocabularies are some megabytes; without a limit, a few damaged bytes would be read for hours. */
const mostBytes = 2 ** 28;
const mostTextBytes = 2 ** 24;
const windowBytes = 2 ** 20;

interface Cursor {
  readonly source: ByteSource;
  position: number;
  /** Bytes of the file from `start` on. */
  window: DataView;
  start: number;
}

function damaged(): SyntaxError {
  return new SyntaxError("its header is damaged");
}

/** Bytes that come next, as a view and a place in it. */
function take(cursor: Cursor, count: number): { readonly view: DataView; readonly at: number } {
  const { source, position } = cursor;
  const end = position + count;
  if (end > source.size || end > mostBytes) throw damaged();
  if (position < cursor.start || end > cursor.start + cursor.window.byteLength) {
    const bytes = source.readSync(position, Math.min(source.size, position + Math.max(windowBytes, count)));
    cursor.window = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    cursor.start = position;
  }
  cursor.position = end;
  return { view: cursor.window, at: position - cursor.start };
}

function skip(cursor: Cursor, count: number): void {
  cursor.position += count;
  if (!Number.isSafeInteger(cursor.position) || cursor.position > Math.min(cursor.source.size, mostBytes))
    throw damaged();
}

function takeUint(cursor: Cursor): number {
  const { view, at } = take(cursor, 4);
  return view.getUint32(at, true);
}

function takeLong(cursor: Cursor): number {
  const { view, at } = take(cursor, 8);
  const value = Number(view.getBigUint64(at, true));
  if (!isCount(value)) throw damaged();
  return value;
}

function takeText(cursor: Cursor): string {
  const length = takeLong(cursor);
  if (length > mostTextBytes) throw damaged();
  const { view, at } = take(cursor, length);
  return new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset + at, length));
}

interface Scalar {
  readonly numBytes: number;
  readonly read: (view: DataView, at: number) => number | boolean;
}

const textType = 8;
const listType = 9;

/** Values of fixed size, by the number of their type. */
const scalars: ReadonlyMap<number, Scalar> = new Map<number, Scalar>([
  [0, { numBytes: 1, read: (view, at) => view.getUint8(at) }],
  [1, { numBytes: 1, read: (view, at) => view.getInt8(at) }],
  [2, { numBytes: 2, read: (view, at) => view.getUint16(at, true) }],
  [3, { numBytes: 2, read: (view, at) => view.getInt16(at, true) }],
  [4, { numBytes: 4, read: (view, at) => view.getUint32(at, true) }],
  [5, { numBytes: 4, read: (view, at) => view.getInt32(at, true) }],
  [6, { numBytes: 4, read: (view, at) => view.getFloat32(at, true) }],
  [7, { numBytes: 1, read: (view, at) => view.getUint8(at) !== 0 }],
  [10, { numBytes: 8, read: (view, at) => Number(view.getBigUint64(at, true)) }],
  [11, { numBytes: 8, read: (view, at) => Number(view.getBigInt64(at, true)) }],
  [12, { numBytes: 8, read: (view, at) => view.getFloat64(at, true) }],
]);

/** A value; `undefined` for a list, which is passed over. */
function takeValue(cursor: Cursor): GgufValue | undefined {
  const type = takeUint(cursor);
  if (type === textType) return takeText(cursor);
  if (type === listType) return skipList(cursor);
  const scalar = scalars.get(type);
  if (scalar === undefined) throw damaged();
  const { view, at } = take(cursor, scalar.numBytes);
  return scalar.read(view, at);
}

function skipList(cursor: Cursor): undefined {
  const type = takeUint(cursor);
  const length = takeLong(cursor);
  const scalar = scalars.get(type);
  if (scalar !== undefined) skip(cursor, length * scalar.numBytes);
  else if (type === textType) for (let index = 0; index < length; index++) skip(cursor, takeLong(cursor));
  else throw new SyntaxError("its header has lists of lists, which are not known");
}

/** Reads the header. Throws `SyntaxError`, a clause, where it is damaged or of another version. */
export function readGgufHeader(source: ByteSource): GgufHeader {
  const cursor: Cursor = { source, position: 0, window: new DataView(new ArrayBuffer(0)), start: 0 };
  if (source.size < 24 || takeUint(cursor) !== 0x46554747) throw new SyntaxError("it is not a GGUF file");
  const version = takeUint(cursor);
  if (version !== 2 && version !== 3)
    throw new SyntaxError(
      `it is of version ${version} of GGUF, or of a big-endian machine; versions 2 and 3 can be read`,
    );
  const [numTensors, numValues] = [takeLong(cursor), takeLong(cursor)];
  const metadata = new Map<string, GgufValue>();
  for (let index = 0; index < numValues; index++) {
    const key = takeText(cursor);
    const value = takeValue(cursor);
    if (value !== undefined) metadata.set(key, value);
  }
  const listed = new Map<string, GgufTensor>();
  for (let index = 0; index < numTensors; index++) {
    const name = takeText(cursor);
    if (listed.has(name)) throw new SyntaxError(`its tensor ${JSON.stringify(name)} is there twice`);
    listed.set(name, takeTensor(cursor));
  }
  const alignment = metadata.get("general.alignment") ?? 32;
  if (!isCount(alignment) || alignment === 0) throw damaged();
  const begin = Math.ceil(cursor.position / alignment) * alignment;
  const tensors = [...listed].map(
    ([name, tensor]) => [name, { ...tensor, start: begin + tensor.start }] as const,
  );
  return { metadata, tensors: new Map(tensors) };
}

function takeTensor(cursor: Cursor): GgufTensor {
  const numAxes = takeUint(cursor);
  if (numAxes > 8) throw damaged();
  const shape = Array.from({ length: numAxes }, () => takeLong(cursor)).reverse();
  if (!Number.isSafeInteger(numElementsOf(shape) * 8)) throw damaged();
  const type = takeUint(cursor);
  return { shape, type, start: takeLong(cursor) };
}
