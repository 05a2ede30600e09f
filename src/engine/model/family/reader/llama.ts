/** Llama, and families that differ from it in little. */
import { FieldError, type Fields } from "../../config/fields.ts";
import type { LayerConfig, ModelParts } from "../../config/model-config.ts";
import {
  createLayer,
  createLayers,
  readActivation,
  readBiases,
  readDimensions,
  readLayerTypes,
  repeatLayer,
  ropeContext,
  withoutCount,
} from "./parts.ts";
import { readRope } from "./rope.ts";

/** Llama. Throws `FieldError`. */
export function readLlama(fields: Fields): ModelParts {
  const dimensions = readDimensions(fields);
  return {
    ...withoutCount(dimensions),
    ...readActivation(fields, "hidden_act"),
    ...readBiases(fields, ["attention_bias", "mlp_bias"]),
    layers: repeatLayer(dimensions.numLayers, { rope: readRope(fields, ropeContext(dimensions)) }),
  };
}

/** SmolLM 3: layers without rotary positions. Throws `FieldError`. */
export function readSmollm3(fields: Fields): ModelParts {
  const dimensions = readDimensions(fields, { numKeyValueHeads: 4, maxPositions: 32_768 });
  const { numLayers } = dimensions;
  const rope = readRope(fields, ropeContext(dimensions, 2_000_000));
  const interval = fields.count("no_rope_layer_interval", 4);
  const stated = fields.numbers("no_rope_layers");
  if (stated !== undefined && stated.length < numLayers)
    throw new FieldError(`"no_rope_layers" names ${stated.length} layers, and the model has ${numLayers}`);
  // Despite its name it says which layers have rotary positions.
  const isRotated = (index: number): boolean =>
    stated === undefined ? (index + 1) % interval !== 0 : stated[index] !== 0;
  const window = fields.optionalCount("sliding_window");
  const slides = fields.flag("use_sliding_window", false) && window !== undefined;
  const isSliding = readLayerTypes(fields, numLayers, (index) => slides && !isRotated(index));
  const layers = createLayers(numLayers, { rope, isSliding, window }).map((layer, index): LayerConfig => {
    const { rope: _, ...plain } = layer;
    return isRotated(index) ? layer : plain;
  });
  return {
    ...withoutCount(dimensions),
    ...readActivation(fields, "hidden_act"),
    ...readBiases(fields, ["attention_bias", "mlp_bias"]),
    layers,
  };
}

/** Granite: four multipliers. Throws `FieldError`. */
export function readGranite(fields: Fields): ModelParts {
  return {
    ...readLlama(fields),
    embeddingScale: fields.number("embedding_multiplier", 1),
    attentionScale: fields.number("attention_multiplier", 1),
    residualScale: fields.number("residual_multiplier", 1),
    logitScale: 1 / fields.number("logits_scaling", 1),
  };
}

/** Phi-3: LongRoPE, and a part of each head that is rotated. Throws `FieldError`. */
export function readPhi3(fields: Fields): ModelParts {
  const dimensions = readDimensions(fields, { maxPositions: 4096, normEpsilon: 1e-5 });
  const context = {
    ...ropeContext(dimensions),
    part: 1,
    aliases: { su: "longrope", yarn: "longrope" },
    firstPositions: 4096,
  };
  const rope = readRope(fields, context);
  if (rope.scaling !== undefined && rope.scaling.type !== "longrope")
    throw new FieldError(
      `"rope_scaling" is of type ${rope.scaling.type}, and this family knows longrope only`,
    );
  // Its length matters for longrope alone.
  fields.ignore("original_max_position_embeddings");
  return {
    ...withoutCount(dimensions),
    ...readActivation(fields, "hidden_act"),
    layers: repeatLayer(
      dimensions.numLayers,
      createLayer({ ...rope, isReadAnew: true }, fields.optionalCount("sliding_window")),
    ),
  };
}
