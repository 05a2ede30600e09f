/** OLMo, one to three. */
import type { Fields } from "../../config/fields.ts";
import type { ModelParts } from "../../config/model-config.ts";
import {
  createLayers,
  readActivation,
  readBiases,
  readDimensions,
  readLayerTypes,
  repeatLayer,
  ropeContext,
  withoutCount,
} from "./parts.ts";
import { readRope, readRopePair } from "./rope.ts";

/** OLMo: norms without weights, of one ε. Throws `FieldError`. */
export function readOlmo(fields: Fields): ModelParts {
  const dimensions = { ...readDimensions(fields), normEpsilon: 1e-5 };
  const limit = fields.optionalNumber("clip_qkv");
  return {
    ...withoutCount(dimensions),
    ...readActivation(fields, "hidden_act"),
    ...readBiases(fields, ["attention_bias"]),
    ...(limit !== undefined && { projectionLimit: limit }),
    layers: repeatLayer(dimensions.numLayers, { rope: readRope(fields, ropeContext(dimensions)) }),
  };
}

/** OLMo 2. Throws `FieldError`. */
export function readOlmo2(fields: Fields): ModelParts {
  const dimensions = readDimensions(fields, { normEpsilon: 1e-5 });
  return {
    ...withoutCount(dimensions),
    ...readActivation(fields, "hidden_act"),
    ...readBiases(fields, ["attention_bias"]),
    layers: repeatLayer(dimensions.numLayers, { rope: readRope(fields, ropeContext(dimensions)) }),
  };
}

/** OLMo 3: two ropes, and windows. Throws `FieldError`. */
export function readOlmo3(fields: Fields): ModelParts {
  const dimensions = readDimensions(fields, { normEpsilon: 1e-5 });
  const { numLayers } = dimensions;
  // Layers with a window have θ 500,000, whatever the file says at its top.
  const usual = 500_000;
  const theta = fields.number("rope_theta", usual);
  return {
    ...withoutCount(dimensions),
    ...readActivation(fields, "hidden_act"),
    ...readBiases(fields, ["attention_bias"]),
    layers: createLayers(numLayers, {
      rope: readRopePair(fields, ropeContext(dimensions, theta), ropeContext(dimensions, usual)),
      isSliding: readLayerTypes(fields, numLayers, (index) => (index + 1) % 4 !== 0),
      window: fields.optionalCount("sliding_window", 4096),
    }),
  };
}
