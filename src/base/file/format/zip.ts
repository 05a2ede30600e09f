/**
 * ZIP archives, ZIP64 included, as far as evaluation logs and torch use them: entries that are stored, deflated, or compressed by
 * Zstandard. What an archive may unfold to is limited, as a few kilobytes can claim to be terabytes.
 */
import { inflateRawSync } from "node:zlib";
import { Decompress } from "fzstd";
import type { ByteSource } from "../byte-source.ts";

/** An entry of an archive. */
export interface ZipEntry {
  readonly name: string;
  /** Its content. Throws `SyntaxError` where it is damaged, or above 256 MiB, or where all that was read is above 1 GiB. */
  read(): Promise<Uint8Array>;
  /** Where its content lies in the archive. Throws `SyntaxError` where it is damaged or compressed. */
  locate(): { readonly start: number; readonly end: number };
}

const signatures = {
  end: 0x06054b50,
  endLocator64: 0x07064b50,
  end64: 0x06064b50,
  entry: 0x02014b50,
  local: 0x04034b50,
} as const;
const endBytes = 22;
const locatorBytes = 20;
/** The longest comment that may follow the end record. */
const mostComment = 65_535;
/** Directories are some kilobytes, contents some megabytes. */
const mostBytes = 2 ** 28;
/** All contents of one archive together. */
const mostTotal = 2 ** 30;

/** The entries of an archive by its central directory (PKWARE's APPNOTE, 4.3). Throws `SyntaxError` where it is none. */
export function listZip(source: ByteSource): readonly ZipEntry[] {
  const { numEntries, size, start } = findDirectory(source);
  if (start + size > source.size || numEntries * 46 > size)
    throw new SyntaxError("it is a part of an archive, or its directory is damaged");
  if (size > mostBytes) throw new SyntaxError(`its directory takes more than ${mostBytes} bytes`);
  const directory = viewOf(source.readSync(start, start + size));
  const archive = { source, budget: { left: mostTotal } };
  const entries: ZipEntry[] = [];
  for (let position = 0; entries.length < numEntries; ) {
    const { place, length } = parseEntry(directory, position);
    entries.push({
      name: place.name,
      read: async () => await readEntry(archive, place),
      locate: () => {
        if (place.method !== 0) throw new SyntaxError(`its entry ${place.name} is compressed`);
        return locateContent(source, place);
      },
    });
    position += length;
  }
  return entries;
}

interface Directory {
  readonly numEntries: number;
  readonly size: number;
  readonly start: number;
}

/** Where the central directory lies, by the record at the archive's end. */
function findDirectory(source: ByteSource): Directory {
  const tailStart = Math.max(0, source.size - endBytes - mostComment);
  const tail = viewOf(source.readSync(tailStart, source.size));
  let end = tail.byteLength - endBytes;
  while (end >= 0 && tail.getUint32(end, true) !== signatures.end) end--;
  if (end < 0) throw new SyntaxError("it is not a ZIP archive, or a part of one");
  const directory = {
    numEntries: tail.getUint16(end + 10, true),
    size: tail.getUint32(end + 12, true),
    start: tail.getUint32(end + 16, true),
  };
  const locator = tailStart + end - locatorBytes;
  return findDirectory64(source, locator) ?? directory;
}

/** The same by the record of ZIP64, which a locator just before the end record points to. */
function findDirectory64(source: ByteSource, position: number): Directory | undefined {
  if (position < 0) return undefined;
  const locator = viewOf(source.readSync(position, position + locatorBytes));
  if (locator.getUint32(0, true) !== signatures.endLocator64) return undefined;
  const start = readCount(locator, 8);
  if (start + 56 > source.size) throw new SyntaxError("its end record is damaged");
  const record = viewOf(source.readSync(start, start + 56));
  if (record.getUint32(0, true) !== signatures.end64) throw new SyntaxError("its end record is damaged");
  return { numEntries: readCount(record, 32), size: readCount(record, 40), start: readCount(record, 48) };
}

/** Where the content of an entry is to be found, as the directory says. */
interface EntryLocation {
  readonly name: string;
  readonly method: number;
  readonly compressed: number;
  readonly start: number;
}

/** One entry of the directory, and how many bytes it takes there. */
function parseEntry(
  directory: DataView,
  position: number,
): { readonly place: EntryLocation; readonly length: number } {
  const damaged = new SyntaxError("its directory is damaged");
  if (position + 46 > directory.byteLength || directory.getUint32(position, true) !== signatures.entry)
    throw damaged;
  const [nameLength = 0, extraLength = 0, commentLength = 0] = [28, 30, 32].map((at) =>
    directory.getUint16(position + at, true),
  );
  const length = 46 + nameLength + extraLength + commentLength;
  if (position + length > directory.byteLength) throw damaged;
  const bytes = new Uint8Array(directory.buffer, directory.byteOffset + position, length);
  const extra = findExtra64(viewOf(bytes.subarray(46 + nameLength, 46 + nameLength + extraLength)));
  // In the extra field stand, in this order, those of the numbers that do not fit their own.
  const [, compressed = 0, start = 0] = [24, 20, 42].map((at) => {
    const number = directory.getUint32(position + at, true);
    return number === 0xffffffff ? takeCount(extra) : number;
  });
  const name = new TextDecoder().decode(bytes.subarray(46, 46 + nameLength));
  return { place: { name, method: directory.getUint16(position + 10, true), compressed, start }, length };
}

interface Cursor {
  readonly view: DataView;
  position: number;
}

/** The extra field of ZIP64, empty where there is none. */
function findExtra64(fields: DataView): Cursor {
  for (let position = 0; position + 4 <= fields.byteLength; ) {
    const size = fields.getUint16(position + 2, true);
    const end = Math.min(position + 4 + size, fields.byteLength);
    if (fields.getUint16(position, true) === 1)
      return { view: new DataView(fields.buffer, fields.byteOffset, end), position: position + 4 };
    position += 4 + size;
  }
  return { view: new DataView(new ArrayBuffer(0)), position: 0 };
}

function takeCount(cursor: Cursor): number {
  if (cursor.position + 8 > cursor.view.byteLength) throw new SyntaxError("its directory is damaged");
  cursor.position += 8;
  return readCount(cursor.view, cursor.position - 8);
}

/** Where the content starts and ends, by the header before it. */
function locateContent(
  source: ByteSource,
  { name, start, compressed }: EntryLocation,
): { readonly start: number; readonly end: number } {
  const damaged = new SyntaxError(`its entry ${name} is damaged`);
  if (start + 30 > source.size) throw damaged;
  const head = viewOf(source.readSync(start, start + 30));
  if (head.getUint32(0, true) !== signatures.local) throw damaged;
  const begin = start + 30 + head.getUint16(26, true) + head.getUint16(28, true);
  if (begin + compressed > source.size) throw damaged;
  return { start: begin, end: begin + compressed };
}

interface Archive {
  readonly source: ByteSource;
  /** Bytes that may still be read of it. */
  readonly budget: { left: number };
}

async function readEntry({ source, budget }: Archive, place: EntryLocation): Promise<Uint8Array> {
  const { name, compressed } = place;
  const tooLarge = new SyntaxError(
    `its entry ${name} is larger than ${mostBytes} bytes, or all its entries than ${mostTotal}`,
  );
  const most = Math.min(mostBytes, budget.left);
  if (compressed > most) throw tooLarge;
  const { start, end } = locateContent(source, place);
  const bytes = await source.read(start, end);
  const content = unfold(bytes, place, { most, tooLarge });
  budget.left -= content.length;
  return content;
}

interface Limit {
  /** Bytes. */
  readonly most: number;
  /** What is thrown beyond. */
  readonly tooLarge: SyntaxError;
}

function unfold(bytes: Uint8Array, { name, method }: EntryLocation, { most, tooLarge }: Limit): Uint8Array {
  if (method === 0) return bytes;
  if (method !== 8 && method !== 93)
    throw new SyntaxError(`its entry ${name} is compressed by method ${method}, which cannot be read`);
  try {
    if (method === 93) return decompress(bytes, { most, tooLarge });
    // The library has no way of saying "none".
    return inflateRawSync(bytes, { maxOutputLength: Math.max(1, most) });
  } catch (cause) {
    const isTooLarge = cause instanceof Error && "code" in cause && cause.code === "ERR_BUFFER_TOO_LARGE";
    if (cause === tooLarge || isTooLarge) throw tooLarge;
    throw new SyntaxError(`its entry ${name} is damaged`, { cause });
  }
}

/** Zstandard's frames, piece by piece, so that a frame that unfolds without end is left before it has. */
function decompress(bytes: Uint8Array, { most, tooLarge }: Limit): Uint8Array {
  const pieces: Uint8Array[] = [];
  let length = 0;
  const stream = new Decompress((piece) => {
    length += piece.length;
    if (length > most) throw tooLarge;
    pieces.push(piece);
  });
  for (let start = 0; start < bytes.length; start += 2 ** 16)
    stream.push(bytes.subarray(start, start + 2 ** 16), start + 2 ** 16 >= bytes.length);
  const content = new Uint8Array(length);
  let position = 0;
  for (const piece of pieces) {
    content.set(piece, position);
    position += piece.length;
  }
  return content;
}

/** A number of 64 bits; one that no file has becomes infinite. */
function readCount(view: DataView, position: number): number {
  const number = view.getBigUint64(position, true);
  return number <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(number) : Number.POSITIVE_INFINITY;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
