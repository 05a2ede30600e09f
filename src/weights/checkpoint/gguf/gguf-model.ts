/**
 * What the tensors of a GGUF file are called in Hugging Face's models, and the configuration that its metadata implies: for the families
 * whose converter (llama.cpp's convert_hf_to_gguf.py) does nothing to the numbers but to order some rows anew.
 */
import type { GgufHeader, GgufValue } from "./gguf-header.ts";

/** What is known of a model by its metadata. */
export interface GgufModel {
  readonly config: Readonly<Record<string, unknown>>;
  /** The name of a tensor, and the number of heads by which its rows were ordered anew; the GGUF name where none is known. */
  place(name: string): { readonly name: string; readonly numHeads?: number };
}

interface Family {
  /** `model_type`. */
  readonly type: string;
  /** Whether the rows of queries and keys were ordered for llama.cpp's rotary embedding. */
  readonly isPermuted: boolean;
}

/** The families, by their architecture. */
const families: Readonly<Record<string, Family>> = {
  llama: { type: "llama", isPermuted: true },
  qwen2: { type: "qwen2", isPermuted: false },
  qwen3: { type: "qwen3", isPermuted: false },
};

const topNames: Readonly<Record<string, string>> = {
  token_embd: "model.embed_tokens",
  output_norm: "model.norm",
  output: "lm_head",
};

const layerNames: Readonly<Record<string, string>> = {
  attn_norm: "input_layernorm",
  attn_q: "self_attn.q_proj",
  attn_k: "self_attn.k_proj",
  attn_v: "self_attn.v_proj",
  attn_output: "self_attn.o_proj",
  attn_q_norm: "self_attn.q_norm",
  attn_k_norm: "self_attn.k_norm",
  ffn_norm: "post_attention_layernorm",
  ffn_gate: "mlp.gate_proj",
  ffn_up: "mlp.up_proj",
  ffn_down: "mlp.down_proj",
};

/** Numbers of the configuration, by their key after the architecture's. */
const configKeys: Readonly<Record<string, string>> = {
  hidden_size: "embedding_length",
  num_hidden_layers: "block_count",
  intermediate_size: "feed_forward_length",
  num_attention_heads: "attention.head_count",
  num_key_value_heads: "attention.head_count_kv",
  head_dim: "attention.key_length",
  rms_norm_eps: "attention.layer_norm_rms_epsilon",
  rope_theta: "rope.freq_base",
  max_position_embeddings: "context_length",
};

/** The shortest decimal of a 32-bit float, as a configuration has it: 1e-5 for 0.000009999999747378752. */
function shorten(value: GgufValue | undefined): GgufValue | undefined {
  if (typeof value !== "number" || Number.isInteger(value)) return value;
  const shorter = [1, 2, 3, 4, 5, 6, 7, 8].map((digits) => Number(value.toPrecision(digits)));
  return shorter.find((one) => Math.fround(one) === value) ?? value;
}

/** Reads what model a file holds. Throws `SyntaxError`, a clause, for a family whose names are not known. */
export function describeGgufModel({ metadata, tensors }: GgufHeader): GgufModel {
  const { architecture, family } = findFamily(metadata);
  const read = (key: string): GgufValue | undefined => metadata.get(`${architecture}.${key}`);
  const numExperts = read("expert_count") ?? 0;
  if (numExperts !== 0)
    throw new SyntaxError(
      "it is a mixture of experts, whose tensors cannot be mapped to their Hugging Face names",
    );
  const { numHeads, numKeyHeads } = countHeads(read);
  const config: Record<string, unknown> = {
    model_type: family.type,
    tie_word_embeddings: !tensors.has("output.weight"),
    vocab_size: tensors.get("token_embd.weight")?.shape[0],
  };
  for (const [name, key] of Object.entries(configKeys)) config[name] = shorten(read(key));
  config.num_key_value_heads = numKeyHeads;
  const scaling = read("rope.scaling.type");
  if ((scaling !== undefined && scaling !== "none") || tensors.has("rope_freqs.weight"))
    config.rope_scaling = { rope_type: scaling ?? "llama3" };
  return {
    config: Object.fromEntries(Object.entries(config).filter(([, value]) => value !== undefined)),
    place: createPlace(family, { attn_q: numHeads, attn_k: numKeyHeads }),
  };
}

/** The family of a model. Throws `SyntaxError`, a clause, where it is none of those that are known. */
function findFamily(metadata: GgufHeader["metadata"]): {
  readonly architecture: string;
  readonly family: Family;
} {
  const architecture = metadata.get("general.architecture");
  const family =
    typeof architecture === "string" && Object.hasOwn(families, architecture)
      ? families[architecture]
      : undefined;
  if (family === undefined || typeof architecture !== "string")
    throw new SyntaxError(
      `its architecture is ${JSON.stringify(architecture ?? "unknown")}, whose tensors cannot be mapped to their Hugging Face names (${Object.keys(families).join(", ")} can)`,
    );
  return { architecture, family };
}

/** How many heads each layer has. Throws `SyntaxError`, a clause, where that is not said, or differs between layers. */
function countHeads(read: (key: string) => GgufValue | undefined): {
  readonly numHeads: number;
  readonly numKeyHeads: number;
} {
  const numHeads = read("attention.head_count");
  const numKeyHeads = read("attention.head_count_kv") ?? numHeads;
  if (typeof numHeads !== "number" || typeof numKeyHeads !== "number")
    throw new SyntaxError(
      "it does not say how many attention heads it has, or has another number in each layer",
    );
  return { numHeads, numKeyHeads };
}

function createPlace({ isPermuted }: Family, heads: Readonly<Record<string, number>>): GgufModel["place"] {
  return (name) => {
    const [, layer, part = "", kind = ""] = /^(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)$/.exec(name) ?? [];
    const known = layer === undefined ? topNames : layerNames;
    if (!Object.hasOwn(known, part)) return { name };
    const inner = `${known[part]}.${kind}`;
    const own = isPermuted && layer !== undefined ? heads[part] : undefined;
    return {
      name: layer === undefined ? inner : `model.layers.${layer}.${inner}`,
      ...(own === undefined ? {} : { numHeads: own }),
    };
  };
}
