/** The decoder's dimensions, read from a Hugging Face `config.json` of `LlamaForCausalLM`, and written back as one. */
import { z } from "zod";
import { setting, UsageError } from "../../base/core/index.ts";
import { findForeignField } from "./foreign-fields.ts";
import { readRopeTheta } from "./rope.ts";

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
  /** Whether the projections of attention have biases (default no). */
  readonly hasAttentionBias?: boolean;
  /** Whether the projections of the feed-forward layers have biases (default no). */
  readonly hasMlpBias?: boolean;
  /** Token that ends an answer; training examples end with it. Absent: answers run to their limit. */
  readonly endToken?: number;
  /** Further tokens that end an answer. */
  readonly otherEndTokens?: readonly number[];
  /** Token that fills the rest of a batch. */
  readonly padToken: number;
  /** Standard deviation of new weights. */
  readonly initializerRange: number;
}

const count = z.number().int().positive();
const tokenId = z.number().int().nonnegative();
const endTokens = z.union(
  [tokenId, z.array(tokenId), z.null()],
  "must be a token id, a list of them, or null",
);

const schema = z.looseObject({
  model_type: z.literal("llama"),
  architectures: z
    .array(z.string())
    .refine((names) => names.includes("LlamaForCausalLM"), "names another architecture")
    .nullish(),
  vocab_size: count,
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: count.nullish(),
  head_dim: count.nullish(),
  // Two names of one function.
  hidden_act: z.enum(["silu", "swish"]).default("silu"),
  rms_norm_eps: z.number().positive().default(1e-6),
  max_position_embeddings: count.default(2048),
  tie_word_embeddings: z.boolean().default(false),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
  eos_token_id: endTokens.default(2),
  pad_token_id: tokenId.or(z.literal(-1)).nullish(),
  initializer_range: z.number().positive().default(0.02),
});

/**
 * Reads the JSON value of a `config.json`. Throws `UsageError` naming `source` where the model is none the
 * embedded engine runs (another architecture, scaled rotary positions, a field that would change what is computed) or a
 * field is malformed.
 */
export function parseModelConfig(value: unknown, source: string): ModelConfig {
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const where = issue === undefined || issue.path.length === 0 ? "it" : `"${issue.path.join(".")}"`;
    return refuse(source, `${where} ${issue?.message ?? "is malformed"}`);
  }
  const foreign = findForeignField(parsed.data);
  if (foreign !== undefined) return refuse(source, foreign);
  const config = toModelConfig(parsed.data, source);
  checkDimensions(config, source);
  return config;
}

function refuse(source: string, reason: string): never {
  throw new UsageError(
    `Cannot read the model config ${source}: ${reason} ` +
      `(the embedded engine runs LlamaForCausalLM without scaled rotary positions; a server such as vLLM runs others: ${setting("serve")})`,
  );
}

function toModelConfig(data: z.infer<typeof schema>, source: string): ModelConfig {
  const [endToken, ...otherEndTokens] = [data.eos_token_id ?? []].flat();
  return {
    vocabularySize: data.vocab_size,
    hiddenSize: data.hidden_size,
    intermediateSize: data.intermediate_size,
    numLayers: data.num_hidden_layers,
    numHeads: data.num_attention_heads,
    numKeyValueHeads: data.num_key_value_heads ?? data.num_attention_heads,
    headSize: data.head_dim ?? data.hidden_size / data.num_attention_heads,
    normEpsilon: data.rms_norm_eps,
    ropeTheta: findTheta(data, source),
    maxPositions: data.max_position_embeddings,
    isTied: data.tie_word_embeddings,
    ...(data.attention_bias && { hasAttentionBias: true }),
    ...(data.mlp_bias && { hasMlpBias: true }),
    ...(endToken !== undefined && { endToken }),
    ...(otherEndTokens.length > 0 && { otherEndTokens }),
    // Older files write −1 for "none".
    padToken: data.pad_token_id == null || data.pad_token_id < 0 ? (endToken ?? 0) : data.pad_token_id,
    initializerRange: data.initializer_range,
  };
}

function findTheta(data: z.infer<typeof schema>, source: string): number {
  try {
    return readRopeTheta(data);
  } catch (error) {
    return refuse(source, error instanceof Error ? error.message : String(error));
  }
}

function checkDimensions(config: ModelConfig, source: string): void {
  const { numHeads, numKeyValueHeads, headSize, padToken, vocabularySize } = config;
  const fail = (reason: string): never => {
    throw new UsageError(`Cannot use the model config ${source}: ${reason}`);
  };
  if (numHeads % numKeyValueHeads !== 0)
    fail(`num_attention_heads ${numHeads} is not a multiple of num_key_value_heads ${numKeyValueHeads}`);
  if (!Number.isInteger(headSize))
    fail(`hidden_size ${config.hiddenSize} is not a multiple of num_attention_heads ${numHeads}`);
  if (headSize % 2 !== 0) fail(`head_dim ${headSize} is odd, and rotary positions need pairs`);
  if (Math.max(padToken, ...listEndTokens(config)) >= vocabularySize)
    fail(`eos_token_id or pad_token_id lies outside the vocabulary of ${vocabularySize}`);
}

/** All tokens that end an answer. */
export function listEndTokens({ endToken, otherEndTokens = [] }: ModelConfig): readonly number[] {
  return endToken === undefined ? otherEndTokens : [endToken, ...otherEndTokens];
}

const generationSchema = z.looseObject({ eos_token_id: endTokens.optional() });

/**
 * The config with the end tokens of a `generation_config.json`, which go before those of `config.json` as in Hugging Face's
 * `generate`; one that names none changes nothing. Training examples go on ending as before, where that still ends an
 * answer. Throws `UsageError` naming `source` where they are malformed.
 */
export function applyGenerationConfig(config: ModelConfig, value: unknown, source: string): ModelConfig {
  const parsed = generationSchema.safeParse(value);
  if (!parsed.success)
    throw new UsageError(
      `Cannot read ${source}: "eos_token_id" must be a token id, a list of them, or null; correct or remove the file`,
    );
  const named = [parsed.data.eos_token_id ?? []].flat();
  const [first, ...rest] =
    config.endToken !== undefined && named.includes(config.endToken)
      ? [config.endToken, ...named.filter((token) => token !== config.endToken)]
      : named;
  if (first === undefined) return config;
  const { otherEndTokens: _, ...kept } = config;
  const changed = { ...kept, endToken: first, ...(rest.length > 0 && { otherEndTokens: rest }) };
  checkDimensions(changed, source);
  return changed;
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
    attention_bias: config.hasAttentionBias ?? false,
    mlp_bias: config.hasMlpBias ?? false,
    bos_token_id: null,
    eos_token_id: config.otherEndTokens === undefined ? (config.endToken ?? null) : listEndTokens(config),
    pad_token_id: config.padToken,
    initializer_range: config.initializerRange,
    use_cache: true,
  };
}
