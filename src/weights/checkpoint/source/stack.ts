/**
 * Stacks of matrices: mixtures of experts keep the matrices of all experts of a layer in one tensor of three axes. To all other
 * rooms each of them is a tensor of its own. Experts as transformers 5 packs them are called by the names that transformers 4
 * gives them one by one (`experts.3.up_proj.weight`), others by the stack's name and their number (`experts.down_proj[3]`).
 */
import { toObject } from "../../../base/core/index.ts";
import { packsTransposed } from "../config/transposed.ts";
import { numBytesOf, type ReadableBytes } from "../dtype.ts";
import type { CheckpointTensor } from "../open-checkpoint.ts";
import { numElementsOf } from "../safetensors/safetensors-header.ts";

/** A tensor, or a matrix of a stack, under the name that other rooms know it by. */
export interface TensorPart {
  readonly name: string;
  readonly tensor: CheckpointTensor;
  /** Where its bytes lie among those of the stored tensor. */
  readonly start: number;
  readonly end: number;
}

/** Smaller matrices are not layers of experts, but filters of a convolution. */
const leastSide = 16;

/** More are not experts; the largest models have some hundreds. */
const mostExperts = 4096;

/** Whether a shape is that of a stack of matrices. */
export function isStack(shape: readonly number[]): boolean {
  const [count = 0, rows = 0, columns = 0] = shape;
  return shape.length === 3 && count > 0 && count <= mostExperts && Math.min(rows, columns) >= leastSide;
}

/** The tensor under its name, or each matrix of a stack under its own, in the order of their bytes. */
export function listParts(
  name: string,
  tensor: CheckpointTensor,
  config: Readonly<Record<string, unknown>>,
): readonly TensorPart[] {
  const [count = 1, ...shape] = tensor.shape;
  const isSplit = isStack(tensor.shape) || isStackOfBiases(name, tensor.shape);
  const total = numBytesOf(tensor.dtype, numElementsOf(tensor.shape));
  const length = total / count;
  if (!isSplit || !Number.isInteger(length)) return [{ name, tensor, start: 0, end: total }];
  const parts = findPacking(name, tensor.shape, config);
  return Array.from({ length: count }, (_, expert) =>
    parts.map((nameOf, part): TensorPart => {
      const start = expert * length + (part * length) / parts.length;
      const [rows = 1, ...others] = shape;
      return {
        name: nameOf(expert),
        tensor: { ...tensor, shape: [rows / parts.length, ...others] },
        start,
        end: start + length / parts.length,
      };
    }),
  ).flat();
}

/** The bytes from `start` up to `end` of others. */
export function takeRange(
  bytes: ReadableBytes,
  { start, end }: { readonly start: number; readonly end: number },
): ReadableBytes {
  if (start === 0 && end === bytes.length) return bytes;
  return { length: end - start, subarray: (from, to) => bytes.subarray(start + from, start + to) };
}

/** Biases of all experts of a layer, a vector each: no matrix, though they have two axes. */
function isStackOfBiases(name: string, { length, 0: count = 0 }: readonly number[]): boolean {
  return length === 2 && count > 0 && count <= mostExperts && /\.experts\.\w+_bias$/.test(name);
}

type NameOfExpert = (expert: number) => string;

/** What the rows of an expert in a stack are, from the first to the last. */
function findPacking(
  name: string,
  [, rows = 0, columns = 0]: readonly number[],
  config: Readonly<Record<string, unknown>>,
): readonly NameOfExpert[] {
  const [, experts = "", projection = ""] = /^(.*\.experts)\.(gate_up_proj|down_proj)$/.exec(name) ?? [];
  const nameAs =
    (part: string): NameOfExpert =>
    (expert) =>
      `${experts}.${expert}.${part}.weight`;
  const { text_config: text } = config;
  const { model_type: type, hidden_size: size } = { ...config, ...toObject(text) };
  const isTransposed = typeof type !== "string" || packsTransposed(type);
  if (projection === "gate_up_proj" && !isTransposed && columns === size && rows % 4 === 0)
    return [nameAs("gate_proj"), nameAs("up_proj")];
  if (projection === "down_proj" && !isTransposed && rows === size) return [nameAs("down_proj")];
  return [(expert) => `${name}[${expert}]`];
}
