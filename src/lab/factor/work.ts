/** What factorizing and comparing a tensor takes, in time and memory: for planning, so rough numbers do. */
import type { SpectraSettings } from "../../weights/spectra/index.ts";
import { countElements, numExaminedForIntruders } from "../../weights/spectra/index.ts";

/** The size of a task. */
export interface Work {
  /** In proportion to time: multiplications, about. */
  readonly cost: number;
  /** Memory while it runs. */
  readonly bytes: number;
}

/** Up to this short side all vectors are kept: their files are small, and they settle every question exactly. */
const keepAllShort = 512;

/** Vectors to keep of a matrix of that shape. */
export function countVectors(shape: readonly number[], { ranks, randomizedSeed }: SpectraSettings): number {
  const short = Math.min(...shape);
  if (randomizedSeed === undefined) return keepVectors(shape, Math.max(...ranks, numExaminedForIntruders));
  // One more than the largest rank: a gap has two sides, and these factors know no value beyond their last.
  return Math.min(short, Math.max(...ranks, numExaminedForIntruders) + 1);
}

/** Vectors to keep of an exact factorization where `wanted` are asked for. */
export function keepVectors(shape: readonly number[], wanted: number): number {
  const short = Math.min(...shape);
  return short <= keepAllShort ? short : Math.min(short, wanted);
}

/** Tensors up to this size are read whole. */
const mostWholeBytes = 2 ** 28;
/** So are wide ones, whose blocks of columns lie all over the file, as long as one array holds them as doubles. */
const mostWideBytes = 2 ** 31;

/** Whether a tensor is read whole, or block by block from its file whenever it is needed. */
export function isReadWhole(shape: readonly number[], numBytes: number): boolean {
  const [rows = 1, columns = 1] = shape;
  const isWide = shape.length === 2 && columns > rows;
  return numBytes <= (isWide ? mostWideBytes : mostWholeBytes);
}

/** Memory that a tensor takes while it is worked on. */
function heldBytes(shape: readonly number[], numBytes: number): number {
  return isReadWhole(shape, numBytes) ? numBytes : 0;
}

/** Decoded floats that are in memory at a time: a few blocks, or less of a small matrix. */
function blockBytes(shape: readonly number[]): number {
  return Math.min(128 * 2 ** 20, 32 * countElements(shape));
}

const sidesOf = (shape: readonly number[]): { readonly long: number; readonly short: number } => ({
  long: Math.max(...shape),
  short: Math.min(...shape),
});

/** Costs, measured in multiplications of the factorization of a large matrix: of a task by itself. */
const taskCost = 1e8;
/** Of a byte read. */
const byteCost = 75;
/** Of an element compared. */
const elementCost = 250;

/** Reading a tensor for its fingerprint. */
export function planFingerprint(shape: readonly number[], numBytes: number): Work {
  return { cost: taskCost + byteCost * numBytes, bytes: heldBytes(shape, numBytes) + blockBytes(shape) };
}

/** Factorizing a matrix: Gram matrix, tridiagonalization, vectors of both sides. */
export function planFactors(
  shape: readonly number[],
  { numBytes, numVectors }: { readonly numBytes: number; readonly numVectors: number },
): Work {
  const { long, short } = sidesOf(shape);
  return {
    cost: taskCost + long * short ** 2 + 2 * short ** 3 + long * short * numVectors,
    bytes:
      heldBytes(shape, numBytes) + 8 * (2 * short ** 2 + 3 * numVectors * (long + short)) + blockBytes(shape),
  };
}

/** Comparing a tensor: its elements, and for a matrix the spectrum of the update and the angles. */
export function planComparison(
  shape: readonly number[],
  { numBytes, numVectors }: { readonly numBytes: number; readonly numVectors: number },
): Work {
  const elements = countElements(shape);
  if (shape.length !== 2)
    return {
      cost: taskCost + elementCost * elements,
      bytes: 2 * heldBytes(shape, numBytes) + blockBytes(shape),
    };
  const { long, short } = sidesOf(shape);
  return {
    cost:
      taskCost +
      elementCost * elements +
      long * short ** 2 +
      1.5 * short ** 3 +
      2 * long * short * numVectors,
    bytes:
      2 * heldBytes(shape, numBytes) + 8 * (short ** 2 + 6 * numVectors * (long + short)) + blockBytes(shape),
  };
}
