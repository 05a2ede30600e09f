/** Pairs of factors made into updates of the base's tensors, whichever way round the base stores them. */
import { quote } from "../../checkpoint-error.ts";
import { hasConv1D, packsTransposed } from "../../config/transposed.ts";
import type { LowRankUpdate } from "../../open-checkpoint.ts";
import type { TensorData } from "../../safetensors/safetensors-read.ts";
import { UnusableAdapterError } from "../adapter-error.ts";

/** lora_A [rank, inputs] and lora_B [outputs, rank], and how much their product counts. */
export interface Factors {
  readonly first: TensorData;
  readonly second: TensorData;
  readonly scale: number;
}

/** The modules that are Conv1D, of architectures that have it. */
const transposedModules = /(?:^|\.)(?:c_attn|c_fc|c_proj|q_attn)$/;

/** What is known of a tensor that factors belong to. */
export interface FactorTarget {
  readonly module: string;
  readonly isEmbedding: boolean;
  /** Of the base's tensor. */
  readonly shape: readonly number[];
  readonly modelType: unknown;
  /** `fan_in_fan_out`, which PEFT corrects by the layer's class and which thus only counts for classes that are not known here. */
  readonly saysTransposed: boolean;
}

type Orientation = "plain" | "transposed" | "unclear";

/**
 * Whether a base's tensor has inputs as rows: its shape says it, unless it is square. `undefined` where the factors fit neither way,
 * "unclear" where both ways fit and nothing tells them apart.
 */
export function findOrientation(
  { first, second }: Pick<Factors, "first" | "second">,
  place: FactorTarget,
): Orientation | undefined {
  const { isEmbedding, shape } = place;
  const [numInputs, numOutputs] = [first.shape[1], second.shape[0]];
  if ([first.shape, second.shape, shape].some(({ length }) => length !== 2)) return undefined;
  const [isPlain, isTransposed] = [
    shape[0] === numOutputs && shape[1] === numInputs,
    shape[0] === numInputs && shape[1] === numOutputs,
  ];
  if (isEmbedding) return isTransposed ? "transposed" : undefined;
  if (isPlain !== isTransposed) return isPlain ? "plain" : "transposed";
  return isPlain ? orientByModel(place) : undefined;
}

/** What is said of the layer of a square tensor. */
function orientByModel({ module, modelType, saysTransposed }: FactorTarget): Orientation {
  if (hasConv1D(modelType)) return transposedModules.test(module) ? "transposed" : "plain";
  return saysTransposed ? "unclear" : "plain";
}

/** scale · B · A, or its transposed where inputs are rows. */
export function createUpdate({ first, second, scale }: Factors, isTransposed: boolean): LowRankUpdate {
  const rank = first.shape[0] ?? 0;
  const [left, right] = isTransposed
    ? [transpose(first.data, rank), transpose(second.data, second.shape[0] ?? 0)]
    : [Float64Array.from(second.data), Float64Array.from(first.data)];
  return { left: left.map((value) => value * scale), right, rank };
}

function transpose(values: Float32Array, rows: number): Float64Array {
  const columns = values.length / rows;
  const turned = new Float64Array(values.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      turned[column * rows + row] = values[row * columns + column] ?? 0;
  return turned;
}

/** A stack of experts, and the factors of all of them: lora_A [experts · rank, inputs], lora_B [outputs, rank · experts]. */
export interface ExpertStack {
  /** The stack's name, for messages. */
  readonly name: string;
  readonly count: number;
  /** Of one expert's matrix. */
  readonly shape: readonly number[];
  readonly rank: number;
  readonly modelType: unknown;
  readonly path: string;
}

/** The updates of the matrices of a stack, in their order; `undefined` where the factors do not fit. Throws `UnusableAdapterError`. */
export function createExpertUpdates(
  { first, second, scale }: Factors,
  { name, count, shape, rank, modelType, path }: ExpertStack,
): readonly LowRankUpdate[] | undefined {
  const [numInputs = 0, numOutputs = 0] = [first.shape[1], second.shape[0]];
  if (first.shape[0] !== count * rank || second.shape[1] !== count * rank) return undefined;
  const isPlain = shape[0] === numOutputs && shape[1] === numInputs;
  const isTurned = shape[0] === numInputs && shape[1] === numOutputs;
  if (!isPlain && !isTurned) return undefined;
  if (isPlain && isTurned && typeof modelType !== "string")
    throw new UnusableAdapterError(
      `nothing tells the rows of ${quote(name)} from its columns, as its config.json has no model_type; correct it`,
      { path },
    );
  const isTransposed = isTurned && !(isPlain && !packsTransposed(String(modelType)));
  return Array.from({ length: count }, (_, expert) => {
    const start = expert * rank * numInputs;
    const data = new Float32Array(numOutputs * rank);
    for (let output = 0; output < numOutputs; output++)
      for (let term = 0; term < rank; term++)
        data[output * rank + term] = second.data[(output * rank + term) * count + expert] ?? 0;
    const own = {
      first: {
        ...first,
        shape: [rank, numInputs],
        data: first.data.subarray(start, start + rank * numInputs),
      },
      second: { ...second, shape: [numOutputs, rank], data },
      scale,
    };
    return createUpdate(own, isTransposed);
  });
}

/** Updates of the blocks of a tensor, one below the other, as one update of the tensor. */
export function stackUpdates(updates: readonly LowRankUpdate[]): LowRankUpdate {
  const rank = updates.reduce((sum, one) => sum + one.rank, 0);
  const numRows = updates.reduce((sum, { left, rank: own }) => sum + left.length / own, 0);
  const left = new Float64Array(numRows * rank);
  const rights = updates.flatMap(({ right }) => [...right]);
  let [row, offset] = [0, 0];
  for (const one of updates) {
    for (let start = 0; start < one.left.length; start += one.rank, row++)
      left.set(one.left.subarray(start, start + one.rank), row * rank + offset);
    offset += one.rank;
  }
  return { left, right: Float64Array.from(rights), rank };
}

/** The rows of an update from `start` to `end`. */
export function takeRows({ left, right, rank }: LowRankUpdate, start: number, end: number): LowRankUpdate {
  return { left: left.slice(start * rank, end * rank), right, rank };
}
