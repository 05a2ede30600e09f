/** Small models of every family that the engine runs, each with what is particular to it: the fields of their `config.json`. */
import type { FamilyName } from "../../src/engine/model/family/family-name.ts";

const sizes = {
  vocab_size: 31,
  hidden_size: 24,
  intermediate_size: 20,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-6,
  eos_token_id: 2,
};
const window = { sliding_window: 5 };
const experts = { num_experts: 4, num_experts_per_tok: 2, moe_intermediate_size: 12 };
const longrope = {
  rope_type: "longrope",
  original_max_position_embeddings: 16,
  short_factor: [1, 1.1, 1.2],
  long_factor: [1.5, 2, 4],
};

/** A small model of each family. */
export const familyConfigs: { readonly [Name in FamilyName]: Readonly<Record<string, unknown>> } = {
  llama: { ...sizes, attention_bias: true, mlp_bias: true },
  smollm3: { ...sizes, no_rope_layer_interval: 2, pad_token_id: 0 },
  mistral: { ...sizes, ...window },
  ministral: { ...sizes, ...window, layer_types: ["full_attention", "sliding_attention", "full_attention"] },
  ministral3: {
    ...sizes,
    head_dim: 6,
    rope_parameters: {
      ...{ rope_type: "yarn", rope_theta: 100, factor: 4, original_max_position_embeddings: 16 },
      ...{ llama_4_scaling_beta: 0.5, mscale: 1, mscale_all_dim: 1 },
    },
  },
  qwen2: { ...sizes, ...window, use_sliding_window: true, max_window_layers: 1 },
  qwen3: { ...sizes, head_dim: 8, tie_word_embeddings: true },
  qwen3_moe: { ...sizes, ...experts, head_dim: 8, mlp_only_layers: [1] },
  mixtral: { ...sizes, num_local_experts: 3, num_experts_per_tok: 2 },
  gemma2: {
    ...sizes,
    ...window,
    ...{ head_dim: 8, query_pre_attn_scalar: 10, attn_logit_softcapping: 3, final_logit_softcapping: 5 },
  },
  gemma3_text: { ...sizes, ...window, head_dim: 8, query_pre_attn_scalar: 10, sliding_window_pattern: 3 },
  phi3: { ...sizes, pad_token_id: 0, original_max_position_embeddings: 16, rope_scaling: longrope },
  olmo: { ...sizes, pad_token_id: 1, clip_qkv: 1.5 },
  olmo2: { ...sizes, pad_token_id: 1 },
  olmo3: {
    ...sizes,
    ...window,
    pad_token_id: 1,
    layer_types: ["sliding_attention", "full_attention", "full_attention"],
  },
  granite: {
    ...sizes,
    ...{ embedding_multiplier: 3, attention_multiplier: 0.3, residual_multiplier: 0.6, logits_scaling: 2 },
  },
  gpt_neox: {
    ...{
      vocab_size: 31,
      hidden_size: 24,
      intermediate_size: 20,
      num_hidden_layers: 3,
      num_attention_heads: 4,
    },
    ...{ max_position_embeddings: 64, rotary_pct: 0.5 },
  },
  gpt2: { vocab_size: 31, n_embd: 24, n_layer: 3, n_head: 4, n_positions: 61, eos_token_id: 2 },
};
