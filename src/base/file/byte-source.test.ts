import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { UsageError } from "../core/index.ts";
import { openByteSource, readText } from "./byte-source.ts";

let folder = "";
let path = "";
const content = Uint8Array.from({ length: 1000 }, (_, index) => (index * 7) % 256);
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "untwist-source-"));
  path = join(folder, "bytes");
  await writeFile(path, content);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe("openByteSource()", () => {
  it("reads every range exactly, also at the same time", async () => {
    const source = await openByteSource(path);
    expect(source).toMatchObject({ path, size: 1000 });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.nat(1000), fc.nat(1000)), { maxLength: 5 }), async (pairs) => {
        const ranges = pairs.map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const);
        const parts = await Promise.all(ranges.map(([start, end]) => source.read(start, end)));
        expect(parts).toEqual(ranges.map(([start, end]) => content.slice(start, end)));
      }),
    );
    await source.close();
  });

  it("refuses ranges outside the file", async () => {
    const source = await openByteSource(path);
    for (const [start, end] of [
      [-1, 2],
      [3, 2],
      [0, 1001],
      [0.5, 2],
      [0, Number.NaN],
    ] as const)
      await expect(source.read(start, end)).rejects.toThrow(RangeError);
    await source.close();
  });

  it("never gives fewer bytes than asked for, when the file became shorter", async () => {
    const source = await openByteSource(path);
    await truncate(path, 500);
    await expect(source.read(0, 1000)).rejects.toThrow("became shorter");
    await source.close();
  });

  it("explains a missing file and a folder", async () => {
    await expect(openByteSource(join(folder, "missing"))).rejects.toThrow(
      new UsageError(`Cannot read "${join(folder, "missing")}": no such file or folder; check the path`),
    );
    await expect(openByteSource(folder)).rejects.toThrow(UsageError);
    await expect(openByteSource("/dev/zero")).rejects.toThrow(UsageError);
  });
});

describe("readText()", () => {
  it("reads UTF-8 without a byte order mark, and refuses other bytes", async () => {
    await writeFile(path, "\uFEFFgröße\n");
    expect(await readText(path)).toBe("größe\n");
    await writeFile(path, Uint8Array.of(0x67, 0xff));
    await expect(readText(path)).rejects.toThrow(
      new UsageError(`Cannot read "${path}": it is not UTF-8 text; give a text file`),
    );
    await expect(readText(folder)).rejects.toThrow(UsageError);
  });
});
