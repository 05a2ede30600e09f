import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { setting, UsageError } from "../../base/core/index.ts";
import { describeTensorName, parseLayers, parsePatterns } from "./tensor-name.ts";

/** The tensors of one layer and those outside, with their kinds, as the Hugging Face library names them. */
const models: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "Llama, Mistral": {
    "model.embed_tokens.weight": "embed_tokens",
    "model.layers.#.input_layernorm.weight": "input_layernorm",
    "model.layers.#.self_attn.q_proj.weight": "q_proj",
    "model.layers.#.self_attn.k_proj.weight": "k_proj",
    "model.layers.#.self_attn.v_proj.weight": "v_proj",
    "model.layers.#.self_attn.o_proj.weight": "o_proj",
    "model.layers.#.post_attention_layernorm.weight": "post_attention_layernorm",
    "model.layers.#.mlp.gate_proj.weight": "gate_proj",
    "model.layers.#.mlp.up_proj.weight": "up_proj",
    "model.layers.#.mlp.down_proj.weight": "down_proj",
    "model.norm.weight": "norm",
    "lm_head.weight": "lm_head",
  },
  "Qwen2, Qwen3": {
    "model.layers.#.self_attn.q_proj.weight": "q_proj",
    "model.layers.#.self_attn.q_proj.bias": "q_proj.bias",
    "model.layers.#.self_attn.k_proj.bias": "k_proj.bias",
    "model.layers.#.self_attn.q_norm.weight": "q_norm",
    "model.layers.#.self_attn.k_norm.weight": "k_norm",
  },
  "Qwen3-MoE": {
    "model.layers.#.mlp.gate.weight": "gate",
    "model.layers.#.mlp.experts.#.gate_proj.weight": "experts.gate_proj",
    "model.layers.#.mlp.experts.#.down_proj.weight": "experts.down_proj",
    "model.layers.#.mlp.shared_expert.gate_proj.weight": "shared_expert.gate_proj",
    "model.layers.#.mlp.shared_expert_gate.weight": "shared_expert_gate",
    "model.layers.#.mlp.gate_proj.weight": "gate_proj",
  },
  Mixtral: {
    "model.layers.#.block_sparse_moe.gate.weight": "gate",
    "model.layers.#.block_sparse_moe.experts.#.w1.weight": "experts.w1",
    "model.layers.#.block_sparse_moe.experts.#.w2.weight": "experts.w2",
    "model.layers.#.mlp.experts.#.w3.weight": "experts.w3",
    "model.layers.#.mlp.experts.gate_up_proj": "experts.gate_up_proj",
  },
  "Gemma 2": {
    "model.layers.#.pre_feedforward_layernorm.weight": "pre_feedforward_layernorm",
    "model.layers.#.self_attn.o_proj.weight": "o_proj",
  },
  "Gemma 3 with its vision tower": {
    "language_model.model.layers.#.self_attn.q_proj.weight": "q_proj",
    "vision_tower.vision_model.encoder.layers.#.self_attn.q_proj.weight": "vision_tower.q_proj",
    "vision_tower.vision_model.encoder.layers.#.self_attn.q_proj.bias": "vision_tower.q_proj.bias",
    "vision_tower.vision_model.encoder.layers.#.mlp.fc1.weight": "vision_tower.fc1",
    "vision_tower.vision_model.embeddings.patch_embedding.weight": "vision_tower.patch_embedding",
    "multi_modal_projector.mm_input_projection_weight": "multi_modal_projector.mm_input_projection_weight",
  },
  "Qwen2.5-VL": {
    "model.language_model.layers.#.self_attn.q_proj.weight": "q_proj",
    "model.visual.blocks.#.attn.qkv.weight": "visual.qkv",
    "model.visual.blocks.#.attn.proj.weight": "visual.attn.proj",
    "model.visual.patch_embed.proj.weight": "visual.proj",
    "model.visual.merger.mlp.#.weight": "visual.mlp",
  },
  "Phi-3": {
    "model.layers.#.self_attn.qkv_proj.weight": "qkv_proj",
    "model.layers.#.mlp.gate_up_proj.weight": "gate_up_proj",
  },
  "GPT-2": {
    "transformer.wte.weight": "wte",
    "transformer.h.#.ln_1.weight": "ln_1",
    "transformer.h.#.attn.c_attn.weight": "c_attn",
    "transformer.h.#.attn.c_proj.weight": "attn.c_proj",
    "transformer.h.#.mlp.c_fc.weight": "c_fc",
    "transformer.h.#.mlp.c_proj.weight": "mlp.c_proj",
    "transformer.h.#.mlp.c_proj.bias": "mlp.c_proj.bias",
    "transformer.ln_f.weight": "ln_f",
    "transformer.ln_f.bias": "ln_f.bias",
  },
  "GPT-NeoX": {
    "gpt_neox.embed_in.weight": "embed_in",
    "gpt_neox.layers.#.attention.query_key_value.weight": "query_key_value",
    "gpt_neox.layers.#.attention.dense.weight": "attention.dense",
    "gpt_neox.layers.#.mlp.dense_h_to_4h.weight": "dense_h_to_4h",
    "gpt_neox.layers.#.mlp.dense_4h_to_h.weight": "dense_4h_to_h",
    "embed_out.weight": "embed_out",
  },
  "a low-rank adapter": {
    "base_model.model.model.layers.#.self_attn.q_proj.lora_A.weight": "q_proj.lora_A",
    "base_model.model.model.layers.#.self_attn.q_proj.lora_B.weight": "q_proj.lora_B",
  },
};

describe("describeTensorName()", () => {
  it.each(Object.entries(models))("knows the parts of %s in every layer", (_, kinds) => {
    for (const [pattern, kind] of Object.entries(kinds)) {
      for (const layer of [0, 12]) {
        // The first number is the layer, the others are experts.
        const name = pattern.replace("#", String(layer)).replaceAll("#", "5");
        expect(describeTensorName(name)).toEqual({ ...(pattern.includes("#") ? { layer } : {}), kind });
      }
    }
    expect(new Set(Object.values(kinds)).size).toBe(Object.keys(kinds).length);
  });

  it("reads no layer from a number within a segment", () => {
    expect(describeTensorName("model.layers2.w1.weight")).toEqual({ kind: "layers2.w1" });
  });

  it("gives every name a kind without empty ends", () => {
    expect(["weight", "3.weight", "3", ""].map((name) => describeTensorName(name).kind)).toEqual([
      "weight",
      "3.weight",
      "3",
      "",
    ]);
    const segment = fc.constantFrom("model", "h", "attn", "c_proj", "7", "weight", "bias", "q_proj");
    fc.assert(
      fc.property(fc.array(segment, { minLength: 1, maxLength: 6 }), (segments) => {
        const { kind } = describeTensorName(segments.join("."));
        expect(kind).not.toMatch(/^$|^\.|\.$|\.\./);
      }),
    );
  });
});

describe("parseLayers()", () => {
  it("takes numbers and ranges with both ends", () => {
    const isChosen = parseLayers("0-3, 7,10 - 10,2");
    const layers = Array.from({ length: 12 }, (_, layer) => layer);
    expect(layers.filter(isChosen)).toEqual([0, 1, 2, 3, 7, 10]);
  });

  it.each([
    ["3-1", '"3-1" runs backwards; write the smaller number first, as in "1-3"'],
    ["a", '"a" is not a layer or range; write numbers and ranges as in "0-3,7"'],
    ["", 'a number is missing; write numbers and ranges as in "0-3,7"'],
    ["1,,2", 'a number is missing; write numbers and ranges as in "0-3,7"'],
    ["0,-3", '"-3" is not a layer or range; write numbers and ranges as in "0-3,7"'],
    ["1-2-3", '"1-2-3" is not a layer or range; write numbers and ranges as in "0-3,7"'],
    ["1.5", '"1.5" is not a layer or range; write numbers and ranges as in "0-3,7"'],
  ])('refuses "%s" and says what to write', (text, problem) => {
    expect(() => parseLayers(text)).toThrow(
      new UsageError(`Cannot read ${setting("layers")} "${text}": ${problem}`),
    );
  });
});

describe("parsePatterns()", () => {
  const names = [
    "model.embed_tokens.weight",
    "model.layers.0.self_attn.q_proj.weight",
    "model.layers.0.self_attn.q_proj.bias",
    "model.layers.0.mlp.down_proj.weight",
    "model.layers.11.mlp.down_proj.weight",
    "vision_tower.encoder.layers.0.self_attn.q_proj.weight",
  ];
  const choose = (text: string): readonly number[] => {
    const isChosen = parsePatterns(text);
    return names.flatMap((name, index) => (isChosen(name) ? [index] : []));
  };

  it.each([
    ["q_proj,down_proj", [1, 3, 4]],
    ["q_proj.bias", [2]],
    ["*_proj", [1, 3, 4, 5]],
    ["*q_proj*", [1, 2, 5]],
    ["model.layers.*.mlp.*", [3, 4]],
    ["model.layers.1*.weight, embed_tokens", [0, 4]],
    ["model.layers.0.self_attn.q_proj.weight", [1]],
    ["*", [0, 1, 2, 3, 4, 5]],
    ["proj", []],
    ["Q_proj", []],
    ["q.proj", []],
    ["q_proj*q_proj", []],
  ])('chooses the tensors that "%s" means', (text, expected) => {
    expect(choose(text)).toEqual(expected);
  });

  it("agrees with the regular expression that a pattern stands for", () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 8 });
    const pattern = fc.string({ unit: fc.constantFrom("a", "b", "*"), minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(pattern, letters, (text, name) => {
        const expected = new RegExp(`^${text.replaceAll("*", ".*")}$`).test(name);
        expect(parsePatterns(text)(name)).toBe(expected);
      }),
      { numRuns: 1000 },
    );
  });

  it("refuses an empty name", () => {
    for (const text of ["", " ", "q_proj,"])
      expect(() => parsePatterns(text)).toThrow(
        new UsageError(
          `Cannot read ${setting("matrices")} "${text}": a name is empty; write names or patterns as in "q_proj,*_proj"`,
        ),
      );
  });
});
