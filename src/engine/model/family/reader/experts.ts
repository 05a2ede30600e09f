/** Mixtures of experts. */
import { FieldError, type Fields } from "../../config/fields.ts";
import type { ModelParts } from "../../config/model-config.ts";
import {
  createLayer,
  readActivation,
  readBiases,
  readDimensions,
  repeatLayer,
  ropeContext,
  withoutCount,
} from "./parts.ts";
import { readRope } from "./rope.ts";

/** Qwen 3 with experts in some layers. Throws `FieldError`. */
export function readQwen3Moe(fields: Fields): ModelParts {
  const dimensions = readDimensions(fields, { numKeyValueHeads: 4, maxPositions: 32_768 });
  const stated = fields.optionalCount("sliding_window", 4096);
  const window = fields.flag("use_sliding_window", false) ? stated : undefined;
  const rope = readRope(fields, ropeContext(dimensions));
  const step = fields.count("decoder_sparse_step", 1);
  const dense = fields.numbers("mlp_only_layers") ?? [];
  const isSparse = (index: number): boolean => !dense.includes(index) && (index + 1) % step === 0;
  return {
    ...withoutCount(dimensions),
    ...readActivation(fields, "hidden_act"),
    ...readBiases(fields, ["attention_bias"]),
    layers: Array.from({ length: dimensions.numLayers }, (_, index) => ({
      ...createLayer(rope, window),
      ...(isSparse(index) && { isSparse: true }),
    })),
    experts: {
      numExperts: readNumExperts(fields, 128),
      numChosen: fields.count("num_experts_per_tok", 8),
      intermediateSize: fields.count("moe_intermediate_size", 768),
      isNormalized: fields.flag("norm_topk_prob", false),
    },
  };
}

/** Two names of one number. Throws `FieldError` where they disagree. */
function readNumExperts(fields: Fields, fallback: number): number {
  const [one, other] = ["num_experts", "num_local_experts"].map((name) => fields.optionalCount(name));
  if (one !== undefined && other !== undefined && one !== other)
    throw new FieldError(`"num_experts" is ${one} and "num_local_experts" is ${other}: they must agree`);
  return one ?? other ?? fallback;
}

/** Mixtral: experts in every layer. Throws `FieldError`. */
export function readMixtral(fields: Fields): ModelParts {
  const defaults = { numKeyValueHeads: 8, maxPositions: 131_072, normEpsilon: 1e-5 };
  const dimensions = readDimensions(fields, defaults);
  const rope = readRope(fields, ropeContext(dimensions, 1_000_000));
  const layer = createLayer(rope, fields.optionalCount("sliding_window"));
  return {
    ...withoutCount(dimensions),
    ...readActivation(fields, "hidden_act"),
    layers: repeatLayer(dimensions.numLayers, { ...layer, isSparse: true }),
    experts: {
      numExperts: readNumExperts(fields, 8),
      numChosen: fields.count("num_experts_per_tok", 2),
      intermediateSize: dimensions.intermediateSize,
      isNormalized: true,
    },
  };
}
