/**
 * Fields of a `config.json` that would change what a decoder computes and that this one does not carry out: parts of other
 * architectures, of their conversions to Llama's names, and of quantized copies. Fields that change nothing are not listed.
 */

/** Whether a value leaves the computation as it is; the config is there for values that depend on others. */
type IsNeutral = (value: unknown, config: Readonly<Record<string, unknown>>) => boolean;

const isOff: IsNeutral = (value) => value === false || value === 0;
const isOne: IsNeutral = (value) => value === 1;
const isAbsent: IsNeutral = () => false;
const isFewer: IsNeutral = (value) => value === 0 || value === 1;
const isEmpty: IsNeutral = (value) => typeof value === "object" && Object.keys(value ?? {}).length === 0;
const areAll =
  (wanted: unknown): IsNeutral =>
  (value) =>
    Array.isArray(value) && value.every((one) => one === wanted);

/** A window that is switched off, or that no sequence leaves. */
const isWideWindow: IsNeutral = (value, { use_sliding_window, max_position_embeddings }) =>
  use_sliding_window === false ||
  (typeof value === "number" &&
    typeof max_position_embeddings === "number" &&
    value >= max_position_embeddings);

/** What makes each field neutral, beside null. */
const foreignFields: Readonly<Record<string, IsNeutral>> = {
  // Attention.
  sliding_window: isWideWindow,
  use_sliding_window: isOff,
  attention_chunk_size: isAbsent,
  layer_types: areAll("full_attention"),
  no_rope_layers: areAll(1),
  no_rope_layer_interval: isOff,
  qkv_bias: isOff,
  use_bias: isOff,
  use_qk_norm: isOff,
  qk_norm: isOff,
  qk_layernorm: isOff,
  attn_temperature_tuning: isOff,
  alibi: isOff,
  use_alibi: isOff,
  clip_qkv: isAbsent,
  rotary_pct: isOne,
  rotary_emb_base: (value, { rope_theta }) => value === (rope_theta ?? 10_000),
  attn_logit_softcapping: isAbsent,
  query_pre_attn_scalar: isAbsent,
  attention_multiplier: isAbsent,
  is_encoder_decoder: isOff,
  add_cross_attention: isOff,
  // Scales and caps.
  final_logit_softcapping: isAbsent,
  embedding_multiplier: isOne,
  residual_multiplier: isOne,
  logits_scaling: isOne,
  logit_scale: isOne,
  scale_emb: isOne,
  scale_depth: isAbsent,
  dim_model_base: isAbsent,
  // Layers.
  hidden_activation: (value) => value === "silu" || value === "swish",
  use_parallel_residual: isOff,
  parallel_attn: isOff,
  num_experts: isFewer,
  num_local_experts: isFewer,
  n_routed_experts: isFewer,
  pruned_heads: isEmpty,
  // Weights that are not what their names say.
  quantization_config: isEmpty,
  compression_config: isEmpty,
};

/** What is wrong with the first field that would change the computation; undefined where none would. */
export function findForeignField(config: Readonly<Record<string, unknown>>): string | undefined {
  for (const [name, isNeutral] of Object.entries(foreignFields)) {
    const value = config[name];
    if (value === undefined || value === null || isNeutral(value, config)) continue;
    const text = JSON.stringify(value);
    return `"${name}" is ${text.length > 60 ? `${text.slice(0, 60)}…` : text}, which it does not carry out`;
  }
  return undefined;
}
