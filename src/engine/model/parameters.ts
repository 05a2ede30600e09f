/**
 * Parameters live in one flat float32 vector; the layout says where each Hugging Face tensor lies in it. The
 * graph reads each tensor as an input of its own, fed with a view of the vector, so nothing is copied.
 */
import { type Random, requireValue } from "../../base/core/index.ts";
import { op, type Shape, sizeOf, type Tensor } from "../tensor/index.ts";
import type { ModelConfig } from "./config/model-config.ts";
import { families } from "./family/families.ts";
import { listLayerShapes, listNormShapes, type NamedShape } from "./family/layer-shapes.ts";

/** One tensor inside the flat vector, under its Hugging Face name. */
export interface ParameterEntry {
  readonly name: string;
  readonly shape: Shape;
  /** Index of its first element in the flat vector. */
  readonly offset: number;
}

/** Where every parameter lies: the entries cover the flat vector without gaps. */
export interface ParameterLayout {
  readonly entries: readonly ParameterEntry[];
  /** Number of parameters. */
  readonly size: number;
}

/** The layout of tensors one after the other. */
export function layOut(parameters: readonly NamedShape[]): ParameterLayout {
  let size = 0;
  const entries = parameters.map(([name, shape]) => {
    const offset = size;
    size += sizeOf(shape);
    return { name, shape, offset };
  });
  return { entries, size };
}

/** The layout of a decoder's parameters, in Hugging Face names; a tied head has no entry of its own. */
export function createLayout(config: ModelConfig): ParameterLayout {
  const { vocabularySize, hiddenSize, maxPositions, isTied, layers } = config;
  const { names } = families[config.family];
  const table = [vocabularySize, hiddenSize];
  return layOut([
    [`${names.embedding}.weight`, table],
    ...(names.positions === undefined
      ? []
      : [[`${names.positions}.weight`, [maxPositions, hiddenSize]] as const]),
    ...layers.flatMap((_, index) =>
      listLayerShapes(config, index).map(
        ([name, shape]) => [`${names.layers}.${index}.${name}`, shape] as const,
      ),
    ),
    ...listNormShapes(config, names.finalNorm, hiddenSize),
    ...(isTied ? [] : [[`${names.head}.weight`, table] as const]),
  ]);
}

/** Layout of a value head: h → h/4 → h/8 → 1 with ReLU between, on the last prompt token (the study's PPO). */
export function createValueHeadLayout(config: ModelConfig): ParameterLayout {
  const { hiddenSize: E } = config;
  const widths = [E, Math.max(1, Math.floor(E / 4)), Math.max(1, Math.floor(E / 8)), 1];
  return layOut(
    [0, 1, 2].flatMap((depth): readonly NamedShape[] => {
      const [width = 1, next = 1] = widths.slice(depth);
      return [
        [`value_head.${depth}.weight`, [next, width]],
        [`value_head.${depth}.bias`, [next]],
      ];
    }),
  );
}

/** Both layouts in one flat vector, the first one first. */
export function joinLayouts(first: ParameterLayout, second: ParameterLayout): ParameterLayout {
  return layOut([...first.entries, ...second.entries].map(({ name, shape }) => [name, shape]));
}

/** New parameters: matrices normal with the config's standard deviation, norms 1, biases 0. */
export function initializeParameters(config: ModelConfig, random: Random): Float32Array {
  const layout = createLayout(config);
  const parameters = new Float32Array(layout.size);
  for (const { shape, offset } of layout.entries.filter((entry) => !entry.name.endsWith(".bias")))
    for (let index = offset; index < offset + sizeOf(shape); index++)
      parameters[index] = shape.length === 1 ? 1 : random.normal() * config.initializerRange;
  return parameters;
}

/** New value-head parameters: uniform in ±1/√inputs, as PyTorch's linear layers start; the last layer starts at 0. */
export function initializeValueHead(config: ModelConfig, random: Random): Float32Array {
  const layout = createValueHeadLayout(config);
  const parameters = new Float32Array(layout.size);
  let bound = 0;
  for (const { name, shape, offset } of layout.entries) {
    bound = shape.length === 2 ? 1 / Math.sqrt(shape[1] ?? 1) : bound;
    const isLast = name.startsWith("value_head.2");
    for (let index = offset; index < offset + sizeOf(shape); index++)
      parameters[index] = isLast ? 0 : (2 * random.uniform() - 1) * bound;
  }
  return parameters;
}

/** Two matrices of low rank beside one of a model, as graph inputs, and the factor on their product. */
export interface Adapter {
  /** A, [r, inputs]. */
  readonly down: Tensor;
  /** B, [outputs, r]. */
  readonly up: Tensor;
  readonly scale: number;
}

/** The parameters as graph inputs. */
export interface Weights {
  /** The tensor of that Hugging Face name. Throws `RangeError` for an unknown one. */
  get(name: string): Tensor;
  has(name: string): boolean;
  /** The adapter of a matrix, by its name without ".weight"; `undefined` where it has none. */
  findAdapter(name: string): Adapter | undefined;
  /** Every parameter, in the order of the flat vector. */
  readonly tensors: readonly Tensor[];
}

/** Graph inputs for every parameter of the layout, under their names. */
export function createWeights(layout: ParameterLayout): Weights {
  const tensors = layout.entries.map(({ name, shape }) => op.input(name, shape));
  const byName = new Map(layout.entries.map(({ name }, index) => [name, tensors[index]]));
  return {
    tensors,
    has: (name) => byName.has(name),
    findAdapter: () => undefined,
    get: (name) => {
      const tensor = byName.get(name);
      if (tensor === undefined) throw new RangeError(`Cannot find the parameter "${name}"`);
      return tensor;
    },
  };
}

/** Feeds for the parameters of a layout: views of the flat vector, nothing is copied. */
export function feedParameters(
  layout: ParameterLayout,
  parameters: Float32Array,
): Record<string, Float32Array> {
  return Object.fromEntries(
    layout.entries.map(({ name, shape, offset }) => [
      name,
      parameters.subarray(offset, offset + sizeOf(shape)),
    ]),
  );
}

/** A parameter's name, and its numbers as 32-bit floats or as the bits of bfloat16. */
export type NamedNumbers = readonly [name: string, numbers: Float32Array | Uint16Array];

/** Parameters one by one. */
export type ParameterSource = Iterable<NamedNumbers> | AsyncIterable<NamedNumbers>;

/** The parameters in a flat vector, one by one, as views. */
export function listParameters(config: ModelConfig, parameters: Float32Array): Iterable<NamedNumbers> {
  return Object.entries(feedParameters(createLayout(config), parameters));
}

/** The flat vector of parameters that come one by one. Throws `RangeError` for a name that the layout does not have. */
export async function collectParameters(
  { size, entries }: ParameterLayout,
  source: ParameterSource,
): Promise<Float32Array> {
  const offsets = new Map(entries.map(({ name, offset }) => [name, offset]));
  const parameters = new Float32Array(size);
  const bits = new Uint32Array(parameters.buffer);
  for await (const [name, numbers] of source) {
    const offset = requireValue(offsets, name);
    if (numbers instanceof Float32Array) parameters.set(numbers, offset);
    // A plain loop: there may be hundreds of millions.
    else
      for (let index = 0; index < numbers.length; index++) bits[offset + index] = (numbers[index] ?? 0) << 16;
  }
  return parameters;
}

/** Whether every parameter is a number, neither NaN nor infinite: of any other model no answer means anything. */
export function areFinite(parameters: Float32Array): boolean {
  // A plain loop: there may be billions.
  for (let index = 0; index < parameters.length; index++)
    if (!Number.isFinite(parameters[index])) return false;
  return true;
}
