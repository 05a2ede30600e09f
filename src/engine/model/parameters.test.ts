import { describe, expect, it } from "vitest";
import { createRandom } from "../../base/core/index.ts";
import { sizeOf } from "../tensor/index.ts";
import type { ModelConfig } from "./config/model-config.ts";
import { parseModelConfig } from "./config/parse-config.ts";
import {
  createLayout,
  createValueHeadLayout,
  createWeights,
  feedParameters,
  initializeParameters,
  initializeValueHead,
  joinLayouts,
  type ParameterLayout,
} from "./parameters.ts";

const untied: ModelConfig = parseModelConfig(
  {
    model_type: "llama",
    vocab_size: 11,
    hidden_size: 16,
    intermediate_size: 20,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 6,
    eos_token_id: 1,
    initializer_range: 0.05,
  },
  "",
);
const tied: ModelConfig = { ...untied, isTied: true };

/** What Hugging Face's LlamaForCausalLM calls its parameters, in its order. */
const layerNames = (layer: number): readonly string[] =>
  [
    "input_layernorm",
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "post_attention_layernorm",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
  ].map((name) => `model.layers.${layer}.${name}.weight`);
const names = ["model.embed_tokens.weight", ...layerNames(0), ...layerNames(1), "model.norm.weight"];

function expectNoGap(layout: ParameterLayout): void {
  let end = 0;
  for (const { offset, shape } of layout.entries) {
    expect(offset).toBe(end);
    end += sizeOf(shape);
  }
  expect(layout.size).toBe(end);
}

describe("createLayout()", () => {
  it("covers the flat vector without gaps", () => {
    for (const config of [untied, tied]) expectNoGap(createLayout(config));
  });

  it("has Hugging Face's names, and a head of its own only where it is not tied", () => {
    const list = (config: ModelConfig): readonly string[] =>
      createLayout(config).entries.map(({ name }) => name);
    expect(list(untied)).toEqual([...names, "lm_head.weight"]);
    expect(list(tied)).toEqual(names);
  });

  it("has the shapes of linear layers, [outputs, inputs]", () => {
    const shapes = Object.fromEntries(createLayout(untied).entries.map(({ name, shape }) => [name, shape]));
    expect(shapes).toMatchObject({
      "model.embed_tokens.weight": [11, 16],
      "model.layers.1.self_attn.q_proj.weight": [24, 16],
      "model.layers.1.self_attn.k_proj.weight": [12, 16],
      "model.layers.1.self_attn.v_proj.weight": [12, 16],
      "model.layers.1.self_attn.o_proj.weight": [16, 24],
      "model.layers.1.mlp.gate_proj.weight": [20, 16],
      "model.layers.1.mlp.down_proj.weight": [16, 20],
      "model.norm.weight": [16],
      "lm_head.weight": [11, 16],
    });
  });
});

describe("createValueHeadLayout()", () => {
  it("narrows from the hidden size to one value", () => {
    const { entries } = createValueHeadLayout(untied);
    expect(entries.map(({ name, shape }) => [name, ...shape])).toEqual([
      ["value_head.0.weight", 4, 16],
      ["value_head.0.bias", 4],
      ["value_head.1.weight", 2, 4],
      ["value_head.1.bias", 2],
      ["value_head.2.weight", 1, 2],
      ["value_head.2.bias", 1],
    ]);
  });
});

describe("joinLayouts()", () => {
  it("puts the second behind the first without a gap", () => {
    const [first, second] = [createLayout(untied), createValueHeadLayout(untied)];
    const joined = joinLayouts(first, second);
    expectNoGap(joined);
    expect(joined.entries.slice(0, first.entries.length)).toEqual(first.entries);
    expect(joined.size).toBe(first.size + second.size);
  });
});

describe("feedParameters()", () => {
  it("gives views of the flat vector, each tensor its own part", () => {
    const layout = createLayout(untied);
    const flat = Float32Array.from({ length: layout.size }, (_, index) => index);
    const feeds = feedParameters(layout, flat);
    expect(Object.keys(feeds)).toEqual(layout.entries.map(({ name }) => name));
    for (const { name, shape, offset } of layout.entries) {
      expect(feeds[name]!.buffer).toBe(flat.buffer);
      expect(feeds[name]).toHaveLength(sizeOf(shape));
      expect(feeds[name]![0]).toBe(offset);
    }
  });
});

describe("createWeights()", () => {
  it("gives graph inputs by name, and none for an unknown name", () => {
    const weights = createWeights(createLayout(tied));
    expect(weights.get("model.norm.weight").shape).toEqual([16]);
    expect(weights.tensors).toHaveLength(names.length);
    expect(() => weights.get("lm_head.weight")).toThrow(RangeError);
    expect(() => weights.get("lm_head.weight")).toThrow('"lm_head.weight"');
  });
});

describe("initializeParameters()", () => {
  it("draws matrices with the config's standard deviation and sets norms to 1", () => {
    const layout = createLayout(untied);
    const feeds = feedParameters(layout, initializeParameters(untied, createRandom(3)));
    expect([...feeds["model.norm.weight"]!]).toEqual(new Array(16).fill(1));
    const matrices = layout.entries.filter(({ shape }) => shape.length === 2);
    const drawn = matrices.flatMap(({ name }) => [...feeds[name]!]);
    const deviation = Math.sqrt(drawn.reduce((total, x) => total + x * x, 0) / drawn.length);
    // Four standard errors of a deviation: 4σ/√(2n).
    expect(Math.abs(deviation - 0.05)).toBeLessThan((4 * 0.05) / Math.sqrt(2 * drawn.length));
  });

  it("repeats for the same stream", () => {
    const draw = (seed: number): Float32Array => initializeParameters(tied, createRandom(seed));
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
  });
});

describe("initializeValueHead()", () => {
  it("stays within ±1/√inputs and starts at a value of 0", () => {
    const layout = createValueHeadLayout(untied);
    const feeds = feedParameters(layout, initializeValueHead(untied, createRandom(4)));
    const largest = (name: string): number => Math.max(...feeds[name]!.map(Math.abs));
    expect(largest("value_head.0.weight")).toBeLessThanOrEqual(1 / 4);
    expect(largest("value_head.0.weight")).toBeGreaterThan(1 / 8);
    expect(largest("value_head.0.bias")).toBeLessThanOrEqual(1 / 4);
    expect(largest("value_head.1.weight")).toBeLessThanOrEqual(1 / 2);
    expect([...feeds["value_head.2.weight"]!, ...feeds["value_head.2.bias"]!]).toEqual([0, 0, 0]);
  });
});
