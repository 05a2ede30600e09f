/** What the tensors of a model are called, family by family. */
import type { TensorNames } from "./family.ts";

const separate = {
  query: "self_attn.q_proj",
  key: "self_attn.k_proj",
  value: "self_attn.v_proj",
  output: "self_attn.o_proj",
} as const;

const gated = { gate: "mlp.gate_proj", up: "mlp.up_proj", down: "mlp.down_proj" } as const;

/** Llama's, which most others follow. */
export const llamaNames = {
  embedding: "model.embed_tokens",
  layers: "model.layers",
  finalNorm: "model.norm",
  head: "lm_head",
  norms: { beforeAttention: "input_layernorm", beforeFeedForward: "post_attention_layernorm" },
  attention: separate,
  feedForward: gated,
} as const satisfies TensorNames;

const headNorms = { queries: "self_attn.q_norm", keys: "self_attn.k_norm" } as const;

/** Qwen 3: norms of queries and keys. */
export const qwen3Names: TensorNames = { ...llamaNames, norms: { ...llamaNames.norms, ...headNorms } };

/** Qwen 3 with experts in some layers. */
export const qwen3MoeNames: TensorNames = {
  ...qwen3Names,
  experts: {
    router: "mlp.gate",
    gate: "mlp.experts.#.gate_proj",
    up: "mlp.experts.#.up_proj",
    down: "mlp.experts.#.down_proj",
  },
};

/** Mixtral: experts in every layer. */
export const mixtralNames: TensorNames = {
  ...llamaNames,
  experts: {
    router: "block_sparse_moe.gate",
    gate: "block_sparse_moe.experts.#.w1",
    up: "block_sparse_moe.experts.#.w3",
    down: "block_sparse_moe.experts.#.w2",
  },
};

/** Mixtral's names in memory, under which transformers 5 may write it. */
export const mixtralOtherNames = [
  [/\.mlp\.gate\./, ".block_sparse_moe.gate."],
  [/\.mlp\.experts\.(\d+)\.gate_proj\./, ".block_sparse_moe.experts.$1.w1."],
  [/\.mlp\.experts\.(\d+)\.up_proj\./, ".block_sparse_moe.experts.$1.w3."],
  [/\.mlp\.experts\.(\d+)\.down_proj\./, ".block_sparse_moe.experts.$1.w2."],
] as const;

/** Gemma 2: norms before and after both parts of a layer. */
export const gemma2Names: TensorNames = {
  ...llamaNames,
  norms: {
    beforeAttention: "input_layernorm",
    afterAttention: "post_attention_layernorm",
    beforeFeedForward: "pre_feedforward_layernorm",
    afterFeedForward: "post_feedforward_layernorm",
  },
};

/** Gemma 3: norms of queries and keys, too. */
export const gemma3Names: TensorNames = { ...gemma2Names, norms: { ...gemma2Names.norms, ...headNorms } };

/** OLMo 2 and 3: norms after both parts only. */
export const olmo2Names: TensorNames = {
  ...llamaNames,
  norms: {
    afterAttention: "post_attention_layernorm",
    afterFeedForward: "post_feedforward_layernorm",
    ...headNorms,
  },
};

/** Phi-3: one matrix for queries, keys and values, one for gate and up. */
export const phi3Names: TensorNames = {
  ...llamaNames,
  attention: { all: "self_attn.qkv_proj", order: "by-part", output: "self_attn.o_proj" },
  feedForward: { up: "mlp.gate_up_proj", down: "mlp.down_proj", holdsGate: true },
};

/** GPT-NeoX and Pythia. */
export const gptNeoxNames: TensorNames = {
  embedding: "gpt_neox.embed_in",
  layers: "gpt_neox.layers",
  finalNorm: "gpt_neox.final_layer_norm",
  head: "embed_out",
  norms: llamaNames.norms,
  attention: { all: "attention.query_key_value", order: "by-head", output: "attention.dense" },
  feedForward: { up: "mlp.dense_h_to_4h", down: "mlp.dense_4h_to_h" },
};

/** GPT-2. */
export const gpt2Names: TensorNames = {
  embedding: "transformer.wte",
  positions: "transformer.wpe",
  layers: "transformer.h",
  finalNorm: "transformer.ln_f",
  head: "lm_head",
  norms: { beforeAttention: "ln_1", beforeFeedForward: "ln_2" },
  attention: { all: "attn.c_attn", order: "by-part", output: "attn.c_proj" },
  feedForward: { up: "mlp.c_fc", down: "mlp.c_proj" },
};
