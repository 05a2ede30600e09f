/** Weights in the memory of kernels, each once however many models share it: as bfloat16 where that loses nothing, else as they are. */
import { requireValue } from "../../../base/core/index.ts";
import type { KernelData, KernelMemory } from "../../tensor/index.ts";

/** A model's weights as kernels read them. */
export interface PooledWeights {
  readonly arrays: Readonly<Record<string, KernelData>>;
  /** Names of those that are bfloat16. */
  readonly halves: ReadonlySet<string>;
  /** Gives them back; what other models share stays. */
  release(): void;
}

/** Keeps weights by the arrays that they came in. */
export interface WeightPool {
  /** Bytes of all that it keeps. */
  readonly numBytes: number;
  /** Copies what is not there yet. Throws `UsageError` where the memory is full, and keeps nothing of them then. */
  take(parameters: Readonly<Record<string, Float32Array>>): PooledWeights;
}

interface Kept {
  readonly array: KernelData;
  numUsers: number;
}

/** Creates a pool in that memory. */
export function createWeightPool(memory: KernelMemory): WeightPool {
  const kept = new Map<Float32Array, Kept>();
  const take = (values: Float32Array): KernelData => {
    const known = kept.get(values) ?? { array: copyIn(memory, values), numUsers: 0 };
    known.numUsers += 1;
    kept.set(values, known);
    return known.array;
  };
  const give = (values: Float32Array): void => {
    const known = requireValue(kept, values);
    known.numUsers -= 1;
    if (known.numUsers > 0) return;
    kept.delete(values);
    memory.free(known.array);
  };
  return {
    get numBytes() {
      return [...kept.values()].reduce((sum, { array }) => sum + array.byteLength, 0);
    },
    take: (parameters) => {
      const taken: Float32Array[] = [];
      const release = (): void => {
        for (const values of taken.splice(0)) give(values);
      };
      const arrays: Record<string, KernelData> = {};
      try {
        for (const [name, values] of Object.entries(parameters)) {
          arrays[name] = take(values);
          taken.push(values);
        }
      } catch (error) {
        release();
        throw error;
      }
      const names = Object.keys(arrays).filter((name) => arrays[name] instanceof Uint16Array);
      return { arrays, halves: new Set(names), release };
    },
  };
}

/** Whether bfloat16 holds all of the numbers: their lower halves are zero. */
function areHalves(bits: Uint32Array): boolean {
  // Plain loops: there may be hundreds of millions.
  for (let index = 0; index < bits.length; index++) if (((bits[index] ?? 0) & 0xffff) !== 0) return false;
  return true;
}

/** Smaller ones gain nothing from halves. */
const smallestHalved = 4096;

function copyIn(memory: KernelMemory, values: Float32Array): KernelData {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  if (values.length < smallestHalved || !areHalves(bits)) {
    const array = memory.allocate("float32", values.length);
    array.set(values);
    return array;
  }
  const array = memory.allocate("uint16", values.length);
  for (let index = 0; index < bits.length; index++) array[index] = (bits[index] ?? 0) >>> 16;
  return array;
}
