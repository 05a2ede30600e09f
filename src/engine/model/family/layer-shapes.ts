/** The shapes of a layer's tensors, in the order in which they lie in the flat vector. */
import type { Shape } from "../../tensor/index.ts";
import type { ModelConfig, Projection } from "../config/model-config.ts";
import { families } from "./families.ts";

/** A tensor's name and shape. */
export type NamedShape = readonly [name: string, shape: Shape];

/** Weight and bias of a norm over so many elements. */
export function listNormShapes(
  { family }: Pick<ModelConfig, "family">,
  name: string | undefined,
  width: number,
): readonly NamedShape[] {
  const { norm } = families[family];
  if (name === undefined || norm === "plain") return [];
  const weight: NamedShape = [`${name}.weight`, [width]];
  return norm === "layer" ? [weight, [`${name}.bias`, [width]]] : [weight];
}

/** All tensors of a layer, under their names within it. */
export function listLayerShapes(config: ModelConfig, index: number): readonly NamedShape[] {
  const { norms } = families[config.family].names;
  const { hiddenSize: E } = config;
  const isSparse = config.layers[index]?.isSparse === true;
  return [
    ...listNormShapes(config, norms.beforeAttention, E),
    ...listAttentionShapes(config),
    ...listNormShapes(config, norms.afterAttention, E),
    ...listNormShapes(config, norms.beforeFeedForward, E),
    ...(isSparse ? listExpertShapes(config) : listFeedForwardShapes(config)),
    ...listNormShapes(config, norms.afterFeedForward, E),
  ];
}

/** A projection of that many outputs and inputs, and its bias where the model has it. */
function listLinearShapes(
  config: ModelConfig,
  [name, part]: readonly [name: string, part: Projection],
  [outputs, inputs]: readonly [number, number],
): readonly NamedShape[] {
  const { hasInputRows = false } = families[config.family];
  const weight: NamedShape = [`${name}.weight`, hasInputRows ? [inputs, outputs] : [outputs, inputs]];
  return config.biases?.includes(part) === true ? [weight, [`${name}.bias`, [outputs]]] : [weight];
}

function listAttentionShapes(config: ModelConfig): readonly NamedShape[] {
  const { hiddenSize: E, numHeads, numKeyValueHeads, headSize } = config;
  const { names, headNorm } = families[config.family];
  const { attention, norms } = names;
  const [queryRows, keyRows] = [numHeads * headSize, numKeyValueHeads * headSize];
  const [queryWidth, keyWidth] = headNorm === "projection" ? [queryRows, keyRows] : [headSize, headSize];
  const projections =
    "all" in attention
      ? listLinearShapes(config, [attention.all, "query"], [queryRows + 2 * keyRows, E])
      : [
          ...listLinearShapes(config, [attention.query, "query"], [queryRows, E]),
          ...listLinearShapes(config, [attention.key, "key"], [keyRows, E]),
          ...listLinearShapes(config, [attention.value, "value"], [keyRows, E]),
        ];
  return [
    ...projections,
    ...listNormShapes(config, norms.queries, queryWidth),
    ...listNormShapes(config, norms.keys, keyWidth),
    ...listLinearShapes(config, [attention.output, "output"], [E, queryRows]),
  ];
}

function listFeedForwardShapes(config: ModelConfig): readonly NamedShape[] {
  const { hiddenSize: E, intermediateSize: I } = config;
  const { gate, up, down, holdsGate = false } = families[config.family].names.feedForward;
  return [
    ...(gate === undefined ? [] : listLinearShapes(config, [gate, "gate"], [I, E])),
    ...listLinearShapes(config, [up, "up"], [holdsGate ? 2 * I : I, E]),
    ...listLinearShapes(config, [down, "down"], [E, I]),
  ];
}

function listExpertShapes({ family, hiddenSize: E, experts }: ModelConfig): readonly NamedShape[] {
  const names = families[family].names.experts;
  if (experts === undefined || names === undefined) return [];
  const { numExperts, intermediateSize: M } = experts;
  return [
    [`${names.router}.weight`, [numExperts, E]],
    ...Array.from({ length: numExperts }, (_, expert): readonly NamedShape[] => [
      [`${names.gate.replace("#", String(expert))}.weight`, [M, E]],
      [`${names.up.replace("#", String(expert))}.weight`, [M, E]],
      [`${names.down.replace("#", String(expert))}.weight`, [E, M]],
    ]).flat(),
  ];
}
