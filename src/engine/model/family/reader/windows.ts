/** Families of whose layers some or all have windows. */
import type { Fields } from "../../config/fields.ts";
import type { ModelParts } from "../../config/model-config.ts";
import {
  always,
  createLayers,
  type DimensionDefaults,
  type IsSliding,
  never,
  readActivation,
  readDimensions,
  readLayerTypes,
  ropeContext,
  withoutCount,
} from "./parts.ts";
import { readGrowingRope, readRope } from "./rope.ts";

/** Mistral, and Ministral, whose layers may differ. */
export function readMistral(fields: Fields, hasLayerTypes: boolean): ModelParts {
  const dimensions = readDimensions(fields, { numKeyValueHeads: 8, maxPositions: 131_072 });
  const window = fields.optionalCount("sliding_window", 4096);
  const rule = window === undefined ? never : always;
  const isSliding = hasLayerTypes ? readLayerTypes(fields, dimensions.numLayers, rule) : rule;
  const rope = readRope(fields, ropeContext(dimensions));
  return {
    ...withoutCount(dimensions),
    ...readActivation(fields, "hidden_act"),
    layers: createLayers(dimensions.numLayers, { rope, isSliding, window }),
  };
}

/** Ministral 3: queries that grow with their positions. Throws `FieldError`. */
export function readMinistral3(fields: Fields): ModelParts {
  const defaults = { numKeyValueHeads: 8, headSize: 128, maxPositions: 262_144, normEpsilon: 1e-5 };
  const dimensions = readDimensions(fields, defaults);
  const window = fields.optionalCount("sliding_window");
  const rope = readGrowingRope(fields, ropeContext(dimensions));
  const isSliding = window === undefined ? never : always;
  return {
    ...withoutCount(dimensions),
    ...readActivation(fields, "hidden_act"),
    layers: createLayers(dimensions.numLayers, { rope, isSliding, window }),
  };
}

/** Qwen 2 and 3: windows in the last layers, where they are switched on. */
export function readQwen(fields: Fields, defaults: DimensionDefaults): ModelParts {
  const dimensions = readDimensions(fields, { numKeyValueHeads: 32, maxPositions: 32_768, ...defaults });
  const stated = fields.optionalCount("sliding_window", 4096);
  const window = fields.flag("use_sliding_window", false) ? stated : undefined;
  const first = fields.number("max_window_layers", 28);
  const rule: IsSliding = (index) => window !== undefined && index >= first;
  const isSliding = readLayerTypes(fields, dimensions.numLayers, rule);
  const rope = readRope(fields, ropeContext(dimensions));
  return {
    ...withoutCount(dimensions),
    ...readActivation(fields, "hidden_act"),
    layers: createLayers(dimensions.numLayers, { rope, isSliding, window }),
  };
}
