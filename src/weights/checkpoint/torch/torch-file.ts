/**
 * Files as `torch.save` writes them: a ZIP archive with a pickle and a file for each storage, or, in the form before torch 1.6, pickles
 * followed by storages. The pickle is read as data (`pickle.ts`); storages are ranges of the file.
 */
import { type ByteSource, listZip, type ZipEntry } from "../../../base/file/index.ts";
import { numBytesOf, type ReadableBytes } from "../dtype.ts";
import { isCount } from "../safetensors/safetensors-header.ts";
import { type IsKnown, isKind, type PickleValue, readPickle } from "./pickle.ts";
import { isTensorName, parseStorage } from "./stored-tensor.ts";

/** What a file of torch holds. */
export interface TorchFile {
  /** What was saved. */
  readonly value: PickleValue;
  /** The bytes of a storage. Throws `SyntaxError`, a clause, where there is none of that name. */
  openStorage(key: string): ReadableBytes;
}

/** Pickles are some megabytes at most; all else is tensors. */
const mostPickleBytes = 2 ** 28;

/** Reads all but the tensors. Throws `SyntaxError`, a clause, where it is not such a file, or one that holds more than tensors. */
export function readTorchFile(source: ByteSource): TorchFile {
  const head = source.readSync(0, Math.min(source.size, 512));
  if (head[0] === 0x50 && head[1] === 0x4b) return readArchive(source);
  if (head[0] === 0x80) return readLegacy(source);
  if (new TextDecoder().decode(head.subarray(257, 262)) === "ustar")
    throw new SyntaxError("it is a tar archive, as torch 0.1 or NeMo write them");
  throw new SyntaxError("it is not a file of torch");
}

function readArchive(source: ByteSource): TorchFile {
  const entries = new Map<string, ZipEntry>();
  for (const entry of listZip(source)) entries.set(entry.name.replace(/^[^/]*\//, ""), entry);
  if (entries.has("constants.pkl")) throw new SyntaxError("it is a TorchScript program, which is never run");
  const read = (name: string): Uint8Array | undefined => {
    const { start, end } = entries.get(name)?.locate() ?? { start: 0, end: -1 };
    if (end - start > mostPickleBytes) throw new SyntaxError(`its entry ${name} is too large`);
    return end < start ? undefined : source.readSync(start, end);
  };
  const pickle = read("data.pkl");
  if (pickle === undefined)
    throw new SyntaxError("it is a ZIP archive without a data.pkl, and no file of torch");
  if (new TextDecoder().decode(read("byteorder")) === "big")
    throw new SyntaxError("it was written by a big-endian machine");
  return {
    value: readPickle(pickle, isTensorName).value,
    openStorage: (key) => {
      const entry = entries.get(`data/${key}`);
      if (entry === undefined) throw new SyntaxError(`it has no storage ${JSON.stringify(key)}`);
      return openPart(source, entry.locate());
    },
  };
}

function openPart(
  source: ByteSource,
  { start, end }: { readonly start: number; readonly end: number },
): ReadableBytes {
  return { length: end - start, subarray: (from, to) => source.readSync(start + from, start + to) };
}

const legacyMagic = 0x1950a86a20f9469cfc6cn;

/** Four pickles (magic number, protocol, system, what was saved), the names of the storages, and the storages in that order. */
function readLegacy(source: ByteSource): TorchFile {
  const { values, end } = readPickles(source, 5);
  const [magic, protocol, system, value = null, keys] = values;
  if (magic !== legacyMagic || protocol !== 1001 || !isKind(keys, "list"))
    throw new SyntaxError("it is a pickle, but no file of torch");
  if (isKind(system, "dict") && system.entries.some(([key, is]) => key === "little_endian" && is === false))
    throw new SyntaxError("it was written by a big-endian machine");
  const storages = locateStorages(source, keys.items, { widths: findWidths(value), start: end });
  return {
    value,
    openStorage: (key) => {
      const range = storages.get(key);
      if (range === undefined) throw new SyntaxError(`it has no storage ${JSON.stringify(key)}`);
      return openPart(source, range);
    },
  };
}

/** Where storages lie that follow one another from `start`, each after the number of its elements. Throws `SyntaxError`, a clause. */
function locateStorages(
  source: ByteSource,
  keys: readonly PickleValue[],
  { widths, start: first }: { readonly widths: ReadonlyMap<string, number>; readonly start: number },
): ReadonlyMap<string, { readonly start: number; readonly end: number }> {
  const storages = new Map<string, { readonly start: number; readonly end: number }>();
  let position = first;
  for (const key of keys) {
    const width = typeof key === "string" ? widths.get(key) : undefined;
    if (typeof key !== "string" || width === undefined || position + 8 > source.size)
      throw new SyntaxError("its list of storages is damaged");
    const count = Number(new DataView(source.readSync(position, position + 8).buffer).getBigInt64(0, true));
    const start = position + 8;
    position = start + count * width;
    if (!isCount(count) || position > source.size)
      throw new SyntaxError(`its storage ${JSON.stringify(key)} is not whole`);
    storages.set(key, { start, end: position });
  }
  return storages;
}

/** Pickles from the start of a file; how far they go shows only when they are read. */
function readPickles(
  source: ByteSource,
  count: number,
): { readonly values: readonly PickleValue[]; readonly end: number } {
  for (let size = Math.min(2 ** 20, source.size); ; size = Math.min(8 * size, source.size, mostPickleBytes))
    try {
      return readPicklesOf(source.readSync(0, size), count, isTensorName);
    } catch (error) {
      if (size >= Math.min(source.size, mostPickleBytes)) throw error;
    }
}

function readPicklesOf(
  bytes: Uint8Array,
  count: number,
  isKnown: IsKnown,
): { readonly values: readonly PickleValue[]; readonly end: number } {
  const values: PickleValue[] = [];
  let end = 0;
  while (values.length < count) {
    const { value, length } = readPickle(bytes.subarray(end), isKnown);
    values.push(value);
    end += length;
  }
  return { values, end };
}

/** Bytes of an element of every storage that is referred to. */
function findWidths(root: PickleValue): ReadonlyMap<string, number> {
  const widths = new Map<string, number>();
  const seen = new Set<PickleValue>();
  const waiting: PickleValue[] = [root];
  for (let value = waiting.pop(); value !== undefined; value = waiting.pop()) {
    if (!isCompound(value) || seen.has(value)) continue;
    seen.add(value);
    if (value.kind === "reference") {
      const { key, dtype } = parseStorage(value);
      widths.set(key, numBytesOf(dtype, 1));
    } else for (const item of listHeld(value)) waiting.push(item);
  }
  return widths;
}

/** A value that may hold others. */
type Compound = Extract<PickleValue, { readonly kind: unknown }>;

function isCompound(value: PickleValue): value is Compound {
  return typeof value === "object" && value !== null && !(value instanceof Uint8Array);
}

/** The values that one holds; what stands for a thing outside of the pickle and names of functions hold none. */
function listHeld(value: Compound): readonly PickleValue[] {
  switch (value.kind) {
    case "list":
    case "tuple":
      return value.items;
    case "dict":
      return value.entries.map(([, item]) => item);
    case "call":
      return [...value.args, ...value.entries.map(([, item]) => item), value.state ?? null];
    default:
      return [];
  }
}
