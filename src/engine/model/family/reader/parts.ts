/** Parts of configurations that several families have: dimensions, biases, activations, and layers that differ. */
import { FieldError, type Fields, shorten } from "../../config/fields.ts";
import type { LayerConfig, ModelConfig, Projection } from "../../config/model-config.ts";
import { type ActivationName, activations } from "../../decoder/activation.ts";
import type { Rope } from "../../decoder/rotary.ts";
import type { RopeContext, RopePair } from "./rope.ts";

/** Dimensions that all families have. */
export type Dimensions = Pick<
  ModelConfig,
  | "hiddenSize"
  | "intermediateSize"
  | "numHeads"
  | "numKeyValueHeads"
  | "headSize"
  | "maxPositions"
  | "normEpsilon"
> & { readonly numLayers: number };

/** What a family has where its configuration leaves it out. */
export interface DimensionDefaults {
  /** Absent: as many as heads. */
  readonly numKeyValueHeads?: number;
  /** Absent: the hidden size over the heads. */
  readonly headSize?: number;
  readonly maxPositions?: number;
  readonly normEpsilon?: number;
}

/** The dimensions under the names of Llama. Throws `FieldError`. */
export function readDimensions(fields: Fields, defaults: DimensionDefaults = {}): Dimensions {
  const numHeads = fields.count("num_attention_heads");
  const hiddenSize = fields.count("hidden_size");
  return {
    hiddenSize,
    numHeads,
    intermediateSize: fields.count("intermediate_size"),
    numLayers: fields.count("num_hidden_layers"),
    numKeyValueHeads: fields.optionalCount("num_key_value_heads", defaults.numKeyValueHeads) ?? numHeads,
    headSize: fields.optionalCount("head_dim", defaults.headSize) ?? divideHeads(hiddenSize, numHeads),
    maxPositions: fields.count("max_position_embeddings", defaults.maxPositions ?? 2048),
    normEpsilon: fields.number("rms_norm_eps", defaults.normEpsilon ?? 1e-6),
  };
}

/** The size of a head. Throws `FieldError` where it is no whole number. */
export function divideHeads(hiddenSize: number, numHeads: number): number {
  if (hiddenSize % numHeads !== 0)
    throw new FieldError(
      `"hidden_size" is ${hiddenSize}, which is not a multiple of num_attention_heads ${numHeads}`,
    );
  return hiddenSize / numHeads;
}

const ofAttention: readonly Projection[] = ["query", "key", "value", "output"];
const ofFeedForward: readonly Projection[] = ["gate", "up", "down"];

/** Biases where `attention_bias` and `mlp_bias` say so. */
export function readBiases(
  fields: Fields,
  flags: readonly ("attention_bias" | "mlp_bias")[],
): Pick<ModelConfig, "biases"> {
  const biases = flags.flatMap((flag) => {
    if (!fields.flag(flag, false)) return [];
    return flag === "attention_bias" ? ofAttention : ofFeedForward;
  });
  return biases.length > 0 ? { biases } : {};
}

/** The activation that a field names, where it is not the usual silu. */
export function readActivation(
  fields: Fields,
  name: string,
  fallback: ActivationName = "silu",
): Pick<ModelConfig, "activation"> {
  const activation = fields.word(name, Object.keys(activations) as ActivationName[], fallback);
  // Two names of one function.
  return activation === "silu" || activation === "swish" ? {} : { activation };
}

/** As many layers as the model has, all alike. */
export function repeatLayer(count: number, layer: LayerConfig): readonly LayerConfig[] {
  return Array.from({ length: count }, () => layer);
}

/** A layer that attends to everything, or where there is a window, within it. */
export function createLayer(rope: Rope | undefined, window: number | undefined): LayerConfig {
  return { ...(rope !== undefined && { rope }), ...(window !== undefined && { window }) };
}

/** Whether a layer has a window. */
export type IsSliding = (index: number) => boolean;

/** Which layers have windows: what `layer_types` says, or else the rule of the family. Throws `FieldError` for other types. */
export function readLayerTypes(fields: Fields, numLayers: number, rule: IsSliding): IsSliding {
  const types = fields.words("layer_types");
  if (types === undefined) return rule;
  if (types.length !== numLayers)
    throw new FieldError(`"layer_types" names ${types.length} layers, and the model has ${numLayers}`);
  // "attention" is an older word for all of it.
  const known = ["full_attention", "sliding_attention", "attention"];
  const other = types.find((type) => !known.includes(type));
  if (other !== undefined)
    throw new FieldError(`"layer_types" holds ${shorten(other)}, and must be of ${known.join(", ")}`);
  return (index) => types[index] === "sliding_attention";
}

/** Layers with one rope or a pair of them, some with the window. Throws `FieldError` where a layer needs a window that there is not. */
export function createLayers(
  numLayers: number,
  {
    rope,
    isSliding,
    window,
  }: { readonly rope: Rope | RopePair; readonly isSliding: IsSliding; readonly window: number | undefined },
): readonly LayerConfig[] {
  return Array.from({ length: numLayers }, (_, index) => {
    const isWindowed = isSliding(index);
    if (isWindowed && window === undefined)
      throw new FieldError(`"sliding_window" is missing, and layer ${index} has a window`);
    const own = "full" in rope ? (isWindowed ? rope.sliding : rope.full) : rope;
    return createLayer(own, isWindowed ? window : undefined);
  });
}

/** θ of most families. */
export const usualTheta = 10_000;
/** Windows in all layers. */
export const always: IsSliding = () => true;
/** Windows in none. */
export const never: IsSliding = () => false;

/** What follows from the dimensions for the reader of ropes. */
export function ropeContext({ headSize, maxPositions }: Dimensions, theta = usualTheta): RopeContext {
  return { headSize, maxPositions, theta };
}

/** Dimensions as they stand in a config. */
export function withoutCount({ numLayers: _, ...rest }: Dimensions): Omit<Dimensions, "numLayers"> {
  return rest;
}
