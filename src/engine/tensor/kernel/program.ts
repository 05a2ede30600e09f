/** Plans linked to a memory: tapes whose inputs are bound to arrays, and which run in one call. */
import { requireValue } from "../../../base/core/index.ts";
import type { Outputs } from "../lowering.ts";
import { sizeOf } from "../shape.ts";
import type { Kernels } from "./host.ts";
import type { KernelArrays } from "./kernel-memory.ts";
import {
  type InputStorage,
  type Instruction,
  numberOf,
  type Storage,
  type Word,
} from "./plan/instruction.ts";
import { type Plan, type PlanOptions, planGraph } from "./plan/plan-graph.ts";
import type { Stage } from "./plan/schedule.ts";

/** Numbers that a program is fed with: float32, int32 ids, or bfloat16. */
export type KernelData = KernelArrays[keyof KernelArrays];

/** A planned graph. One program of a memory runs at a time. */
export interface KernelProgram<Name extends string = string> {
  /**
   * Feeds inputs by name; those that are not named keep what they were fed with before. Arrays in kernel memory are read where they lie,
   * others are copied. Gives every output by name, in memory that the next run of any program of the memory may overwrite.
   */
  run(feeds: Readonly<Record<string, KernelData>>): Readonly<Record<Name, Float32Array>>;
  /** Frees what the program holds of the memory; it cannot run afterwards. */
  release(): void;
}

/** Plans the expressions for the memory of these kernels (milliseconds). Throws `UsageError` where it is full. */
export function planProgram<Name extends string>(
  outputs: Outputs & Readonly<Record<Name, Outputs[string]>>,
  kernels: Kernels,
  options: PlanOptions = {},
): KernelProgram<Name> {
  const plan = planGraph(outputs, options);
  const linked = kernels.memory.attempt(() => new LinkedProgram(plan, kernels));
  return {
    run: (feeds) => linked.run(feeds) as Readonly<Record<Name, Float32Array>>,
    release: () => linked.release(),
  };
}

/** A word of the tape that is an address. */
interface Reference {
  readonly word: number;
  readonly offset: number;
}

/** A plan as words, with the places of its addresses. */
interface Tape {
  readonly words: Int32Array;
  readonly references: ReadonlyMap<Storage, readonly Reference[]>;
}

function writeTape(stages: readonly Stage[]): Tape {
  const words: number[] = [];
  const references = new Map<Storage, Reference[]>();
  const float = new Float32Array(1);
  const bits = new Int32Array(float.buffer);
  const write = (word: Word): void => {
    if (typeof word === "number") words.push(word);
    else if ("float" in word) {
      float[0] = word.float;
      words.push(bits[0] ?? 0);
    } else {
      const known = references.get(word.storage) ?? [];
      known.push({ word: words.length, offset: word.offset * bytesOf(word.storage) });
      references.set(word.storage, known);
      words.push(0);
    }
  };
  for (const stage of stages) {
    words.push(
      stage.length,
      stage.reduce((sum, { numChunks }) => sum + numChunks, 0),
    );
    for (const instruction of stage) {
      words.push(...headOf(instruction));
      for (const word of instruction.words) write(word);
    }
  }
  words.push(0, 0);
  return { words: Int32Array.from(words), references };
}

/** Words of an instruction before its arguments. */
const headWords = 3;

function headOf({ kernel, words, numChunks }: Instruction): readonly number[] {
  return [numberOf(kernel), headWords + words.length, numChunks];
}

function bytesOf(storage: Storage): number {
  return storage.kind === "input" && storage.isHalf ? 2 : 4;
}

function kindOf({ isHalf, isInteger }: InputStorage): keyof KernelArrays {
  if (isHalf) return "uint16";
  return isInteger ? "int32" : "float32";
}

const constructors = { float32: Float32Array, int32: Int32Array, uint16: Uint16Array } as const;

class LinkedProgram {
  readonly #plan: Plan;
  readonly #kernels: Kernels;
  readonly #references: Tape["references"];
  readonly #tape: Int32Array;
  readonly #constants: Float32Array;
  /** Copies of what was fed from elsewhere. */
  readonly #copies = new Map<string, KernelData>();
  readonly #bound = new Map<string, number>();
  #workspace = -1;
  #results: Readonly<Record<string, Float32Array>> = {};

  constructor(plan: Plan, kernels: Kernels) {
    const { words, references } = writeTape(plan.stages);
    this.#plan = plan;
    this.#kernels = kernels;
    this.#references = references;
    this.#tape = kernels.memory.allocate("int32", words.length);
    this.#tape.set(words);
    this.#constants = this.#writeConstants();
  }

  #writeConstants(): Float32Array {
    const { constants } = this.#plan;
    const sizes = constants.map(({ numElements }) => Math.ceil(numElements / 16) * 16);
    const array = this.#kernels.memory.allocate(
      "float32",
      sizes.reduce((sum, size) => sum + size, 0),
    );
    let start = 0;
    for (const [index, storage] of constants.entries()) {
      array.set(storage.values, start);
      this.#link(storage, array.byteOffset + start * array.BYTES_PER_ELEMENT);
      start += sizes[index] ?? 0;
    }
    return array;
  }

  /** Writes a storage's address wherever the tape speaks of it. */
  #link(storage: Storage, address: number): void {
    for (const { word, offset } of this.#references.get(storage) ?? []) this.#tape[word] = address + offset;
  }

  run(feeds: Readonly<Record<string, KernelData>>): Readonly<Record<string, Float32Array>> {
    const { inputs } = this.#plan;
    for (const [name, data] of Object.entries(feeds)) {
      const storage = inputs.get(name);
      if (storage !== undefined) this.#bind(storage, data);
    }
    for (const name of inputs.keys())
      if (!this.#bound.has(name)) throw new TypeError(`Cannot run the program: input "${name}" is not fed`);
    this.#useWorkspace();
    this.#kernels.run(this.#tape.byteOffset, this.#plan.scratchBytes);
    return this.#results;
  }

  #bind(storage: InputStorage, data: KernelData): void {
    const { name, numElements } = storage;
    const kind = kindOf(storage);
    if (!(data instanceof constructors[kind]))
      throw new TypeError(`Cannot feed "${name}" with ${data.constructor.name}: it takes ${kind}`);
    if (data.length !== numElements)
      throw new TypeError(`Cannot feed ${data.length} values to "${name}", which takes ${numElements}`);
    const address = this.#kernels.memory.owns(data) ? data.byteOffset : this.#copyIn(storage, data);
    if (this.#bound.get(name) === address) return;
    this.#bound.set(name, address);
    this.#link(storage, address);
  }

  #copyIn(storage: InputStorage, data: KernelData): number {
    const { name, numElements } = storage;
    const known = this.#copies.get(name);
    const copy = known ?? this.#kernels.memory.allocate(kindOf(storage), numElements);
    this.#copies.set(name, copy);
    copy.set(data);
    return copy.byteOffset;
  }

  /** Links results anew where the workspace has moved. */
  #useWorkspace(): void {
    const { arena, outputs } = this.#plan;
    const { start, number } = this.#kernels.memory.reserveWorkspace(arena.numBytes);
    if (number === this.#workspace) return;
    this.#workspace = number;
    for (const [storage, offset] of arena.offsets) this.#link(storage, start + offset);
    const results = [...outputs].map(([name, { storage, offset, shape }]) => {
      if (storage.kind !== "result") throw new TypeError(`Cannot give "${name}": it is no result`);
      const address = start + requireValue(arena.offsets, storage) + offset * Float32Array.BYTES_PER_ELEMENT;
      return [name, this.#kernels.memory.view("float32", address, sizeOf(shape))] as const;
    });
    this.#results = Object.fromEntries(results);
  }

  release(): void {
    const { memory } = this.#kernels;
    for (const array of [this.#tape, this.#constants, ...this.#copies.values()]) memory.free(array);
    this.#copies.clear();
  }
}
