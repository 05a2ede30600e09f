/**
 * Fields of a `config.json` that the reader of a family did not ask for: parts of other architectures, which are taken where they are switched
 * off; what is known to change nothing; and the unknown, which is refused.
 */
import { type Fields, shorten } from "./fields.ts";
import { isHarmless } from "./harmless-fields.ts";
import type { ModelConfig } from "./model-config.ts";

/** Whether a value leaves the computation as it is. */
type IsNeutral = (value: unknown, config: ModelConfig, fields: Fields) => boolean;

const isOff: IsNeutral = (value) => value === false || value === 0;
const isOne: IsNeutral = (value) => value === 1;
const isAbsent: IsNeutral = () => false;
const isFewer: IsNeutral = (value) => value === 0 || value === 1;
const isEmpty: IsNeutral = (value) => typeof value === "object" && Object.keys(value ?? {}).length === 0;
const isSilu: IsNeutral = (value) => value === "silu" || value === "swish";
const areAll =
  (wanted: unknown): IsNeutral =>
  (value) =>
    Array.isArray(value) && value.every((one) => one === wanted);

/** A window that is switched off, or that no sequence leaves. */
const isWideWindow: IsNeutral = (value, { maxPositions }, fields) =>
  fields.raw("use_sliding_window") === false || (typeof value === "number" && value >= maxPositions);

/** What makes each field neutral, beside null. */
const foreignFields: Readonly<Record<string, IsNeutral>> = {
  // Attention.
  sliding_window: isWideWindow,
  use_sliding_window: isOff,
  // Nothing without a window.
  max_window_layers: (_, config) => config.layers.every(({ window }) => window === undefined),
  attention_chunk_size: isAbsent,
  layer_types: areAll("full_attention"),
  no_rope_layers: areAll(1),
  no_rope_layer_interval: isOff,
  attention_bias: isOff,
  mlp_bias: isOff,
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
  rotary_emb_base: (value, { layers }) =>
    layers.every(({ rope }) => rope === undefined || value === rope.theta),
  rope_interleaved: isOff,
  partial_rotary_factor: isOne,
  rope_theta: isAbsent,
  rope_scaling: isEmpty,
  rope_parameters: isEmpty,
  attn_logit_softcapping: isAbsent,
  query_pre_attn_scalar: isAbsent,
  attention_multiplier: isAbsent,
  is_encoder_decoder: isOff,
  add_cross_attention: isOff,
  use_bidirectional_attention: isOff,
  use_mrope: isOff,
  is_causal: (value) => value === true,
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
  hidden_act: isSilu,
  hidden_activation: isSilu,
  use_parallel_residual: isOff,
  parallel_attn: isOff,
  num_experts: isFewer,
  num_local_experts: isFewer,
  n_routed_experts: isFewer,
  num_experts_per_tok: (_, config) => config.experts === undefined,
  pruned_heads: isEmpty,
  per_layer_config: isEmpty,
  // Parts beside the language model.
  text_config: isAbsent,
  vision_config: isAbsent,
  audio_config: isAbsent,
  // Weights that are not what their names say.
  quantization_config: isEmpty,
  compression_config: isEmpty,
};

/** What is wrong with the first field that would change the computation, or may; undefined where none would. */
export function findForeignField(fields: Fields, config: ModelConfig): string | undefined {
  for (const name of fields.listUnread()) {
    const isNeutral = Object.hasOwn(foreignFields, name) ? foreignFields[name] : undefined;
    const value = fields.raw(name);
    if (isNeutral === undefined && !isHarmless(name))
      return `"${name}" is ${shorten(value)}, a field that is not known to change nothing`;
    if (isNeutral !== undefined && !isNeutral(value, config, fields))
      return `"${name}" is ${shorten(value)}, which it does not carry out`;
  }
  return undefined;
}
