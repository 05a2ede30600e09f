/**
 * Stacks of matrices: mixtures of experts keep the matrices of all experts of a layer in one tensor of three axes. To all other
 * rooms each of them is a tensor of its own, called by the stack's name and its number: `model.layers.0.mlp.experts.down_proj[3]`.
 */
import type { ReadableBytes } from "./dtype.ts";
import type { CheckpointTensor } from "./open-checkpoint.ts";

/** Smaller matrices are no layers of experts, but filters of a convolution. */
const leastSide = 16;

/** Whether a shape is that of a stack of matrices. */
export function isStack(shape: readonly number[]): boolean {
  const [count = 0, rows = 0, columns = 0] = shape;
  return shape.length === 3 && count > 0 && Math.min(rows, columns) >= leastSide;
}

/** The name of a matrix in a stack. */
export function nameSlice(stack: string, index: number): string {
  return `${stack}[${index}]`;
}

/** The stack and number that a name means; `undefined` for the name of no matrix in a stack. */
export function parseSlice(name: string): { readonly stack: string; readonly index: number } | undefined {
  const [, stack, index] = /^(.+)\[(\d+)\]$/.exec(name) ?? [];
  return stack === undefined ? undefined : { stack, index: Number(index) };
}

/** A tensor under its name, or each matrix of a stack under its own. */
export function listSlices(
  name: string,
  tensor: CheckpointTensor,
): readonly (readonly [string, CheckpointTensor])[] {
  if (!isStack(tensor.shape)) return [[name, tensor]];
  const [count = 0, ...shape] = tensor.shape;
  return Array.from({ length: count }, (_, index) => [nameSlice(name, index), { ...tensor, shape }] as const);
}

/** The bytes of one of `count` equal parts. */
export function takeSlice(
  bytes: ReadableBytes,
  { index, count }: { readonly index: number; readonly count: number },
): ReadableBytes {
  const length = bytes.length / count;
  return { length, subarray: (start, end) => bytes.subarray(index * length + start, index * length + end) };
}
