import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateRawSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { packZip } from "../../../../test/support/zip-file.ts";
import { createRandom } from "../../core/index.ts";
import { openByteSource, openRange } from "../byte-source.ts";
import { listZip } from "./zip.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "untwist-zip-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** The texts of an archive's entries. */
async function readAll(bytes: Uint8Array): Promise<Record<string, string>> {
  const path = join(folder, "x.zip");
  await writeFile(path, bytes);
  const source = await openByteSource(path);
  try {
    const contents: Record<string, string> = {};
    for (const { name, read } of listZip(source)) contents[name] = new TextDecoder().decode(await read());
    return contents;
  } finally {
    await source.close();
  }
}

const files = { "a.txt": "some text ".repeat(20), b: "", "d/c": "x" };

/** An archive with its numbers where ZIP64 has them. */
function widen(archive: Buffer): Buffer {
  const end = archive.length - 22;
  const [count, size, start] = [
    archive.readUInt16LE(end + 10),
    archive.readUInt32LE(end + 12),
    archive.readUInt32LE(end + 16),
  ];
  const entries: Buffer[] = [];
  for (let position = start, index = 0; index < count; index++) {
    const length = 46 + archive.readUInt16LE(position + 28);
    const entry = Buffer.from(archive.subarray(position, position + length));
    const extra = Buffer.alloc(28);
    extra.writeUInt16LE(1, 0);
    extra.writeUInt16LE(24, 2);
    for (const [at, to] of [
      [24, 4],
      [20, 12],
      [42, 20],
    ] as const) {
      extra.writeBigUInt64LE(BigInt(entry.readUInt32LE(at)), to);
      entry.writeUInt32LE(0xffffffff, at);
    }
    entry.writeUInt16LE(28, 30);
    entries.push(entry, extra);
    position += length;
  }
  const directory = Buffer.concat(entries);
  const record = Buffer.alloc(56);
  record.writeUInt32LE(0x06064b50, 0);
  record.writeBigUInt64LE(BigInt(count), 32);
  record.writeBigUInt64LE(BigInt(directory.length), 40);
  record.writeBigUInt64LE(BigInt(start), 48);
  const locator = Buffer.alloc(20);
  locator.writeUInt32LE(0x07064b50, 0);
  locator.writeBigUInt64LE(BigInt(start + directory.length), 8);
  const last = Buffer.from(archive.subarray(end));
  last.fill(0xff, 8, 20);
  expect(size).toBeGreaterThan(0);
  return Buffer.concat([archive.subarray(0, start), directory, record, locator, last]);
}

describe("listZip()", () => {
  it.each([0, 8, 93] as const)("reads what method %d packed, in ZIP64 too", async (method) => {
    const archive = packZip(files, method);
    expect(await readAll(archive)).toEqual(files);
    expect(await readAll(widen(archive))).toEqual(files);
  });

  it("says where stored contents lie, within a part of a file too", async () => {
    const path = join(folder, "part");
    await writeFile(path, Buffer.concat([Buffer.from("before"), packZip(files, 0), Buffer.from("behind")]));
    const source = await openByteSource(path);
    const part = openRange(source, { start: 6, end: source.size - 6 });
    const [first] = listZip(part);
    const { start, end } = first!.locate();
    expect(new TextDecoder().decode(part.readSync(start, end))).toBe(files["a.txt"]);
    expect(() => part.readSync(0, part.size + 1)).toThrow(RangeError);
    expect(() => openRange(source, { start: 0, end: source.size + 1 })).toThrow(RangeError);
    await source.close();
    await writeFile(path, packZip(files, 8));
    const packed = await openByteSource(path);
    expect(() => listZip(packed)[0]!.locate()).toThrow("its entry a.txt is compressed");
    await packed.close();
  });

  it("refuses what unfolds to more than 256 MiB, whatever it claims", async () => {
    const packed = deflateRawSync(Buffer.alloc(2 ** 28 + 1));
    const archive = packZip({ bomb: "x".repeat(packed.length) }, 0);
    packed.copy(archive, 34);
    archive.writeUInt16LE(8, archive.length - 22 - 50 + 10);
    await expect(readAll(archive)).rejects.toThrow(/^its entry bomb is larger than 268435456 bytes/);
  });

  it("throws nothing but SyntaxError for damaged archives", async () => {
    const random = createRandom(1, "zip");
    for (let round = 0; round < 500; round++) {
      const archive = random.pick([packZip(files, random.pick([0, 8, 93])), widen(packZip(files, 0))]);
      const damaged = Buffer.from(
        archive.subarray(0, random.pick([archive.length, random.integer(0, archive.length)])),
      );
      for (let flips = random.integer(1, 4); flips > 0 && damaged.length > 0; flips--)
        damaged[random.integer(0, damaged.length - 1)] = random.pick([0, 255, random.integer(0, 255)]);
      const problem: unknown = await readAll(damaged).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      if (problem !== undefined) expect(problem, String(problem)).toBeInstanceOf(SyntaxError);
    }
  });
});
