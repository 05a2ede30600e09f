import { describe, expect, it } from "vitest";
import { UsageError } from "../../../base/core/index.ts";
import { applyGenerationConfig } from "./end-tokens.ts";
import type { ModelConfig } from "./model-config.ts";
import { describeModelConfig } from "./new-config.ts";
import { parseModelConfig } from "./parse-config.ts";

/** As transformers 5 writes it for a small Llama. */
const written = {
  architectures: ["LlamaForCausalLM"],
  attention_bias: false,
  attention_dropout: 0.0,
  bos_token_id: 1,
  dtype: "bfloat16",
  eos_token_id: [7, 9],
  hidden_act: "silu",
  hidden_size: 64,
  initializer_range: 0.03,
  intermediate_size: 96,
  max_position_embeddings: 512,
  mlp_bias: false,
  model_type: "llama",
  num_attention_heads: 4,
  num_hidden_layers: 3,
  pad_token_id: null,
  pretraining_tp: 1,
  rms_norm_eps: 1e-5,
  rope_parameters: { rope_theta: 500000.0, rope_type: "default" },
  tie_word_embeddings: true,
  transformers_version: "5.0.0",
  use_cache: true,
  vocab_size: 300,
};

const layer = { rope: { theta: 500_000, dimension: 16 } };
const parsed: ModelConfig = {
  family: "llama",
  vocabularySize: 300,
  hiddenSize: 64,
  intermediateSize: 96,
  layers: [layer, layer, layer],
  numHeads: 4,
  numKeyValueHeads: 4,
  headSize: 16,
  normEpsilon: 1e-5,
  maxPositions: 512,
  isTied: true,
  endToken: 7,
  otherEndTokens: [9],
  padToken: 7,
  initializerRange: 0.03,
};

const thetaOf = (value: unknown): number | undefined => parseModelConfig(value, "").layers[0]?.rope?.theta;

describe("parseModelConfig()", () => {
  it("reads a config of transformers 5, with rope_parameters and without num_key_value_heads", () => {
    expect(parseModelConfig(written, "config.json")).toEqual(parsed);
  });

  it("reads the older rope_theta, and takes Hugging Face's defaults for what is missing", () => {
    const { rope_parameters: _, rms_norm_eps: __, initializer_range: ___, ...older } = written;
    const spelled = { ...older, rope_theta: 20000, rope_scaling: null };
    expect(parseModelConfig(spelled, "")).toMatchObject({ normEpsilon: 1e-6, initializerRange: 0.02 });
    expect([thetaOf(spelled), thetaOf(older)]).toEqual([20_000, 10_000]);
  });

  it("prefers head_dim and num_key_value_heads where they are given", () => {
    const config = parseModelConfig({ ...written, head_dim: 24, num_key_value_heads: 2 }, "");
    expect(config).toMatchObject({ headSize: 24, numKeyValueHeads: 2 });
  });

  it("reads the base of rotary positions in every spelling of the default kind", () => {
    const { rope_parameters: _, ...plain } = written;
    for (const spelled of [
      { rope_theta: 20_000 },
      { rope_parameters: { rope_theta: 20_000 } },
      { rope_parameters: { rope_theta: 20_000, type: "default", partial_rotary_factor: 1 } },
      { rope_scaling: { rope_theta: 20_000, rope_type: "default" } },
      { rope_theta: 20_000, rope_scaling: { type: "default" }, rope_parameters: { rope_theta: 20_000 } },
      { rope_theta: 20_000, rope_scaling: null, rope_parameters: null, partial_rotary_factor: 1 },
    ])
      expect(thetaOf({ ...plain, ...spelled }), JSON.stringify(spelled)).toBe(20_000);
  });

  it("takes fields of other architectures at values that change nothing", () => {
    const neutral = {
      ...{ sliding_window: 512, use_sliding_window: false, layer_types: ["full_attention"] },
      ...{ qkv_bias: false, final_logit_softcapping: null, logit_scale: 1, pruned_heads: {} },
      ...{ pretraining_tp: 2, hidden_act: "swish", architectures: null, unsloth_fixed: true },
    };
    expect(parseModelConfig({ ...written, ...neutral }, "")).toEqual(parsed);
  });

  it("knows biases, and models whose answers do not end", () => {
    const biases = ["query", "key", "value", "output", "gate", "up", "down"];
    const biased = { ...written, attention_bias: true, mlp_bias: true };
    expect(parseModelConfig(biased, "")).toEqual({ ...parsed, biases });
    const { endToken: _, otherEndTokens: __, ...endless } = parsed;
    for (const none of [null, []])
      expect(parseModelConfig({ ...written, eos_token_id: none }, "")).toEqual({ ...endless, padToken: 0 });
    const { eos_token_id: ___, ...silent } = written;
    // As Hugging Face's LlamaConfig has it.
    expect(parseModelConfig(silent, "").endToken).toBe(2);
  });

  const refusals: readonly (readonly [what: string, change: object, field: string])[] = [
    ["another architecture", { model_type: "qwen2_moe" }, "model_type"],
    ["another activation", { hidden_act: "xielu" }, "hidden_act"],
    [
      "scaled positions in two places that differ",
      { rope_scaling: { type: "linear", factor: 2 } },
      "rope_scaling.rope_theta",
    ],
    ["another kind of rotary positions", { rope_parameters: { rope_type: "ntk" } }, "rope_type"],
    [
      "scaled positions without a factor",
      { rope_parameters: { rope_type: "yarn" } },
      "rope_parameters.factor",
    ],
    ["the older spelling in the newer place", { rope_parameters: { type: "ntk" } }, "rope_parameters.type"],
    [
      "a field of rotary positions that is not known",
      { rope_parameters: { mrope_section: [1] } },
      "mrope_section",
    ],
    [
      "a field that is not known in two places that agree",
      {
        rope_parameters: { rope_theta: 500000, mrope_section: [1] },
        rope_scaling: { rope_theta: 500000, mrope_section: [1] },
      },
      "mrope_section",
    ],
    ["a padding token that is no whole number", { pad_token_id: 1.5 }, "pad_token_id"],
    ["a factor without a type", { rope_parameters: { factor: 2 } }, "rope_parameters.factor"],
    ["a field that is not known", { attention_sinks: 4 }, "attention_sinks"],
    ["positions by kind of layer", { rope_parameters: { full_attention: {} } }, "full_attention"],
    ["two bases that differ", { rope_theta: 10_000 }, "rope_parameters.rope_theta"],
    ["a base in two objects that differ", { rope_scaling: { rope_theta: 1000 } }, "rope_scaling.rope_theta"],
    ["a base that is not a number", { rope_parameters: { rope_theta: "1e4" } }, "rope_theta"],
    ["rotation of a part of each head", { partial_rotary_factor: 0.5 }, "partial_rotary_factor"],
    [
      "the same, in the newer place",
      { rope_parameters: { partial_rotary_factor: 0.5 } },
      "partial_rotary_factor",
    ],
    ["a sliding window", { sliding_window: 128 }, "sliding_window"],
    ["layers of another kind", { layer_types: ["full_attention", "sliding_attention"] }, "layer_types"],
    ["a scale of logits", { logit_scale: 0.0625 }, "logit_scale"],
    ["a scale of embeddings", { embedding_multiplier: 12 }, "embedding_multiplier"],
    ["another scale of attention", { attention_multiplier: 0.0156 }, "attention_multiplier"],
    ["capped logits", { final_logit_softcapping: 30 }, "final_logit_softcapping"],
    ["norms of queries and keys", { use_qk_norm: true }, "use_qk_norm"],
    ["experts", { num_local_experts: 8 }, "num_local_experts"],
    ["quantized weights", { quantization_config: { quant_method: "bitsandbytes" } }, "quantization_config"],
    ["an odd head size", { head_dim: 15 }, "head_dim"],
    [
      "heads that are not a multiple of the key-value heads",
      { num_key_value_heads: 3 },
      "num_key_value_heads",
    ],
    ["an end token outside the vocabulary", { eos_token_id: 300 }, "eos_token_id"],
    ["a padding token outside the vocabulary", { pad_token_id: 300 }, "pad_token_id"],
    ["a negative token id", { eos_token_id: -1 }, "eos_token_id"],
    ["a missing field", { vocab_size: undefined }, "vocab_size"],
    ["a size that is not a whole number", { hidden_size: 64.5 }, "hidden_size"],
    ["no layers", { num_hidden_layers: 0 }, "num_hidden_layers"],
    ["a norm constant of another type", { rms_norm_eps: "1e-5" }, "rms_norm_eps"],
  ];
  for (const [what, change, field] of refusals)
    it(`refuses ${what} in one sentence with the file and the field`, () => {
      const parse = (): unknown => parseModelConfig({ ...written, ...change }, "folder/config.json");
      expect(parse).toThrow(UsageError);
      expect(parse).toThrow("folder/config.json");
      expect(parse).toThrow(field);
      expect(parse).toThrow(/^Cannot [^\n]*[^.\n]$/);
    });

  it("refuses what is not an object", () => {
    for (const value of [null, [], "llama", 3])
      expect(() => parseModelConfig(value, "config.json")).toThrow(UsageError);
  });
});

describe("applyGenerationConfig()", () => {
  const config = parseModelConfig(written, "");
  const apply = (value: unknown): number[] => {
    const changed = applyGenerationConfig(config, value, "generation_config.json");
    const { endToken, otherEndTokens, ...rest } = changed;
    const { endToken: _, otherEndTokens: __, ...before } = config;
    expect(rest).toEqual(before);
    return [endToken ?? -1, ...(otherEndTokens ?? [])];
  };

  it("ends answers where the file says, and training examples as before where that is among it", () => {
    expect(apply({ eos_token_id: [11, 7, 12] })).toEqual([7, 11, 12]);
    expect(apply({ eos_token_id: 7, temperature: 0.6 })).toEqual([7]);
    expect(apply({ eos_token_id: [11, 12] })).toEqual([11, 12]);
  });

  it("changes nothing where the file names no end", () => {
    for (const value of [{}, { eos_token_id: null }, { eos_token_id: [] }])
      expect(apply(value)).toEqual([7, 9]);
  });

  it("refuses what is malformed or outside the vocabulary, naming the file", () => {
    for (const value of [[], { eos_token_id: "7" }, { eos_token_id: [1.5] }, { eos_token_id: 300 }])
      expect(() => apply(value)).toThrow(/generation_config\.json/);
  });
});

describe("describeModelConfig()", () => {
  it("writes what parseModelConfig() reads back as the same config", () => {
    const wide = { rope: { theta: 500_000, dimension: 24 } };
    const layers = [wide, wide];
    const config: ModelConfig = {
      ...parsed,
      layers,
      numKeyValueHeads: 2,
      headSize: 24,
      isTied: false,
      padToken: 0,
    };
    const { endToken: _, otherEndTokens: __, ...endless } = config;
    const [attention, feedForward] = [
      ["query", "key", "value", "output"] as const,
      ["gate", "up", "down"] as const,
    ];
    for (const each of [config, { ...config, biases: attention }, { ...endless, biases: feedForward }])
      expect(parseModelConfig(JSON.parse(JSON.stringify(describeModelConfig(each))), "")).toEqual(each);
  });

  it("names the architecture for Hugging Face", () => {
    expect(describeModelConfig(parsed)).toMatchObject({
      architectures: ["LlamaForCausalLM"],
      model_type: "llama",
      num_key_value_heads: 4,
      rope_theta: 500000,
    });
  });
});
