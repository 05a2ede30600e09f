/** Configs of models that are made here: Llama of given dimensions, and the `config.json` that describes one. */
import { listEndTokens } from "./end-tokens.ts";
import type { ModelConfig, Projection } from "./model-config.ts";

/** What is chosen for a new model. */
export interface NewModel
  extends Pick<
    ModelConfig,
    | "vocabularySize"
    | "hiddenSize"
    | "intermediateSize"
    | "numHeads"
    | "maxPositions"
    | "padToken"
    | "endToken"
  > {
  readonly numLayers: number;
  /** Default: as many as heads. */
  readonly numKeyValueHeads?: number | undefined;
  /** Default: 1e-6. */
  readonly normEpsilon?: number;
}

/** The config of a new Llama: untied, θ of 10,000, weights of standard deviation 0.02. */
export function createLlamaConfig({ numLayers, ...chosen }: NewModel): ModelConfig {
  const headSize = chosen.hiddenSize / chosen.numHeads;
  const layer = { rope: { theta: 10_000, dimension: headSize } };
  return {
    ...chosen,
    family: "llama",
    numKeyValueHeads: chosen.numKeyValueHeads ?? chosen.numHeads,
    headSize,
    normEpsilon: chosen.normEpsilon ?? 1e-6,
    layers: Array.from({ length: numLayers }, () => layer),
    isTied: false,
    initializerRange: 0.02,
  };
}

/**
 * The `config.json` object that describes such a model to Hugging Face's `LlamaForCausalLM`. Throws `TypeError` for a model of another family,
 * or with scaled positions: only its own file describes it.
 */
export function describeModelConfig(config: ModelConfig): Record<string, unknown> {
  const [layer] = config.layers;
  if (config.family !== "llama" || layer?.rope === undefined || layer.rope.scaling !== undefined)
    throw new TypeError("Cannot describe the model: it is no plain Llama");
  const has = (projection: Projection): boolean => config.biases?.includes(projection) ?? false;
  return {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    torch_dtype: "float32",
    vocab_size: config.vocabularySize,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.layers.length,
    num_attention_heads: config.numHeads,
    num_key_value_heads: config.numKeyValueHeads,
    head_dim: config.headSize,
    hidden_act: config.activation ?? "silu",
    rms_norm_eps: config.normEpsilon,
    rope_theta: layer.rope.theta,
    max_position_embeddings: config.maxPositions,
    tie_word_embeddings: config.isTied,
    attention_bias: has("query"),
    mlp_bias: has("up"),
    bos_token_id: null,
    eos_token_id: config.otherEndTokens === undefined ? (config.endToken ?? null) : listEndTokens(config),
    pad_token_id: config.padToken,
    initializer_range: config.initializerRange,
    use_cache: true,
  };
}
