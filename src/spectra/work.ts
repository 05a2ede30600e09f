/** What factorising and comparing a tensor takes, in time and memory: for planning, so rough numbers do. */
import { numExaminedForIntruders } from "./update.ts";

/** The size of a task. */
export interface Work {
  /** In proportion to time: multiplications, about. */
  readonly cost: number;
  /** Memory while it runs. */
  readonly bytes: number;
}

/** Up to this short side all vectors are kept: their files are small, and they settle every question exactly. */
const keepAllShort = 512;

/** Vectors to keep of a matrix of that shape when ranks up to `largestRank` are compared. */
export function countVectors(shape: readonly number[], largestRank: number): number {
  const short = Math.min(...shape);
  return short <= keepAllShort ? short : Math.min(short, Math.max(largestRank, numExaminedForIntruders));
}

/** Blocks of decoded floats that are in memory at a time, with room for the runtime. */
const blockBytes = 128 * 2 ** 20;

const sidesOf = (shape: readonly number[]): { readonly long: number; readonly short: number } => ({
  long: Math.max(...shape),
  short: Math.min(...shape),
});

/** Reading a tensor for its fingerprint. */
export function planFingerprint(numBytes: number): Work {
  return { cost: 8 * numBytes, bytes: 2 * numBytes };
}

/** Factorising a matrix: Gram matrix, tridiagonalisation, vectors of both sides. */
export function planFactors(
  shape: readonly number[],
  { numBytes, numVectors }: { readonly numBytes: number; readonly numVectors: number },
): Work {
  const { long, short } = sidesOf(shape);
  return {
    cost: long * short ** 2 + 2 * short ** 3 + long * short * numVectors,
    bytes: numBytes + 8 * (2 * short ** 2 + 3 * numVectors * (long + short)) + blockBytes,
  };
}

/** Comparing a tensor: its elements, and for a matrix the spectrum of the update and the angles. */
export function planComparison(
  shape: readonly number[],
  { numBytes, numVectors }: { readonly numBytes: number; readonly numVectors: number },
): Work {
  const elements = shape.reduce((product, size) => product * size, 1);
  if (shape.length !== 2) return { cost: 50 * elements, bytes: 2 * numBytes };
  const { long, short } = sidesOf(shape);
  return {
    cost: 50 * elements + long * short ** 2 + 1.5 * short ** 3 + 2 * long * short * numVectors,
    bytes: 2 * numBytes + 8 * (short ** 2 + 6 * numVectors * (long + short)) + blockBytes,
  };
}
