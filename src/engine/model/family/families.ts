/** The families that the engine runs: how each differs from Llama, with the defaults of transformers 5.24 for what a file leaves out. */
import { FieldError, type Fields } from "../config/fields.ts";
import type { LayerConfig, ModelParts } from "../config/model-config.ts";
import type { Family } from "./family.ts";
import type { FamilyName } from "./family-name.ts";
import {
  gemma2Names,
  gemma3Names,
  gpt2Names,
  gptNeoxNames,
  llamaNames,
  mixtralNames,
  mixtralOtherNames,
  olmo2Names,
  phi3Names,
  qwen3MoeNames,
  qwen3Names,
} from "./names.ts";
import {
  createLayer,
  createLayers,
  type DimensionDefaults,
  type Dimensions,
  divideHeads,
  type IsSliding,
  readActivation,
  readBiases,
  readDimensions,
  readLayerTypes,
  repeatLayer,
} from "./read-parts.ts";
import { type RopeContext, readGrowingRope, readRope, readRopePair } from "./read-rope.ts";

const usualTheta = 10_000;
const always: IsSliding = () => true;
const never: IsSliding = () => false;

/** What follows from the dimensions for the reader of ropes. */
function ropeContext({ headSize, maxPositions }: Dimensions, theta = usualTheta): RopeContext {
  return { headSize, maxPositions, theta };
}

/** Dimensions as they stand in a configuration. */
function withoutCount({ numLayers: _, ...rest }: Dimensions): Omit<Dimensions, "numLayers"> {
  return rest;
}

/** Llama and what differs from it in little. */
function readLlama(fields: Fields): ModelParts {
  const dimensions = readDimensions(fields);
  return {
    ...withoutCount(dimensions),
    ...readActivation(fields, "hidden_act"),
    ...readBiases(fields, ["attention_bias", "mlp_bias"]),
    layers: repeatLayer(dimensions.numLayers, { rope: readRope(fields, ropeContext(dimensions)) }),
  };
}

function readSmollm3(fields: Fields): ModelParts {
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

/** Mistral, and Ministral, whose layers may differ. */
function readMistral(fields: Fields, hasLayerTypes: boolean): ModelParts {
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

function readMinistral3(fields: Fields): ModelParts {
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
function readQwen(fields: Fields, defaults: DimensionDefaults): ModelParts {
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

function readQwen3Moe(fields: Fields): ModelParts {
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

function readMixtral(fields: Fields): ModelParts {
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

function readGemma2(fields: Fields): ModelParts {
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

function readGemma3(fields: Fields): ModelParts {
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

function readPhi3(fields: Fields): ModelParts {
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

function readOlmo(fields: Fields): ModelParts {
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

function readOlmo2(fields: Fields): ModelParts {
  const dimensions = readDimensions(fields, { normEpsilon: 1e-5 });
  return {
    ...withoutCount(dimensions),
    ...readActivation(fields, "hidden_act"),
    ...readBiases(fields, ["attention_bias"]),
    layers: repeatLayer(dimensions.numLayers, { rope: readRope(fields, ropeContext(dimensions)) }),
  };
}

function readOlmo3(fields: Fields): ModelParts {
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

function readGranite(fields: Fields): ModelParts {
  return {
    ...readLlama(fields),
    embeddingScale: fields.number("embedding_multiplier", 1),
    attentionScale: fields.number("attention_multiplier", 1),
    residualScale: fields.number("residual_multiplier", 1),
    logitScale: 1 / fields.number("logits_scaling", 1),
  };
}

function readGptNeox(fields: Fields): ModelParts {
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

function readGpt2(fields: Fields): ModelParts {
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

const qwen2Biases = { biases: ["query", "key", "value"] } as const;

/** The total table of families, by their `model_type`. */
export const families: { readonly [Name in FamilyName]: Family } = {
  llama: { names: llamaNames, norm: "rms", endToken: 2, read: readLlama },
  smollm3: { names: llamaNames, norm: "rms", endToken: 128_001, isTied: true, read: readSmollm3 },
  mistral: { names: llamaNames, norm: "rms", endToken: 2, read: (fields) => readMistral(fields, false) },
  ministral: { names: llamaNames, norm: "rms", endToken: 2, read: (fields) => readMistral(fields, true) },
  ministral3: { names: llamaNames, norm: "rms", endToken: 2, read: readMinistral3 },
  qwen2: { names: llamaNames, norm: "rms", read: (fields) => ({ ...readQwen(fields, {}), ...qwen2Biases }) },
  qwen3: {
    names: qwen3Names,
    norm: "rms",
    headNorm: "head",
    read: (fields) => ({ ...readQwen(fields, { headSize: 128 }), ...readBiases(fields, ["attention_bias"]) }),
  },
  qwen3_moe: { names: qwen3MoeNames, norm: "rms", headNorm: "head", read: readQwen3Moe },
  mixtral: {
    names: mixtralNames,
    otherNames: mixtralOtherNames,
    norm: "rms",
    endToken: 2,
    read: readMixtral,
  },
  gemma2: { names: gemma2Names, norm: "shifted", endToken: 1, isTied: true, read: readGemma2 },
  gemma3_text: {
    names: gemma3Names,
    norm: "shifted",
    headNorm: "head",
    endToken: 1,
    isTied: true,
    read: readGemma3,
  },
  phi3: { names: phi3Names, norm: "rms", endToken: 32_000, read: readPhi3 },
  olmo: { names: llamaNames, norm: "plain", endToken: 50_279, read: readOlmo },
  olmo2: { names: olmo2Names, norm: "rms", headNorm: "projection", endToken: 50_279, read: readOlmo2 },
  olmo3: { names: olmo2Names, norm: "rms", headNorm: "projection", endToken: 50_279, read: readOlmo3 },
  granite: { names: llamaNames, norm: "rms", endToken: 2, read: readGranite },
  gpt_neox: { names: gptNeoxNames, norm: "layer", endToken: 2, read: readGptNeox },
  gpt2: {
    names: gpt2Names,
    norm: "layer",
    hasInputRows: true,
    endToken: 50_256,
    isTied: true,
    read: readGpt2,
  },
};
