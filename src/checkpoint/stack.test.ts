import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { drawExact, type TensorSpec, writeCheckpointFolder } from "../../test/support/checkpoint-folder.ts";
import { createTemporaryFolder, removeFolder } from "../../test/support/untwist.ts";
import { writeFolderAtomic } from "../file/index.ts";
import { type Checkpoint, openCheckpoint, rewriteCheckpoint } from "./index.ts";
import { isStack, parseSlice } from "./stack.ts";

const folder = createTemporaryFolder();
const at = (name: string): string => join(folder, name);
afterAll(() => removeFolder(folder));

const stack = "model.layers.0.mlp.experts.down_proj";
const values = drawExact("experts", 3 * 16 * 20);
const tensors: readonly TensorSpec[] = [
  { name: stack, shape: [3, 16, 20], values, dtype: "BF16" },
  { name: "model.layers.0.conv.weight", shape: [64, 1, 4], values: drawExact("conv", 256) },
  { name: "model.norm.weight", shape: [20], values: drawExact("norm", 20) },
];
let checkpoint: Checkpoint;
beforeAll(async () => {
  await writeCheckpointFolder(at("experts"), tensors, { numShards: 2 });
  checkpoint = await openCheckpoint(at("experts"));
});
afterAll(() => checkpoint.close());

describe("a stack of experts", () => {
  it("is as many matrices as there are experts; a convolution is none", () => {
    const found = [...checkpoint.tensors].map(([name, { shape, dtype }]) => [name, dtype, shape]);
    expect(found.sort((a, b) => (String(a[0]) < String(b[0]) ? -1 : 1))).toEqual([
      ["model.layers.0.conv.weight", "F32", [64, 1, 4]],
      ...[0, 1, 2].map((index) => [`${stack}[${index}]`, "BF16", [16, 20]]),
      ["model.norm.weight", "F32", [20]],
    ]);
    expect(
      [
        [8, 16, 16],
        [8, 15, 99],
        [2, 16],
        [1, 2, 16, 16],
      ].map(isStack),
    ).toEqual([true, false, false, false]);
    expect(parseSlice("a[0].b")).toBeUndefined();
  });

  it("gives each matrix as it lies in the stack, whole and by ranges", async () => {
    for (const index of [0, 1, 2]) {
      const { data, shape } = await checkpoint.readTensor(`${stack}[${index}]`);
      expect([shape, data]).toEqual([[16, 20], values.subarray(index * 320, (index + 1) * 320)]);
      const bytes = checkpoint.openBytes(`${stack}[${index}]`);
      const whole = await checkpoint.readBytes(`${stack}[${index}]`);
      expect(bytes.length).toBe(640);
      expect(Buffer.from(bytes.subarray(10, 50))).toEqual(Buffer.from(whole.subarray(10, 50)));
    }
    await expect(async () => checkpoint.openBytes(`${stack}[3]`)).rejects.toThrow("no such tensor");
    await expect(async () => checkpoint.openBytes(stack)).rejects.toThrow("no such tensor");
  });

  it("is written again with one matrix changed and the others byte for byte", async () => {
    const changed = new Uint8Array(640).fill(63);
    await writeFolderAtomic(at("changed"), async (temporary) => {
      await rewriteCheckpoint(checkpoint, temporary, {
        tensors: new Map([[`${stack}[1]`, () => [changed]]]),
        metadata: {},
      });
    });
    const written = await openCheckpoint(at("changed"));
    expect(Buffer.from(await written.readBytes(`${stack}[1]`))).toEqual(Buffer.from(changed));
    for (const name of [`${stack}[0]`, `${stack}[2]`, "model.norm.weight", "model.layers.0.conv.weight"])
      expect(Buffer.from(await written.readBytes(name)), name).toEqual(
        Buffer.from(await checkpoint.readBytes(name)),
      );
    await written.close();
  });
});
