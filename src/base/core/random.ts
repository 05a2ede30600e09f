/**
 * Seeded randomness. A stream is named by a seed and a path ("sft", step, …), so any step of a run can be
 * replayed without knowing what was drawn before it: that is what makes resuming exact.
 */
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plusFromState } from "pure-rand/generator/xoroshiro128plus";

/** A stream of random draws; every method advances it. */
export interface Random {
  /** A float in [0, 1). */
  uniform(): number;
  /** An integer in [low, high], both ends included. */
  integer(low: number, high: number): number;
  /** One element of a non-empty list. Throws `RangeError` on an empty one. */
  pick<Value>(values: readonly Value[]): Value;
  /** A new list in random order (Fisher–Yates). */
  shuffle<Value>(values: readonly Value[]): Value[];
  /** A standard normal draw (Box–Muller). */
  normal(): number;
  /** Where the stream is now, as plain data: `resumeRandom` goes on from there. */
  readState(): RandomState;
}

/** The 128 bits of a stream, as 32-bit words. */
export type RandomState = readonly number[];

/** Four 32-bit words that depend on every character of `text` (multiply-xorshift mixing, never all zero). */
function hashWords(text: string): readonly [number, number, number, number] {
  const words: [number, number, number, number] = [0x9e3779b9, 0x243f6a88, 0xb7e15162, 0x3c6ef372];
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    words[0] = words[1] ^ Math.imul(words[0] ^ code, 0x2545f491);
    words[1] = words[2] ^ Math.imul(words[1] ^ code, 0xb4b82e39);
    words[2] = words[3] ^ Math.imul(words[2] ^ code, 0x9fb21c65);
    words[3] = words[0] ^ Math.imul(words[3] ^ code, 0x60642e2b);
  }
  const mix = (word: number): number => {
    const once = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
    const twice = Math.imul(once ^ (once >>> 13), 0xc2b2ae35);
    return twice ^ (twice >>> 16);
  };
  return [mix(words[0]) | 1, mix(words[1] ^ words[0]), mix(words[2] ^ words[1]), mix(words[3] ^ words[2])];
}

/**
 * The random stream of that seed and path: the same arguments give the same draws on every machine
 * (xoroshiro128+, whose 128-bit state is a hash of the arguments).
 */
export function createRandom(seed: number, ...path: readonly (string | number)[]): Random {
  return resumeRandom(hashWords([seed, ...path].join("/")));
}

/** The stream that goes on from there. */
export function resumeRandom(state: RandomState): Random {
  const generator = xoroshiro128plusFromState(state);
  const uniform = (): number => uniformFloat64(generator);
  const integer = (low: number, high: number): number => uniformInt(generator, low, high);
  return {
    uniform,
    integer,
    pick: (values) => {
      const index = integer(0, Math.max(0, values.length - 1));
      for (const value of values.slice(index, index + 1)) return value;
      throw new RangeError("Cannot pick from an empty list");
    },
    shuffle: (values) => shuffle(values, integer),
    normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
    readState: () => generator.getState(),
  };
}

function shuffle<Value>(values: readonly Value[], integer: (low: number, high: number) => number): Value[] {
  const order = [...values];
  for (let last = order.length - 1; last > 0; last--) {
    const other = integer(0, last);
    const [lastValue, otherValue] = [order[last], order[other]];
    if (lastValue === undefined || otherValue === undefined) continue;
    order[last] = otherValue;
    order[other] = lastValue;
  }
  return order;
}
