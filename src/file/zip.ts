/** ZIP archives, as far as evaluation logs use them: entries that are stored, deflated, or compressed by Zstandard. */
import { inflateRawSync } from "node:zlib";
import { decompress } from "fzstd";
import type { ByteSource } from "./byte-source.ts";

/** An entry of an archive. */
export interface ZipEntry {
  readonly name: string;
  /** Its content. Throws `SyntaxError` where it is damaged. */
  read(): Promise<Uint8Array>;
}

const signatures = { end: 0x06054b50, entry: 0x02014b50, local: 0x04034b50 } as const;
const endBytes = 22;
/** The longest comment that may follow the end record. */
const mostComment = 65_535;

/**
 * The entries of an archive by its central directory (PKWARE's APPNOTE, 4.3). Throws `SyntaxError` where it is none, or one of
 * more than 4 GiB.
 */
export async function listZip(source: ByteSource): Promise<readonly ZipEntry[]> {
  const tailStart = Math.max(0, source.size - endBytes - mostComment);
  const tail = viewOf(await source.read(tailStart, source.size));
  let end = tail.byteLength - endBytes;
  while (end >= 0 && tail.getUint32(end, true) !== signatures.end) end--;
  if (end < 0) throw new SyntaxError("it is no ZIP archive, or a part of one");
  const [numEntries, size, start] = [
    tail.getUint16(end + 10, true),
    tail.getUint32(end + 12, true),
    tail.getUint32(end + 16, true),
  ];
  if (numEntries === 0xffff) throw new SyntaxError("it has more entries than can be read");
  if (start === 0xffffffff || start + size > source.size)
    throw new SyntaxError("it is a part of an archive, or larger than 4 GiB");
  const directory = viewOf(await source.read(start, start + size));
  const entries: ZipEntry[] = [];
  for (let position = 0; entries.length < numEntries; ) {
    if (position + 46 > directory.byteLength || directory.getUint32(position, true) !== signatures.entry)
      throw new SyntaxError("its directory is damaged");
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((at) =>
      directory.getUint16(position + at, true),
    );
    const name = new TextDecoder().decode(
      new Uint8Array(directory.buffer, directory.byteOffset + position + 46, nameLength),
    );
    const place = {
      method: directory.getUint16(position + 10, true),
      compressed: directory.getUint32(position + 20, true),
      start: directory.getUint32(position + 42, true),
    };
    entries.push({ name, read: () => readEntry(source, name, place) });
    position += 46 + (nameLength ?? 0) + (extraLength ?? 0) + (commentLength ?? 0);
  }
  return entries;
}

async function readEntry(
  source: ByteSource,
  name: string,
  {
    method,
    compressed,
    start,
  }: { readonly method: number; readonly compressed: number; readonly start: number },
): Promise<Uint8Array> {
  const head = viewOf(await source.read(start, Math.min(source.size, start + 30)));
  if (head.byteLength < 30 || head.getUint32(0, true) !== signatures.local)
    throw new SyntaxError(`its entry ${name} is damaged`);
  const begin = start + 30 + head.getUint16(26, true) + head.getUint16(28, true);
  const bytes = await source.read(begin, begin + compressed);
  try {
    if (method === 0) return bytes;
    if (method === 8) return inflateRawSync(bytes);
    if (method === 93) return decompress(bytes);
  } catch (cause) {
    throw new SyntaxError(`its entry ${name} is damaged`, { cause });
  }
  throw new SyntaxError(`its entry ${name} is compressed by method ${method}, which cannot be read`);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
