/** Gemma 2 and 3. */
import type { Fields } from "../../config/fields.ts";
import type { ModelParts } from "../../config/model-config.ts";
import {
  createLayers,
  type Dimensions,
  readActivation,
  readBiases,
  readDimensions,
  readLayerTypes,
  ropeContext,
  usualTheta,
} from "./parts.ts";
import { readRope, readRopePair } from "./rope.ts";

/** What Gemma 2 and 3 have in common. */
function readGemma(fields: Fields, maxPositions: number): Omit<ModelParts, "layers"> & Dimensions {
  const dimensions = readDimensions(fields, { numKeyValueHeads: 4, headSize: 256, maxPositions });
  const cap = fields.optionalNumber("final_logit_softcapping");
  // An older name of `hidden_activation`, which goes before it.
  fields.ignore("hidden_act");
  return {
    ...dimensions,
    ...readActivation(fields, "hidden_activation", "gelu_pytorch_tanh"),
    ...readBiases(fields, ["attention_bias"]),
    attentionScale: fields.number("query_pre_attn_scalar", 256) ** -0.5,
    embeddingScale: Math.fround(Math.sqrt(dimensions.hiddenSize)),
    ...(cap !== undefined && { logitCap: cap }),
  };
}

/** Gemma 2: capped scores and logits. Throws `FieldError`. */
export function readGemma2(fields: Fields): ModelParts {
  const { numLayers, ...common } = readGemma(fields, 8192);
  const [attentionCap, logitCap] = [
    fields.optionalNumber("attn_logit_softcapping", 50),
    fields.optionalNumber("final_logit_softcapping", 30),
  ];
  return {
    ...common,
    ...(attentionCap !== undefined && { attentionCap }),
    ...(logitCap !== undefined && { logitCap }),
    layers: createLayers(numLayers, {
      rope: readRope(fields, ropeContext({ ...common, numLayers })),
      isSliding: readLayerTypes(fields, numLayers, (index) => index % 2 === 0),
      window: fields.optionalCount("sliding_window", 4096),
    }),
  };
}

/** Gemma 3: two rotary bases. Throws `FieldError`. */
export function readGemma3(fields: Fields): ModelParts {
  const { numLayers, ...common } = readGemma(fields, 131_072);
  const dimensions = { ...common, numLayers };
  const pattern = fields.count("sliding_window_pattern", 6);
  const [theta, localTheta] = [
    fields.number("rope_theta", 1_000_000),
    fields.number("rope_local_base_freq", usualTheta),
  ];
  // Transformers reads neither.
  fields.ignore("attn_logit_softcapping", "_sliding_window_pattern");
  return {
    ...common,
    layers: createLayers(numLayers, {
      rope: readRopePair(fields, ropeContext(dimensions, theta), ropeContext(dimensions, localTheta)),
      isSliding: readLayerTypes(fields, numLayers, (index) => (index + 1) % pattern !== 0),
      window: fields.optionalCount("sliding_window", 4096),
    }),
  };
}
