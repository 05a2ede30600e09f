/** Fields of `config.json` brought to one spelling, whichever version of transformers wrote them. */
import { toObject } from "../../../base/core/index.ts";

type Config = Readonly<Record<string, unknown>>;

/** Fields that say nothing of the model, or that are read by functions of their own. */
const handled = new Set([
  ...[
    "transformers_version",
    "use_cache",
    "_name_or_path",
    "_attn_implementation",
    "_attn_implementation_autoset",
  ],
  ...["dtype", "torch_dtype", "tie_word_embeddings", "unsloth_version", "unsloth_fixed", "auto_map"],
  ...["rope_theta", "rope_scaling", "rope_parameters", "rope_local_base_freq", "rotary_emb_base"],
  ...["partial_rotary_factor", "rotary_pct", "output_attentions", "output_hidden_states", "return_dict"],
  // Ends of texts belong to generation.
  ...["bos_token_id", "eos_token_id", "pad_token_id", "is_encoder_decoder", "id2label", "label2id"],
]);

/** Other names of the same field. */
const aliases: Readonly<Record<string, string>> = {
  num_local_experts: "num_experts",
  n_routed_experts: "num_experts",
};

/** All further fields, by their path (`text_config.hidden_size`), as JSON. Sizes that follow from others are filled in. */
export function flattenConfig(config: Config): ReadonlyMap<string, string> {
  return new Map(listFields(config, ""));
}

function listFields(config: Config, prefix: string): readonly (readonly [string, string])[] {
  return Object.entries(fillDerived(config)).flatMap(([name, value]) => {
    if (handled.has(name) || value === undefined) return [];
    const path = `${prefix}${aliases[name] ?? name}`;
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    if (isObject) return listFields(toObject(value), `${path}.`);
    return [[path, JSON.stringify(value)] as const];
  });
}

/** Sizes that older files leave out where they follow from others. */
function fillDerived(config: Config): Config {
  const {
    hidden_size: size,
    num_attention_heads: heads,
    num_key_value_heads: shared,
    head_dim: dimension,
  } = config;
  if (typeof size !== "number" || typeof heads !== "number") return config;
  return { ...config, num_key_value_heads: shared ?? heads, head_dim: dimension ?? size / heads };
}

/**
 * Rotary positions: base θ, type and its numbers, by name, as JSON; by kind of layer where kinds differ
 * (`sliding_attention.θ`). `rope_theta` with `rope_scaling` and `rope_parameters` are two spellings of it.
 */
export function readRope(config: Config): ReadonlyMap<string, string> {
  const fields = { ...config, ...toObject(config.text_config) };
  const given = { ...toObject(fields.rope_scaling), ...toObject(fields.rope_parameters) };
  const kinds = Object.entries(given).filter(([, value]) => Object.keys(toObject(value)).length > 0);
  if (kinds.length > 0)
    return new Map(kinds.flatMap(([kind, value]) => [...describeRope(fields, toObject(value), `${kind}.`)]));
  const { rope_local_base_freq: local } = fields;
  if (local === undefined || local === null) return describeRope(fields, given, "");
  // Gemma 3, as transformers 4 wrote it.
  return new Map([
    ...describeRope(fields, given, "full_attention."),
    ...describeRope(fields, { rope_theta: local }, "sliding_attention."),
  ]);
}

/** Names of one type. */
const types: Readonly<Record<string, string>> = { su: "longrope", mrope: "default" };

function describeRope(fields: Config, rope: Config, prefix: string): ReadonlyMap<string, string> {
  const { rope_type, type, rope_theta, partial_rotary_factor, ...others } = rope;
  const kind = String(rope_type ?? type ?? "default");
  const values: Config = {
    θ: rope_theta ?? fields.rope_theta ?? fields.rotary_emb_base,
    type: types[kind] ?? kind,
    partial_rotary_factor: partial_rotary_factor ?? fields.partial_rotary_factor ?? fields.rotary_pct,
    ...others,
  };
  const known = Object.entries(values).filter(([, value]) => value !== undefined && value !== null);
  return new Map(known.map(([name, value]) => [`${prefix}${name}`, JSON.stringify(value)]));
}

/** Decoders whose configuration means tied embeddings where it does not say so (transformers 5.24). */
const tiedByDefault = new Set([
  ...[
    "biogpt",
    "bloom",
    "cohere",
    "cohere2",
    "cohere2_moe",
    "cpmant",
    "ctrl",
    "ernie4_5",
    "ernie4_5_moe",
    "falcon",
  ],
  ...[
    "falcon_mamba",
    "gemma",
    "gemma2",
    "gemma3",
    "gemma3_text",
    "gemma3n",
    "gemma3n_text",
    "gemma4",
    "gemma4_text",
  ],
  ...[
    "gpt-sw3",
    "gpt2",
    "gpt_bigcode",
    "gpt_neo",
    "internvl",
    "jetmoe",
    "lfm2",
    "lfm2_moe",
    "lfm2_vl",
    "mamba",
  ],
  ...[
    "minicpm3",
    "mistral3",
    "mpt",
    "openai-gpt",
    "opt",
    "paligemma",
    "recurrent_gemma",
    "smollm3",
    "starcoder2",
  ],
  ...["t5", "vaultgemma", "xglm", "xlnet", "zamba", "zamba2"],
]);

/** Whether the head is the embeddings. */
export function tiesEmbeddings(config: Config): boolean {
  const type = config.model_type ?? toObject(config.text_config).model_type;
  return saysTie(config) ?? tiedByDefault.has(String(type));
}

/** What a configuration says of head and embeddings itself; `undefined` where that is left to its type. */
export function saysTie(config: Config): boolean | undefined {
  const given = config.tie_word_embeddings ?? toObject(config.text_config).tie_word_embeddings;
  return typeof given === "boolean" ? given : undefined;
}
