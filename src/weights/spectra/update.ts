/** What an update Δ = after − before is made of: its size, its ranks, and how it lies in the basis of what it changed. */

import type { BasisPair } from "../linalg/index.ts";
import {
  createMatrix,
  type Factors,
  type LinearAlgebra,
  type Matrix,
  type MatrixSource,
  readBlocks,
  sidesOf,
  type ThinProduct,
} from "../linalg/index.ts";

/** Shares of ‖Δ‖_F², by C = U_kᵀ Δ V_k in the leading k singular vectors before. They add up to 1. */
export interface EnergySplit {
  readonly rank: number;
  /** Σ C_ii²: singular values changed, vectors kept. */
  readonly stretch: number;
  /** ‖C‖_F² − Σ C_ii²: the leading vectors turned among themselves. */
  readonly rotation: number;
  /** All else: what leaves the leading subspaces. */
  readonly outside: number;
  /** `stretch` + `rotation` of a random update: k² / (rows · columns). */
  readonly insideChance: number;
}

/** C = leftᵀ · Δ · right, k × k, in one pass over Δ. */
export function projectUpdate(
  update: MatrixSource,
  { left, right }: Pick<Factors, "left" | "right">,
  algebra: LinearAlgebra,
): Matrix {
  const { isWide } = sidesOf(update);
  const projected = createMatrix(left.columns, right.columns);
  for (const { start, end, matrix } of readBlocks(update)) {
    const part = isWide
      ? algebra.multiply(algebra.multiply(left, matrix, { left: true }), takeRows(right, start, end))
      : algebra.multiply(takeRows(left, start, end), algebra.multiply(matrix, right), { left: true });
    for (let index = 0; index < part.values.length; index++)
      projected.values[index] = (projected.values[index] ?? 0) + (part.values[index] ?? 0);
  }
  return projected;
}

/** The same of an update that is left · right, without multiplying it out. */
export function projectProduct(
  product: ThinProduct,
  { left, right }: Pick<Factors, "left" | "right">,
  algebra: LinearAlgebra,
): Matrix {
  const first = algebra.multiply(left, product.left, { left: true });
  return algebra.multiply(first, algebra.multiply(product.right, right));
}

function takeRows({ columns, values }: Matrix, start: number, end: number): Matrix {
  return createMatrix(end - start, columns, values.subarray(start * columns, end * columns));
}

/** Splits the energy of an update at several ranks. `squares` is ‖Δ‖_F²; the list is empty where that is 0. */
export function splitEnergy(
  projected: Matrix,
  {
    ranks,
    squares,
    numElements,
  }: { readonly ranks: readonly number[]; readonly squares: number; readonly numElements: number },
): readonly EnergySplit[] {
  if (squares === 0) return [];
  return ranks.map((rank) => {
    let [inside, stretch] = [0, 0];
    for (let row = 0; row < rank; row++)
      for (let column = 0; column < rank; column++) {
        const square = (projected.values[row * projected.columns + column] ?? 0) ** 2;
        inside += square;
        if (row === column) stretch += square;
      }
    const shares = { stretch: stretch / squares, rotation: (inside - stretch) / squares };
    const insideChance = rank ** 2 / numElements;
    return { rank, ...shares, outside: Math.max(0, 1 - inside / squares), insideChance };
  });
}

/** New directions among the leading ones: left singular vectors after that resemble none before. */
export interface Intruders {
  /** Leading vectors after that were looked at. */
  readonly numExamined: number;
  /** Those whose largest |cosine| with any vector before is below the threshold. */
  readonly count: number;
  /** Those that the known vectors before cannot decide: the unknown ones might resemble them. */
  readonly numUndecided: number;
  /** Share of the examined vectors' Σσ² that the intruders hold. */
  readonly energy: number;
}

/** Vectors to examine, and the |cosine| below which one is an intruder (arXiv 2410.21228). */
export const numExaminedForIntruders = 10;
const intruderThreshold = 0.5;

/**
 * Counts intruder dimensions (Shuttleworth et al., arXiv 2410.21228). A random direction is one as well, since its
 * cosines are small with all: weigh the count by the energy.
 */
export function countIntruders({ overlap }: BasisPair, after: Factors): Intruders {
  const numExamined = Math.min(numExaminedForIntruders, overlap.columns);
  const knowsAll = overlap.rows >= Math.min(after.rows, after.columns);
  let [count, numUndecided, energy, total] = [0, 0, 0, 0];
  for (let column = 0; column < numExamined; column++) {
    const weight = (after.values[column] ?? 0) ** 2;
    total += weight;
    const { largest, explained } = describeColumn(overlap, column);
    if (largest >= intruderThreshold) continue;
    // What the known vectors leave unexplained bounds the cosine with any unknown one.
    if (knowsAll || 1 - explained < intruderThreshold ** 2) {
      count += 1;
      energy += weight;
    } else numUndecided += 1;
  }
  return { numExamined, count, numUndecided, energy: total === 0 ? 0 : energy / total };
}

/**
 * The numbers of the vectors after that are intruders, when `overlap` holds the cosines with all vectors before (rows) of
 * the leading ones after (columns).
 */
export function findIntruders(overlap: Matrix): readonly number[] {
  const examined = Array.from(
    { length: Math.min(numExaminedForIntruders, overlap.columns) },
    (_, column) => column,
  );
  return examined.filter((column) => describeColumn(overlap, column).largest < intruderThreshold);
}

function describeColumn(
  { rows, columns, values }: Matrix,
  column: number,
): { readonly largest: number; readonly explained: number } {
  let [largest, explained] = [0, 0];
  for (let row = 0; row < rows; row++) {
    const cosine = Math.abs(values[row * columns + column] ?? 0);
    largest = Math.max(largest, cosine);
    explained += cosine * cosine;
  }
  return { largest, explained };
}
