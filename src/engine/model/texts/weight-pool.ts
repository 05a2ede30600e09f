/** Weights in the memory of kernels, each once however many models share it: as bfloat16 where that loses nothing, else as they are. */
import { createHash } from "node:crypto";
import { FullMemoryError, type KernelData, type KernelMemory } from "../../tensor/index.ts";
import type { NamedNumbers, ParameterSource } from "../parameters.ts";

/** A model's weights as programs read them. */
export interface PooledWeights {
  readonly arrays: Readonly<Record<string, KernelData>>;
  /** Names of those that are bfloat16. */
  readonly halves: ReadonlySet<string>;
  /** Bytes of those that were not there before. */
  readonly numOwnBytes: number;
  /** SHA-256 of all numbers as 32-bit floats, in the order in which they came (hex). */
  fingerprint(): string;
  /** Whether every weight is a number, neither NaN nor infinite. */
  areFinite(): boolean;
  /** Gives them back; what other models share stays. */
  release(): void;
}

/** What is there already, and bytes that may come beside it. */
export interface Beside {
  readonly base: PooledWeights;
  readonly mostOwnBytes: number;
}

/** Keeps weights. */
export interface WeightPool {
  /** Bytes of all that it keeps. */
  readonly numBytes: number;
  /**
   * Takes weights in, one by one; those whose bytes `base` has, too, are shared with it. Throws `UsageError` where the memory is full, and
   * keeps nothing of them then, and where the others are more than `mostOwnBytes`.
   */
  take(weights: ParameterSource, beside?: Beside): Promise<PooledWeights>;
}

/** Creates a pool in that memory. */
export function createWeightPool(memory: KernelMemory): WeightPool {
  const users = new Map<KernelData, number>();
  const give = (array: KernelData): void => {
    const numUsers = (users.get(array) ?? 0) - 1;
    if (numUsers > 0) users.set(array, numUsers);
    else {
      users.delete(array);
      memory.free(array);
    }
  };
  return {
    get numBytes() {
      return [...users.keys()].reduce((sum, { byteLength }) => sum + byteLength, 0);
    },
    take: async (weights, beside) => {
      const taken: [name: string, array: KernelData][] = [];
      let numOwnBytes = 0;
      const release = (): void => {
        for (const [, array] of taken.splice(0)) give(array);
      };
      try {
        for await (const [name, numbers] of weights) {
          const bits = readBits(numbers);
          const known = beside?.base.arrays[name];
          const isKnown = known !== undefined && holdsSame(known, bits);
          if (!isKnown) numOwnBytes += bits.byteLength;
          if (numOwnBytes > (beside?.mostOwnBytes ?? numOwnBytes))
            throw new FullMemoryError(describeLimit(beside));
          const array = isKnown ? known : copyIn(memory, bits);
          users.set(array, (users.get(array) ?? 0) + 1);
          taken.push([name, array]);
        }
      } catch (error) {
        release();
        throw error;
      }
      const halves = taken.filter(([, array]) => array instanceof Uint16Array).map(([name]) => name);
      const all = taken.map(([, array]) => array);
      return {
        arrays: Object.fromEntries(taken),
        halves: new Set(halves),
        numOwnBytes,
        fingerprint: () => hashNumbers(all.map(viewBits)),
        areFinite: () => all.every((array) => hasFinite(viewBits(array))),
        release,
      };
    },
  };
}

function describeLimit(beside: Beside | undefined): string {
  return `Cannot hold more than ${beside?.mostOwnBytes} bytes of weights beside those that are there`;
}

/** The bits of numbers: of bfloat16 where that holds all of them, else of 32-bit floats. */
type Bits = Uint16Array | Uint32Array;

/** Smaller ones gain nothing from halves. */
const smallestHalved = 4096;

// Plain loops below: there may be hundreds of millions of numbers.

function readBits(numbers: NamedNumbers[1]): Bits {
  if (numbers instanceof Uint16Array) return numbers.length < smallestHalved ? widen(numbers) : numbers;
  const bits = new Uint32Array(numbers.buffer, numbers.byteOffset, numbers.length);
  if (bits.length < smallestHalved) return bits;
  for (let index = 0; index < bits.length; index++) if (((bits[index] ?? 0) & 0xffff) !== 0) return bits;
  const halves = new Uint16Array(bits.length);
  for (let index = 0; index < bits.length; index++) halves[index] = (bits[index] ?? 0) >>> 16;
  return halves;
}

function widen(halves: Uint16Array): Uint32Array {
  const bits = new Uint32Array(halves.length);
  for (let index = 0; index < halves.length; index++) bits[index] = (halves[index] ?? 0) << 16;
  return bits;
}

function viewBits(array: KernelData): Bits {
  return array instanceof Uint16Array ? array : new Uint32Array(array.buffer, array.byteOffset, array.length);
}

/** Numbers that are hashed at once. */
const blockLength = 2 ** 20;

function hashNumbers(all: readonly Bits[]): string {
  const hash = createHash("sha256");
  for (const bits of all)
    for (let start = 0; start < bits.length; start += blockLength) {
      const block = bits.subarray(start, start + blockLength);
      const { buffer, byteOffset, byteLength } = block instanceof Uint16Array ? widen(block) : block;
      hash.update(new Uint8Array(buffer, byteOffset, byteLength));
    }
  return hash.digest("hex");
}

function hasFinite(bits: Bits): boolean {
  const exponent = bits instanceof Uint16Array ? 0x7f80 : 0x7f800000;
  for (let index = 0; index < bits.length; index++)
    if (((bits[index] ?? 0) & exponent) === exponent) return false;
  return true;
}

function holdsSame(array: KernelData, bits: Bits): boolean {
  const known = viewBits(array);
  if (known.byteLength !== bits.byteLength) return false;
  for (let index = 0; index < bits.length; index++) if (known[index] !== bits[index]) return false;
  return true;
}

function copyIn(memory: KernelMemory, bits: Bits): KernelData {
  if (bits instanceof Uint16Array) {
    const halves = memory.allocate("uint16", bits.length);
    halves.set(bits);
    return halves;
  }
  const floats = memory.allocate("float32", bits.length);
  floats.set(new Float32Array(bits.buffer, bits.byteOffset, bits.length));
  return floats;
}
