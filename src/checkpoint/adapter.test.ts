import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { drawFirst, drawSecond, writeAdapterFolder } from "../../test/support/adapter-folder.ts";
import {
  buildModel,
  drawExact,
  nameWeight,
  writeCheckpointFolder,
} from "../../test/support/checkpoint-folder.ts";
import { createTemporaryFolder, removeFolder } from "../../test/support/untwist.ts";
import { openCheckpoint } from "./checkpoint.ts";
import { CheckpointError } from "./checkpoint-error.ts";
import { createRangeDecoder } from "./dtype.ts";

const folder = createTemporaryFolder();
afterAll(() => removeFolder(folder));
const at = (name: string): string => join(folder, name);

const query = "model.layers.0.self_attn.q_proj";
const up = "model.layers.1.mlp.up_proj";
const modules = { [query]: [24, 24, 4], [up]: [40, 24, 2] } as const;

/** W + scale · B · A by the definition. */
function mergeByDefinition(
  weight: Float32Array,
  module: keyof typeof modules | string,
  scale: number,
): number[] {
  const [rows, columns, rank] = (modules as Readonly<Record<string, readonly [number, number, number]>>)[
    module
  ]!;
  const [a, b] = [
    drawFirst("adapter", module, [rows, columns, rank]),
    drawSecond("adapter", module, [rows, columns, rank]),
  ];
  return Array.from({ length: rows * columns }, (_, index) => {
    const [row, column] = [Math.floor(index / columns), index % columns];
    let sum = 0;
    for (let term = 0; term < rank; term++) sum += b[row * rank + term]! * a[term * columns + column]!;
    return weight[index]! + scale * sum;
  });
}

async function readMerged(
  path: string,
  name: string,
  merged: "exact" | "rounded" = "exact",
): Promise<Float32Array> {
  const checkpoint = await openCheckpoint(path, { merged });
  try {
    return (await checkpoint.readTensor(name)).data;
  } finally {
    await checkpoint.close();
  }
}

const weightOf = (module: string): Float32Array =>
  drawExact(`one ${module}.weight`, module === query ? 576 : 960);

describe("openCheckpoint() of a LoRA adapter", async () => {
  for (const dtype of ["F32", "BF16"] as const)
    await writeCheckpointFolder(at(`base-${dtype}`), buildModel("one", dtype), { numShards: 2 });
  const fields = {
    r: 4,
    lora_alpha: 8,
    rank_pattern: { up_proj: 2 },
    alpha_pattern: { "layers.1.mlp.up_proj": 6 },
  };
  const adapter = await writeAdapterFolder(at("adapter"), { base: at("base-F32"), modules, fields });

  it("gives W + alpha / r · B · A, with ranks and alphas of modules' own, and everything else of the base", async () => {
    expect([...(await readMerged(adapter, `${query}.weight`))]).toEqual(
      mergeByDefinition(weightOf(query), query, 2),
    );
    expect([...(await readMerged(adapter, `${up}.weight`))]).toEqual(mergeByDefinition(weightOf(up), up, 3));
    const other = nameWeight(1, "self_attn.q_proj");
    expect(await readMerged(adapter, other)).toEqual(await readMerged(at("base-F32"), other));
    const checkpoint = await openCheckpoint(adapter);
    expect(checkpoint.config).toEqual({ model_type: "llama" });
    expect(checkpoint.tensors.size).toBe(buildModel("one").length);
    await checkpoint.close();
  });

  it("gives any range of it, across rows and within one", async () => {
    const checkpoint = await openCheckpoint(adapter);
    const name = `${up}.weight`;
    const whole = mergeByDefinition(weightOf(up), up, 3);
    const decode = createRangeDecoder(checkpoint.openBytes(name), "F32");
    for (const [first, last] of [
      [0, 960],
      [5, 6],
      [23, 25],
      [24, 48],
      [30, 900],
      [959, 960],
      [7, 7],
    ] as const)
      expect([...decode(first, last)]).toEqual(whole.slice(first, last));
    await checkpoint.close();
  });

  it("takes patterns for the regular expressions that PEFT takes them for", async () => {
    const fields = { lora_alpha: 4, alpha_pattern: { "layers\\.0\\..*q_proj": 16 } };
    const path = await writeAdapterFolder(at("patterns"), { base: at("base-F32"), modules, fields });
    expect([...(await readMerged(path, `${query}.weight`))]).toEqual(
      mergeByDefinition(weightOf(query), query, 4),
    );
    expect([...(await readMerged(path, `${up}.weight`))]).toEqual(mergeByDefinition(weightOf(up), up, 2));
  });

  it("divides by the root of the rank where it says so", async () => {
    const fields = { lora_alpha: 6, use_rslora: true };
    const path = await writeAdapterFolder(at("stabilised"), { base: at("base-F32"), modules, fields });
    expect([...(await readMerged(path, `${query}.weight`))]).toEqual(
      mergeByDefinition(weightOf(query), query, 3),
    );
  });

  it("finds a base relative to the adapter", async () => {
    const path = await writeAdapterFolder(at("relative"), { base: "../base-F32", modules });
    expect([...(await readMerged(path, `${query}.weight`))]).toEqual(
      mergeByDefinition(weightOf(query), query, 1),
    );
  });

  it("is exact in 32-bit floats on a BF16 base, and rounded to BF16 where that is asked for", async () => {
    const path = await writeAdapterFolder(at("half"), { base: at("base-BF16"), modules });
    const expected = mergeByDefinition(weightOf(query), query, 1);
    expect([...(await readMerged(path, `${query}.weight`))]).toEqual(expected);
    const rounded = await readMerged(path, `${query}.weight`, "rounded");
    expect([...rounded]).not.toEqual(expected);
    for (const [index, value] of rounded.entries())
      expect(Math.abs(value - expected[index]!)).toBeLessThanOrEqual(2 ** -8 * Math.abs(expected[index]!));
    const checkpoint = await openCheckpoint(path, { merged: "rounded" });
    expect(checkpoint.tensors.get(`${query}.weight`)?.dtype).toBe("BF16");
    await checkpoint.close();
  });

  it("adds the transposed product where layers are stored with inputs as rows (Conv1D)", async () => {
    const name = "transformer.h.0.attn.c_attn";
    const shape = [36, 12, 4] as const;
    await writeCheckpointFolder(at("gpt2"), [
      { name: `${name}.weight`, shape: [12, 36], values: drawExact("gpt2", 432) },
    ]);
    const path = await writeAdapterFolder(at("gpt2-adapter"), {
      base: at("gpt2"),
      modules: { [name]: shape },
      fields: { fan_in_fan_out: true },
    });
    const [a, b] = [drawFirst("adapter", name, shape), drawSecond("adapter", name, shape)];
    const expected = Array.from({ length: 432 }, (_, index) => {
      const [input, output] = [Math.floor(index / 36), index % 36];
      let sum = drawExact("gpt2", 432)[index]!;
      for (let term = 0; term < 4; term++) sum += b[output * 4 + term]! * a[term * 12 + input]!;
      return sum;
    });
    expect([...(await readMerged(path, `${name}.weight`))]).toEqual(expected);
  });

  it("takes tensors that it holds as a whole (modules_to_save)", async () => {
    const values = drawExact("head", 720);
    const path = await writeAdapterFolder(at("saved"), {
      base: at("base-F32"),
      modules,
      tensors: [{ name: "base_model.model.lm_head.weight", shape: [30, 24], values }],
    });
    expect(await readMerged(path, "lm_head.weight")).toEqual(values);
  });

  const wrong = {
    "a base that is no folder here": [{ base: "org/some-model", modules }, '"org/some-model"'],
    "a module that the base does not have": [
      { base: at("base-F32"), modules: { "model.layers.9.q_proj": [24, 24, 4] } },
      "model.layers.9.q_proj.weight",
    ],
    "a module of another size": [{ base: at("base-F32"), modules: { [query]: [24, 20, 4] } }, "[24, 20]"],
    "a DoRA": [{ base: at("base-F32"), modules, fields: { use_dora: true } }, "DoRA"],
    "a start that changes the base": [
      { base: at("base-F32"), modules, fields: { init_lora_weights: "pissa" } },
      "pissa",
    ],
    "itself as its base": [{ base: ".", modules }, "itself"],
    "another kind of adapter": [{ base: at("base-F32"), modules, fields: { peft_type: "IA3" } }, '"IA3"'],
  } as const;
  for (const [name, [spec, word]] of Object.entries(wrong))
    it(`refuses ${name} in one sentence`, async () => {
      const path = await writeAdapterFolder(at(`wrong ${name}`), spec);
      await expect(openCheckpoint(path)).rejects.toThrow(CheckpointError);
      await expect(openCheckpoint(path)).rejects.toThrow(word);
    });
});
