/** GPT-NeoX and GPT-2, whose fields have names of their own. */
import { FieldError, type Fields } from "../../config/fields.ts";
import type { ModelParts } from "../../config/model-config.ts";
import { divideHeads, readActivation, repeatLayer, usualTheta } from "./parts.ts";
import { readRope } from "./rope.ts";

/** GPT-NeoX and Pythia. Throws `FieldError`. */
export function readGptNeox(fields: Fields): ModelParts {
  const [numHeads, hiddenSize] = [fields.count("num_attention_heads"), fields.count("hidden_size")];
  const headSize = divideHeads(hiddenSize, numHeads);
  const maxPositions = fields.count("max_position_embeddings", 2048);
  const theta = fields.number("rotary_emb_base", usualTheta);
  // Transformers reads these in the object only.
  fields.ignore("rope_theta", "partial_rotary_factor");
  const context = {
    headSize,
    maxPositions,
    theta,
    part: fields.number("rotary_pct", 0.25),
    isTopIgnored: true,
  } as const;
  const hasAttentionBias = fields.flag("attention_bias", true);
  return {
    hiddenSize,
    numHeads,
    headSize,
    maxPositions,
    numKeyValueHeads: numHeads,
    intermediateSize: fields.count("intermediate_size"),
    normEpsilon: fields.number("layer_norm_eps", 1e-5),
    ...readActivation(fields, "hidden_act", "gelu"),
    biases: [...(hasAttentionBias ? (["query", "key", "value", "output"] as const) : []), "up", "down"],
    isParallel: fields.flag("use_parallel_residual", true),
    layers: repeatLayer(fields.count("num_hidden_layers"), { rope: readRope(fields, context) }),
  };
}

/** A size under its own name in GPT-2, or under that of all others. */
function readSize(fields: Fields, own: string, usual: string): number {
  const [one, other] = [fields.optionalCount(own), fields.optionalCount(usual)];
  if (one !== undefined && other !== undefined && one !== other)
    throw new FieldError(`"${own}" is ${one} and "${usual}" is ${other}: they must agree`);
  return one ?? other ?? fields.count(own);
}

/** GPT-2. Throws `FieldError`. */
export function readGpt2(fields: Fields): ModelParts {
  const numHeads = readSize(fields, "n_head", "num_attention_heads");
  const hiddenSize = readSize(fields, "n_embd", "hidden_size");
  // Sizes of an older kind, and an order of multiplications that changes nothing here.
  fields.ignore("n_ctx", "reorder_and_upcast_attn");
  return {
    hiddenSize,
    numHeads,
    numKeyValueHeads: numHeads,
    headSize: divideHeads(hiddenSize, numHeads),
    intermediateSize: fields.optionalCount("n_inner") ?? 4 * hiddenSize,
    maxPositions: readSize(fields, "n_positions", "max_position_embeddings"),
    normEpsilon: fields.number("layer_norm_epsilon", 1e-5),
    ...readActivation(fields, "activation_function", "gelu_new"),
    biases: ["query", "key", "value", "output", "up", "down"],
    ...(!fields.flag("scale_attn_weights", true) && { attentionScale: 1 }),
    ...(fields.flag("scale_attn_by_inverse_layer_idx", false) && { scalesByLayer: true }),
    layers: repeatLayer(readSize(fields, "n_layer", "num_hidden_layers"), {}),
  };
}
