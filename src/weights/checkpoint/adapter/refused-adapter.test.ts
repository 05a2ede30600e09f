import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { type AdapterSpec, writeAdapterFolder } from "../../../../test/support/adapter-folder.ts";
import {
  buildModel,
  drawExact,
  type TensorSpec,
  writeCheckpointFolder,
} from "../../../../test/support/checkpoint-folder.ts";
import { createTemporaryFolder, removeFolder } from "../../../../test/support/untwist.ts";
import { openCheckpoint } from "../checkpoint.ts";
import { CheckpointError } from "../checkpoint-error.ts";
import { inspectAdapter } from "./inspect-adapter.ts";

const folder = createTemporaryFolder();
afterAll(() => removeFolder(folder));
const at = (name: string): string => join(folder, name);

const query = "model.layers.0.self_attn.q_proj";
const up = "model.layers.1.mlp.up_proj";
const modules = { [query]: [24, 24, 4], [up]: [40, 24, 2] } as const;

describe("openCheckpoint() of an adapter that cannot be read as PEFT means it", async () => {
  await writeCheckpointFolder(at("base-F32"), buildModel("one"));
  await writeCheckpointFolder(
    at("tied"),
    buildModel("one").filter(({ name }) => name !== "lm_head.weight"),
  );
  const factor = (name: string, shape: readonly number[]): TensorSpec => ({
    name: `base_model.model.${name}`,
    shape,
    values: drawExact(name, shape[0]! * (shape[1] ?? 1)),
  });
  const base = at("base-F32");
  const wrong: Readonly<Record<string, readonly [AdapterSpec, string, "usable" | "partial" | "unusable"]>> = {
    "a base that is not a folder here": [{ base: "org/some-model", modules }, '"org/some-model"', "usable"],
    "a module that the base does not have": [
      { base, modules: { "model.layers.9.q_proj": [24, 24, 4] } },
      "model.layers.9.q_proj.weight",
      "usable",
    ],
    "a module of another size": [{ base, modules: { [query]: [24, 20, 4] } }, "[24, 20]", "usable"],
    "itself as its base": [{ base: ".", modules }, "itself", "usable"],
    "a base with NUL in its name": [{ base: "a\0b", modules }, "not a name of a folder", "unusable"],
    "a DoRA without magnitudes": [
      { base, modules, fields: { use_dora: true } },
      "lora_magnitude_vector",
      "unusable",
    ],
    "a start that changes the base": [
      { base, modules, fields: { init_lora_weights: "pissa" } },
      "pissa",
      "unusable",
    ],
    "a start in capitals": [{ base, modules, fields: { init_lora_weights: "PiSSA" } }, "PiSSA", "unusable"],
    "a start by gradients": [
      { base, modules, fields: { init_lora_weights: "lora_ga" } },
      "lora_ga",
      "unusable",
    ],
    "another kind of adapter": [{ base, modules, fields: { peft_type: "IA3" } }, '"IA3"', "unusable"],
    "a prompt": [
      { base, modules, fields: { peft_type: "PROMPT_TUNING" } },
      "what the model is given",
      "unusable",
    ],
    "an activated LoRA": [
      { base, modules, fields: { alora_invocation_tokens: [1, 2] } },
      "alora_invocation_tokens",
      "unusable",
    ],
    "a field of tomorrow": [{ base, modules, fields: { use_xyz: 1 } }, '"use_xyz"', "unusable"],
    "an alpha that is a text": [{ base, modules, fields: { lora_alpha: "16" } }, "lora_alpha", "unusable"],
    "an alpha that is null": [{ base, modules, fields: { lora_alpha: null } }, "lora_alpha", "unusable"],
    "a rank of nothing": [{ base, modules, fields: { r: 0, rank_pattern: {} } }, "rank r", "unusable"],
    "a rank that its tensors have not": [
      { base, modules, fields: { rank_pattern: {} } },
      "ranks 2 and 2, and by its adapter_config.json it is 4",
      "unusable",
    ],
    "a pattern of Python's": [
      { base, modules, fields: { alpha_pattern: { "(?P<x>q_proj)": 2 } } },
      "only Python reads",
      "unusable",
    ],
    "one factor without the other": [
      { base, modules, tensors: [factor("model.layers.1.self_attn.q_proj.lora_B.weight", [24, 4])] },
      "lora_A",
      "unusable",
    ],
    "a module under two names": [
      {
        base,
        modules,
        tensors: [{ ...factor(`${query}.lora_A.weight`, [4, 24]), name: `${query}.lora_A.weight` }],
      },
      "another name",
      "unusable",
    ],
    "names that PEFT does not load": [
      {
        base,
        modules: {},
        tensors: [
          factor(`${query}.lora_A.default.weight`, [4, 24]),
          factor(`${query}.lora_B.default.weight`, [24, 4]),
        ],
      },
      '"default"',
      "unusable",
    ],
    "parts of an unknown kind": [
      { base, modules, tensors: [factor(`${query}.lora_C.weight`, [4, 4])] },
      "does not know",
      "unusable",
    ],
    "factors that were not gathered": [
      {
        base,
        modules: {},
        tensors: [factor(`${query}.lora_A.weight`, [0]), factor(`${query}.lora_B.weight`, [0])],
      },
      "gathered",
      "unusable",
    ],
    "a bias where the base has none": [
      {
        base,
        modules: { [query]: modules[query] },
        fields: { lora_bias: true },
        tensors: [factor(`${query}.lora_B.bias`, [24])],
      },
      "has none in the base",
      "usable",
    ],
    "factors of a table that is the head as well": [
      { base: at("tied"), modules: { lm_head: [30, 24, 4] } },
      "head as well",
      "usable",
    ],
    "a saved tensor of another size": [
      { base, modules, tensors: [factor("model.frozen.weight", [12, 21])] },
      "[12, 21]",
      "usable",
    ],
    "a saved tensor of integers": [
      { base, modules, tensors: [{ ...factor("lm_head.weight", [30, 24]), dtype: "I32" }] },
      "its numbers are I32, the base's F32",
      "usable",
    ],
    "a module that it says to hold and does not": [
      { base, modules, fields: { modules_to_save: ["lm_head"] } },
      '"lm_head.weight"',
      "usable",
    ],
    "rows of tokens that it says to hold and does not": [
      { base, modules, fields: { trainable_token_indices: [1] } },
      "trainable_token_indices",
      "unusable",
    ],
    "a table with more rows than the other": [
      { base, modules, tensors: [factor("lm_head.weight", [31, 24])] },
      "31 rows",
      "usable",
    ],
  };
  for (const [name, [spec, word, state]] of Object.entries(wrong))
    it(`refuses ${name} in one sentence`, async () => {
      const path = await writeAdapterFolder(at(`wrong ${name}`), spec);
      await expect(openCheckpoint(path)).rejects.toThrow(CheckpointError);
      await expect(openCheckpoint(path)).rejects.toThrow(word);
      expect((await inspectAdapter(path)).state).toBe(state);
    });
});

it("openCheckpoint() refuses an adapter in a pickle by its name, now and later", async () => {
  const path = await writeAdapterFolder(at("pickled"), { base: at("base-F32"), modules });
  renameSync(join(path, "adapter_model.safetensors"), join(path, "adapter_model.bin"));
  await expect(openCheckpoint(path)).rejects.toThrow("adapter_model.bin");
  expect(await inspectAdapter(path)).toMatchObject({ state: "unusable" });
});

describe("inspectAdapter()", () => {
  it("tells an adapter that is still being written from one that can never be used", async () => {
    const path = await writeAdapterFolder(at("growing"), { base: "elsewhere", modules });
    expect(await inspectAdapter(path)).toEqual({ state: "usable" });
    const weights = readFileSync(join(path, "adapter_model.safetensors"));
    writeFileSync(join(path, "adapter_model.safetensors"), weights.subarray(0, weights.length - 8));
    expect(await inspectAdapter(path)).toMatchObject({ state: "partial" });
    writeFileSync(join(path, "adapter_config.json"), '{"peft_type": "LO');
    expect(await inspectAdapter(path)).toMatchObject({ state: "partial" });
  });
});
