import { describe, expect, it } from "vitest";
import { UsageError } from "../base/index.ts";
import { describeModelConfig, parseModelConfig } from "./config.ts";

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

const parsed = {
  vocabularySize: 300,
  hiddenSize: 64,
  intermediateSize: 96,
  numLayers: 3,
  numHeads: 4,
  numKeyValueHeads: 4,
  headSize: 16,
  normEpsilon: 1e-5,
  ropeTheta: 500000,
  maxPositions: 512,
  isTied: true,
  endToken: 7,
  otherEndTokens: [9],
  padToken: 7,
  initializerRange: 0.03,
};

describe("parseModelConfig()", () => {
  it("reads a config of transformers 5, with rope_parameters and without num_key_value_heads", () => {
    expect(parseModelConfig(written, "config.json")).toEqual(parsed);
  });

  it("reads the older rope_theta, and takes Hugging Face's defaults for what is missing", () => {
    const { rope_parameters: _, rms_norm_eps: __, initializer_range: ___, ...older } = written;
    expect(parseModelConfig({ ...older, rope_theta: 20000, rope_scaling: null }, "")).toMatchObject({
      ropeTheta: 20000,
      normEpsilon: 1e-6,
      initializerRange: 0.02,
    });
    expect(parseModelConfig(older, "").ropeTheta).toBe(10000);
  });

  it("prefers head_dim and num_key_value_heads where they are given", () => {
    const config = parseModelConfig({ ...written, head_dim: 24, num_key_value_heads: 2 }, "");
    expect(config).toMatchObject({ headSize: 24, numKeyValueHeads: 2 });
  });

  const refusals: readonly (readonly [what: string, change: object, field: string])[] = [
    ["another architecture", { model_type: "qwen2" }, "model_type"],
    ["attention biases", { attention_bias: true }, "attention_bias"],
    ["biases in the feed-forward layers", { mlp_bias: true }, "mlp_bias"],
    ["another activation", { hidden_act: "gelu" }, "hidden_act"],
    ["scaled rotary positions", { rope_scaling: { type: "linear", factor: 2 } }, "rope_scaling"],
    ["another kind of rotary positions", { rope_parameters: { rope_type: "yarn" } }, "rope_type"],
    ["an odd head size", { head_dim: 15 }, "head_dim"],
    ["heads that are no multiple of the key-value heads", { num_key_value_heads: 3 }, "num_key_value_heads"],
    ["an end token outside the vocabulary", { eos_token_id: 300 }, "eos_token_id"],
    ["a padding token outside the vocabulary", { pad_token_id: 300 }, "pad_token_id"],
    ["a negative token id", { eos_token_id: -1 }, "eos_token_id"],
    ["a missing field", { vocab_size: undefined }, "vocab_size"],
    ["a size that is no whole number", { hidden_size: 64.5 }, "hidden_size"],
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

  it("refuses what is no object", () => {
    for (const value of [null, [], "llama", 3])
      expect(() => parseModelConfig(value, "config.json")).toThrow(UsageError);
  });
});

describe("describeModelConfig()", () => {
  it("writes what parseModelConfig() reads back as the same config", () => {
    const config = { ...parsed, numKeyValueHeads: 2, headSize: 24, isTied: false, padToken: 0 };
    const text = JSON.stringify(describeModelConfig(config));
    expect(parseModelConfig(JSON.parse(text), "")).toEqual(config);
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
