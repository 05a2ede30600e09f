/** The decoder's dimensions, read from a Hugging Face `config.json` of `LlamaForCausalLM`, and written back as one. */
import { z } from "zod";
import { UsageError } from "../base/index.ts";

/** Dimensions and constants of a Llama-style decoder. */
export interface ModelConfig {
  readonly vocabularySize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numLayers: number;
  readonly numHeads: number;
  /** Heads that share keys and values are consecutive (grouped-query attention); divides `numHeads`. */
  readonly numKeyValueHeads: number;
  readonly headSize: number;
  /** Added to the mean square inside RMSNorm. */
  readonly normEpsilon: number;
  /** Base of the rotary frequencies. */
  readonly ropeTheta: number;
  /** Longest sequence, in tokens. */
  readonly maxPositions: number;
  /** Whether the output head is the embedding matrix. */
  readonly isTied: boolean;
  /** Token that ends an answer; training examples end with it. */
  readonly endToken: number;
  /** Further tokens that end an answer. */
  readonly otherEndTokens?: readonly number[];
  /** Token that fills the rest of a batch. */
  readonly padToken: number;
  /** Standard deviation of new weights. */
  readonly initializerRange: number;
}

const count = z.number().int().positive();
const tokenId = z.number().int().nonnegative();

const schema = z.looseObject({
  model_type: z.literal("llama"),
  architectures: z
    .array(z.string())
    .refine((names) => names.includes("LlamaForCausalLM"), "names another architecture")
    .optional(),
  vocab_size: count,
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: count.nullish(),
  head_dim: count.nullish(),
  hidden_act: z.literal("silu").default("silu"),
  rms_norm_eps: z.number().positive().default(1e-6),
  rope_theta: z.number().positive().optional(),
  rope_scaling: z.looseObject({ rope_type: z.literal("default") }).nullish(),
  partial_rotary_factor: z.literal(1).optional(),
  rope_parameters: z
    .looseObject({
      rope_theta: z.number().positive().nullish(),
      rope_type: z.literal("default").default("default"),
    })
    .nullish(),
  max_position_embeddings: count.default(2048),
  tie_word_embeddings: z.boolean().default(false),
  attention_bias: z.literal(false).default(false),
  mlp_bias: z.literal(false).default(false),
  eos_token_id: z.union([tokenId, z.array(tokenId).min(1)], "must be a token id or a list of them"),
  pad_token_id: tokenId.or(z.literal(-1)).nullish(),
  initializer_range: z.number().positive().default(0.02),
});

/**
 * Reads the JSON value of a `config.json`. Throws `UsageError` naming `source` where the model is none the
 * embedded engine runs (another architecture, biases, scaled rotary positions) or a field is malformed.
 */
export function parseModelConfig(value: unknown, source: string): ModelConfig {
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const where = issue === undefined || issue.path.length === 0 ? "it" : `"${issue.path.join(".")}"`;
    throw new UsageError(
      `Cannot read the model config ${source}: ${where} ${issue?.message ?? "is malformed"} ` +
        "(the embedded engine runs LlamaForCausalLM without biases or scaled rotary positions)",
    );
  }
  const config = toModelConfig(parsed.data);
  checkDimensions(config, source);
  return config;
}

function toModelConfig(data: z.infer<typeof schema>): ModelConfig {
  const [endToken = 0, ...otherEndTokens] = [data.eos_token_id].flat();
  return {
    vocabularySize: data.vocab_size,
    hiddenSize: data.hidden_size,
    intermediateSize: data.intermediate_size,
    numLayers: data.num_hidden_layers,
    numHeads: data.num_attention_heads,
    numKeyValueHeads: data.num_key_value_heads ?? data.num_attention_heads,
    headSize: data.head_dim ?? data.hidden_size / data.num_attention_heads,
    normEpsilon: data.rms_norm_eps,
    ropeTheta: data.rope_parameters?.rope_theta ?? data.rope_theta ?? 10_000,
    maxPositions: data.max_position_embeddings,
    isTied: data.tie_word_embeddings,
    endToken,
    ...(otherEndTokens.length > 0 && { otherEndTokens }),
    // Older files write −1 for "none".
    padToken: data.pad_token_id == null || data.pad_token_id < 0 ? endToken : data.pad_token_id,
    initializerRange: data.initializer_range,
  };
}

function checkDimensions(config: ModelConfig, source: string): void {
  const { numHeads, numKeyValueHeads, headSize, endToken, padToken, vocabularySize } = config;
  const fail = (reason: string): never => {
    throw new UsageError(`Cannot use the model config ${source}: ${reason}`);
  };
  if (numHeads % numKeyValueHeads !== 0)
    fail(`num_attention_heads ${numHeads} is no multiple of num_key_value_heads ${numKeyValueHeads}`);
  if (!Number.isInteger(headSize))
    fail(`hidden_size ${config.hiddenSize} is no multiple of num_attention_heads ${numHeads}`);
  if (headSize % 2 !== 0) fail(`head_dim ${headSize} is odd, and rotary positions need pairs`);
  if (Math.max(endToken, padToken, ...(config.otherEndTokens ?? [])) >= vocabularySize)
    fail(`eos_token_id or pad_token_id lies outside the vocabulary of ${vocabularySize}`);
}

/** The `config.json` object that describes the model to Hugging Face's `LlamaForCausalLM`. */
export function describeModelConfig(config: ModelConfig): Record<string, unknown> {
  return {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    torch_dtype: "float32",
    vocab_size: config.vocabularySize,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.numLayers,
    num_attention_heads: config.numHeads,
    num_key_value_heads: config.numKeyValueHeads,
    head_dim: config.headSize,
    hidden_act: "silu",
    rms_norm_eps: config.normEpsilon,
    rope_theta: config.ropeTheta,
    max_position_embeddings: config.maxPositions,
    tie_word_embeddings: config.isTied,
    attention_bias: false,
    mlp_bias: false,
    bos_token_id: null,
    eos_token_id:
      config.otherEndTokens === undefined ? config.endToken : [config.endToken, ...config.otherEndTokens],
    pad_token_id: config.padToken,
    initializer_range: config.initializerRange,
    use_cache: true,
  };
}
