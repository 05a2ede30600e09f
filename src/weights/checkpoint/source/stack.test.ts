import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  drawExact,
  type TensorSpec,
  writeCheckpointFolder,
} from "../../../../test/support/checkpoint-folder.ts";
import { createTemporaryFolder, removeFolder } from "../../../../test/support/untwist.ts";
import { writeFolderAtomic } from "../../../base/file/index.ts";
import { openCheckpoint } from "../checkpoint.ts";
import type { Checkpoint } from "../open-checkpoint.ts";
import { rewriteCheckpoint } from "../rewrite.ts";
import { isStack, listParts } from "./stack.ts";

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

describe("listParts()", () => {
  const nameParts = (name: string, shape: readonly number[], config: Record<string, unknown>): unknown =>
    listParts(name, { dtype: "F4", shape, file: "x" }, config).map(({ name: part, tensor, start, end }) => [
      part,
      tensor.shape,
      start,
      end,
    ]);

  it("calls experts as transformers 5 packs them by the names that transformers 4 gives them", () => {
    const config = { model_type: "qwen3_moe", hidden_size: 32 };
    expect(nameParts("a.experts.gate_up_proj", [2, 40, 32], config)).toEqual([
      ["a.experts.0.gate_proj.weight", [20, 32], 0, 320],
      ["a.experts.0.up_proj.weight", [20, 32], 320, 640],
      ["a.experts.1.gate_proj.weight", [20, 32], 640, 960],
      ["a.experts.1.up_proj.weight", [20, 32], 960, 1280],
    ]);
    expect(nameParts("a.experts.down_proj", [1, 32, 20], config)).toEqual([
      ["a.experts.0.down_proj.weight", [32, 20], 0, 320],
    ]);
    const nested = {
      model_type: "glm4v_moe",
      text_config: { model_type: "glm4v_moe_text", hidden_size: 32 },
    };
    expect(nameParts("a.experts.down_proj", [1, 32, 20], nested)).toEqual([
      ["a.experts.0.down_proj.weight", [32, 20], 0, 320],
    ]);
  });

  it.each([
    ["gpt_oss", [1, 32, 32]],
    ["llama4_text", [1, 32, 32]],
    ["qwen3_moe", [1, 64, 48]],
  ])("leaves experts of %s %j whole", (type, shape) => {
    const config = { model_type: type, hidden_size: 32 };
    expect(nameParts("a.experts.gate_up_proj", shape, config)).toEqual([
      ["a.experts.gate_up_proj[0]", shape.slice(1), 0, (shape[1]! * shape[2]!) / 2],
    ]);
  });

  it("takes the biases of experts for a vector each", () => {
    expect(nameParts("a.experts.down_proj_bias", [2, 64], { model_type: "gpt_oss" })).toEqual([
      ["a.experts.down_proj_bias[0]", [64], 0, 32],
      ["a.experts.down_proj_bias[1]", [64], 32, 64],
    ]);
  });

  it.each([[[30_000_000, 16, 16]], [[4097, 16, 16]], [[3, 17, 17]], [[]], [[0, 16, 16]]])(
    "leaves %j, which are not experts, whole",
    (shape) => {
      const parts = listParts("a", { dtype: "F4", shape, file: "x" }, {});
      expect(parts.map(({ name, tensor }) => [name, tensor.shape])).toEqual([["a", shape]]);
    },
  );
});
