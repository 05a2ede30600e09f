/** ZIP archives as evaluation logs are packed: stored, deflated, or as Zstandard frames. */
import { deflateRawSync } from "node:zlib";

/** How an entry is compressed, by its number in ZIP archives. */
export type ZipMethod = 0 | 8 | 93;

/** A Zstandard frame that holds its content as it is: one raw block (RFC 8878, 3.1.1). */
function storeAsFrame(content: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUInt32LE(0xfd2fb528, 0);
  head.writeUInt8(0b1010_0000, 4); // single segment, content size of 4 bytes
  head.writeUInt32LE(content.length, 5);
  const block = Buffer.alloc(3);
  block.writeUIntLE((content.length << 3) | 1, 0, 3); // the last block, raw
  return Buffer.concat([head, block, content]);
}

const compress: { readonly [Method in ZipMethod]: (content: Buffer) => Buffer } = {
  0: (content) => content,
  8: (content) => deflateRawSync(content),
  93: storeAsFrame,
};

/** An archive with these files. Checksums are left out: readers of logs do not look at them. */
export function packZip(files: Readonly<Record<string, string>>, method: ZipMethod): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const [name, text] of Object.entries(files)) {
    const content = Buffer.from(text);
    const packed = compress[method](content);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(method, 8);
    local.writeUInt32LE(packed.length, 18);
    local.writeUInt32LE(content.length, 22);
    local.writeUInt16LE(name.length, 26);
    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(0x02014b50, 0);
    entry.writeUInt16LE(method, 10);
    entry.writeUInt32LE(packed.length, 20);
    entry.writeUInt32LE(content.length, 24);
    entry.writeUInt16LE(name.length, 28);
    entry.writeUInt32LE(offset, 42);
    directory.push(Buffer.concat([entry, Buffer.from(name)]));
    parts.push(local, Buffer.from(name), packed);
    offset += local.length + name.length + packed.length;
  }
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(directory.length, 10);
  end.writeUInt32LE(
    directory.reduce((sum, { length }) => sum + length, 0),
    12,
  );
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, ...directory, end]);
}
