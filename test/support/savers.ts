/** Checks checkpoints that `test/peers/savers.py` made by real libraries: every tensor, bit for bit. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { openCheckpoint, openSafetensors } from "../../src/weights/checkpoint/index.ts";

/** The checkpoints in a folder: for each path the file with what is expected of it. */
export function listCases(folder: string): readonly (readonly [string, string])[] {
  const cases: unknown = JSON.parse(readFileSync(join(folder, "cases.json"), "utf8"));
  return Object.entries(cases as Record<string, string>);
}

/** Opens one of them and compares all that is in it, whole and by ranges. */
export async function expectCase(folder: string, [path, file]: readonly [string, string]): Promise<void> {
  const expected = await openSafetensors(join(folder, file));
  const checkpoint = await openCheckpoint(join(folder, path));
  try {
    expect([...checkpoint.tensors.keys()].sort()).toEqual([...expected.header.tensors.keys()].sort());
    for (const [name, { dtype, shape }] of expected.header.tensors) {
      expect(checkpoint.tensors.get(name), name).toMatchObject({ dtype, shape });
      const bytes = Buffer.from(await expected.readBytes(name));
      expect(Buffer.from(await checkpoint.readBytes(name)).equals(bytes), name).toBe(true);
      const ranges = checkpoint.openBytes(name);
      expect(ranges.length).toBe(bytes.length);
      for (const [start, end] of [
        [0, bytes.length],
        [Math.floor(bytes.length / 3), Math.ceil(bytes.length / 2)],
      ] as const)
        expect(Buffer.from(ranges.subarray(start, end)).equals(bytes.subarray(start, end)), name).toBe(true);
    }
  } finally {
    await checkpoint.close();
    await expected.close();
  }
}
