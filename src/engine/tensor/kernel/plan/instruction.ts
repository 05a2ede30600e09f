/**
 * What a plan is made of: storages, which have no address yet, and instructions, whose words may be addresses in
 * them. How arguments are laid out is the business of each kernel's C source in tools/kernels.
 */

/** Kernels, by the number that each has in tools/kernels/source/machine.c. */
const kernelNames = [
  ...(["map", "sum", "multiplyByRows", "multiplyByColumns", "softmax", "logSoftmax", "normalize"] as const),
  ...(["standardize", "mark", "rotate", "gather", "take", "oneHot", "widen"] as const),
] as const;

/** The name of a kernel. */
export type KernelName = (typeof kernelNames)[number];

/** The number that a tape names a kernel by. */
export function numberOf(kernel: KernelName): number {
  return kernelNames.indexOf(kernel);
}

/** An array that is bound when the program runs. */
export interface InputStorage {
  readonly kind: "input";
  readonly name: string;
  readonly isInteger: boolean;
  /** Whether it holds bfloat16, two bytes an element, in place of float32. */
  readonly isHalf: boolean;
  readonly numElements: number;
}

/** Values that are the same in every run. */
export interface ConstantStorage {
  readonly kind: "constant";
  readonly values: readonly number[] | Float32Array;
  readonly numElements: number;
}

/** What instructions write; `isKept` for results that must last until the end. */
export interface ResultStorage {
  readonly kind: "result";
  readonly numElements: number;
  isKept: boolean;
}

/** A place for numbers, of which the planner knows the size only. */
export type Storage = InputStorage | ConstantStorage | ResultStorage;

/** An element of a storage. */
export interface Address {
  readonly storage: Storage;
  readonly offset: number;
}

/** A word of an instruction: an integer, a float or an address. */
export type Word = number | { readonly float: number } | Address;

/** One call of a kernel, in chunks that may be carried out at the same time by several threads. */
export interface Instruction {
  readonly kernel: KernelName;
  readonly words: readonly Word[];
  readonly numChunks: number;
  readonly reads: readonly Storage[];
  readonly writes: readonly Storage[];
  /** Memory that each thread needs of its own (default none). */
  readonly scratchBytes?: number;
}

/** Chunks of an instruction at most: a stage counts its chunks in 16 bits. */
const mostChunks = 1024;

/** How many of `count` equal items make a chunk of about 5 µs, if one takes `itemNs` nanoseconds; a multiple of `multiple`. */
export function chooseGrain(count: number, itemNs: number, multiple = 1): number {
  const wanted = Math.max(5000 / itemNs, count / mostChunks, 1);
  return Math.ceil(Math.min(wanted, count) / multiple) * multiple;
}
