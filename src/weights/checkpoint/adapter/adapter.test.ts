import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { drawFirst, drawSecond, writeAdapterFolder } from "../../../../test/support/adapter-folder.ts";
import {
  buildModel,
  drawExact,
  nameWeight,
  type TensorSpec,
  writeCheckpointFolder,
} from "../../../../test/support/checkpoint-folder.ts";
import { createTemporaryFolder, removeFolder } from "../../../../test/support/untwist.ts";
import { openCheckpoint } from "../checkpoint.ts";
import { createRangeDecoder } from "../dtype.ts";

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
    const path = await writeAdapterFolder(at("stabilized"), { base: at("base-F32"), modules, fields });
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

  it("starts from the tensor that the adapter holds beside its factors, as PEFT saves heads and embeddings", async () => {
    const values = drawExact("saved head", 720);
    const path = await writeAdapterFolder(at("head"), {
      base: at("base-F32"),
      modules: { lm_head: [30, 24, 4] },
      tensors: [{ name: "base_model.model.lm_head.base_layer.weight", shape: [30, 24], values }],
    });
    const [a, b] = [drawFirst, drawSecond].map((draw) => draw("adapter", "lm_head", [30, 24, 4]));
    const expected = Array.from(values, (value, index) => {
      const [row, column] = [Math.floor(index / 24), index % 24];
      let sum = value;
      for (let term = 0; term < 4; term++) sum += b![row * 4 + term]! * a![term * 24 + column]!;
      return sum;
    });
    expect([...(await readMerged(path, "lm_head.weight"))]).toEqual(expected);
    const checkpoint = await openCheckpoint(path);
    expect(checkpoint.adapter).toMatchObject({ replaced: new Set(["lm_head.weight"]), updates: new Map() });
    await checkpoint.close();
  });

  it("brings rows to DoRA's magnitudes, in any range", async () => {
    const magnitudes = Float32Array.from({ length: 40 }, (_, row) => 1 + row / 8);
    const path = await writeAdapterFolder(at("dora"), {
      base: at("base-F32"),
      modules: { [up]: modules[up] },
      fields: { use_dora: true },
      tensors: [{ name: `base_model.model.${up}.lora_magnitude_vector`, shape: [40], values: magnitudes }],
    });
    const sum = mergeByDefinition(weightOf(up), up, 2);
    const norms = magnitudes.map((_, row) => Math.hypot(...sum.slice(row * 24, (row + 1) * 24)));
    const expected = sum.map((value, index) => {
      const row = Math.floor(index / 24);
      return (value * magnitudes[row]!) / norms[row]!;
    });
    const checkpoint = await openCheckpoint(path);
    const decode = createRangeDecoder(checkpoint.openBytes(`${up}.weight`), "F32");
    for (const [first, last] of [
      [0, 960],
      [5, 6],
      [30, 900],
    ] as const)
      for (const [index, value] of decode(first, last).entries())
        expect(value).toBeCloseTo(expected[first + index]!, 5);
    expect(checkpoint.adapter?.updates.size).toBe(0);
    await checkpoint.close();
  });

  it("replaces the rows of trained tokens", async () => {
    const values = drawExact("tokens", 48);
    const path = await writeAdapterFolder(at("tokens"), {
      base: at("base-F32"),
      modules,
      fields: { trainable_token_indices: [29, 3] },
      tensors: [
        {
          name: "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta",
          shape: [2, 24],
          values,
        },
      ],
    });
    const expected = drawExact("one model.embed_tokens.weight", 720);
    expected.set(values.slice(0, 24), 29 * 24);
    expected.set(values.slice(24), 3 * 24);
    expect(await readMerged(path, "model.embed_tokens.weight")).toEqual(expected);
  });

  it("adds lora_B's bias to the base's", async () => {
    const tensors = [
      { name: `${query}.weight`, shape: [24, 24], values: drawExact("biased", 576) },
      { name: `${query}.bias`, shape: [24], values: drawExact("bias", 24) },
    ];
    await writeCheckpointFolder(at("biased"), tensors);
    const added = drawExact("added", 24);
    const path = await writeAdapterFolder(at("lora-bias"), {
      base: at("biased"),
      modules: { [query]: modules[query] },
      fields: { lora_bias: true, lora_alpha: 8 },
      tensors: [{ name: `base_model.model.${query}.lora_B.bias`, shape: [24], values: added }],
    });
    const expected = drawExact("bias", 24).map((value, index) => value + 2 * added[index]!);
    expect(await readMerged(path, `${query}.bias`)).toEqual(expected);
  });

  it("splits factors of a stack of experts, and finds them one by one in the base as well", async () => {
    const experts = "model.layers.0.mlp.experts";
    const [first, second] = [drawExact("experts A", 2 * 3 * 16), drawExact("experts B", 32 * 3 * 2)];
    const stack = drawExact("experts", 2 * 32 * 16);
    await writeCheckpointFolder(at("packed"), [
      { name: `${experts}.gate_up_proj`, shape: [2, 32, 16], values: stack },
    ]);
    await writeCheckpointFolder(
      at("single"),
      [0, 1].flatMap((expert) =>
        ["gate_proj", "up_proj"].map((part, half) => ({
          name: `${experts}.${expert}.${part}.weight`,
          shape: [16, 16],
          values: stack.slice((2 * expert + half) * 256, (2 * expert + half + 1) * 256),
        })),
      ),
    );
    const delta = (expert: number, row: number, column: number): number =>
      [0, 1, 2].reduce(
        (sum, term) =>
          sum + second[(row * 3 + term) * 2 + expert]! * first[(expert * 3 + term) * 16 + column]!,
        0,
      );
    for (const base of ["packed", "single"]) {
      const path = await writeAdapterFolder(at(`experts of ${base}`), {
        base: at(base),
        modules: {},
        fields: { r: 3, lora_alpha: 3, target_parameters: ["mlp.experts.gate_up_proj"] },
        tensors: [
          { name: `base_model.model.${experts}.lora_A.weight`, shape: [6, 16], values: first },
          { name: `base_model.model.${experts}.lora_B.weight`, shape: [32, 6], values: second },
        ],
      });
      const names =
        base === "packed"
          ? [`${experts}.gate_up_proj[1]`]
          : [`${experts}.1.gate_proj.weight`, `${experts}.1.up_proj.weight`];
      const found = (await Promise.all(names.map((name) => readMerged(path, name)))).flatMap((one) => [
        ...one,
      ]);
      const expected = [...stack.slice(512)].map(
        (value, index) => value + delta(1, Math.floor(index / 16), index % 16),
      );
      expect(found).toEqual(expected);
    }
  });

  const head = { name: "base_model.model.lm_head.weight", shape: [30, 24], values: drawExact("head", 720) };
  const embeddings = { ...head, name: "base_model.model.model.embed_tokens.weight" };

  it("unties what PEFT unties: of tied tables, one is saved and the other stays", async () => {
    await writeCheckpointFolder(
      at("tied"),
      buildModel("one", "F32").filter(({ name }) => name !== "lm_head.weight"),
    );
    const config = JSON.parse(readFileSync(at("tied/config.json"), "utf8"));
    writeFileSync(at("tied/config.json"), JSON.stringify({ ...config, tie_word_embeddings: true }));
    const own = drawExact("one model.embed_tokens.weight", 720);
    for (const [name, tensors, expected] of [
      ["saved embeddings", [embeddings], [head.values, own, false]],
      ["a saved head", [head], [own, head.values, false]],
      ["both, the same", [head, embeddings], [head.values, undefined, true]],
      ["none", [], [own, undefined, true]],
    ] as const) {
      const path = await writeAdapterFolder(at(`tied ${name}`), { base: at("tied"), modules, tensors });
      const checkpoint = await openCheckpoint(path);
      const read = async (tensor: string): Promise<Float32Array | undefined> =>
        checkpoint.tensors.has(tensor) ? (await checkpoint.readTensor(tensor)).data : undefined;
      expect(
        [
          await read("model.embed_tokens.weight"),
          await read("lm_head.weight"),
          checkpoint.config.tie_word_embeddings,
        ],
        name,
      ).toEqual(expected);
      await checkpoint.close();
    }
  });
});

describe("openCheckpoint() of a model saved within PEFT", () => {
  const factorsOf = (module: keyof typeof modules): readonly TensorSpec[] => {
    const [rows, columns, rank] = modules[module];
    return [
      {
        name: `base_model.model.${module}.lora_A.default.weight`,
        shape: [rank, columns],
        values: drawFirst("adapter", module, [rows, columns, rank]),
      },
      {
        name: `base_model.model.${module}.lora_B.default.weight`,
        shape: [rows, rank],
        values: drawSecond("adapter", module, [rows, columns, rank]),
      },
    ];
  };
  const writeWrapped = async (name: string): Promise<string> => {
    const tensors = buildModel("one", "F32").map((tensor): TensorSpec => {
      const [, module] = /^(.*)\.weight$/.exec(tensor.name) ?? [];
      const isAdapted = module !== undefined && Object.hasOwn(modules, module);
      return {
        ...tensor,
        name: isAdapted ? `base_model.model.${module}.base_layer.weight` : `base_model.model.${tensor.name}`,
      };
    });
    const factors = Object.keys(modules).flatMap((module) => factorsOf(module as keyof typeof modules));
    return await writeCheckpointFolder(at(name), [...tensors, ...factors]);
  };

  it("is the merged model under its own names, scaled as verl's note says", async () => {
    const path = await writeWrapped("verl/huggingface");
    await expect(openCheckpoint(path)).rejects.toThrow("how much it counts");
    // Of one rank for all, as verl has it.
    writeFileSync(
      at("verl/lora_train_meta.json"),
      JSON.stringify({ r: 4, lora_alpha: 8, task_type: "CAUSAL_LM" }),
    );
    await expect(openCheckpoint(path)).rejects.toThrow("ranks 2 and 2");
    await writeAdapterFolder(at("verl/lora_adapter"), { base: "x", modules, fields: { lora_alpha: 8 } });
    const checkpoint = await openCheckpoint(path);
    expect([...checkpoint.tensors.keys()].sort()).toEqual(
      buildModel("one")
        .map(({ name }) => name)
        .sort(),
    );
    await checkpoint.close();
    expect([...(await readMerged(path, `${query}.weight`))]).toEqual(
      mergeByDefinition(weightOf(query), query, 2),
    );
    expect([...(await readMerged(path, `${up}.weight`))]).toEqual(mergeByDefinition(weightOf(up), up, 4));
  });
});
