/** How far singular subspaces rotated between two factorizations of the same shape, with the bounds that theory gives. */
import {
  type BasisPair,
  type Factors,
  type LinearAlgebra,
  numForcedZeros,
  pairBases,
  principalAngles,
  subspaceError,
} from "../linalg/index.ts";

/** The two sides of a matrix: rows are turned by left singular vectors, columns by right ones. */
export const sides = ["left", "right"] as const;
export type Side = (typeof sides)[number];

/** Two factorizations to compare; every rank asked about is at most their number of vectors. */
export interface FactorPair {
  readonly before: Factors;
  readonly after: Factors;
  /** ‖after − before‖₂, for the bounds. */
  readonly spectral: number;
  /** The matrices are the same to the last bit: every angle is 0. */
  readonly isUnchanged: boolean;
}

/** The spans of the leading `rank` vectors of one side, before and after. */
export interface SubspaceComparison {
  readonly rank: number;
  /** Principal angles, radians in [0, π/2], ascending: sorted angles of the pair of subspaces, not one per vector. */
  readonly angles: Float64Array;
  /** Angles that are 0 because 2 · rank exceeds the dimension; they are left out of all averages. */
  readonly numForced: number;
  /** Mean of the free angles, radians; 0 where none is free. */
  readonly meanAngle: number;
  /** The largest angle, radians. */
  readonly largestAngle: number;
  /** Root mean square of the sines of the free angles, 0 to 1. */
  readonly chordal: number;
  /** ‖U Uᵀ − U' U'ᵀ‖_F = √(2 Σ sin²θ). */
  readonly projection: number;
  /** Mean over the vectors before of the largest |cosine| with a vector after. */
  readonly alignment: number;
  /** No angle can exceed this, radians: asin(‖Δ‖₂ / gap), π/2 where the gap promises nothing (Wedin, 1972). */
  readonly bound: number;
  /** How far rounding may have turned the computed subspaces, radians; π/2 where no gap determines them. */
  readonly error: number;
}

/** Overlaps of all leading vectors of both sides. */
export type Overlaps = { readonly [Name in Side]: BasisPair };

/** Pairs the vectors of both sides. */
export function pairVectors({ before, after }: FactorPair, algebra: LinearAlgebra): Overlaps {
  return {
    left: pairBases(before.left, after.left, algebra),
    right: pairBases(before.right, after.right, algebra),
  };
}

/** Compares the leading `rank` vectors of one side. */
export function compareSubspaces(
  pair: FactorPair,
  { bases, rank }: { readonly bases: BasisPair; readonly rank: number },
  algebra: LinearAlgebra,
): SubspaceComparison {
  const dimension = bases.before.rows;
  const numForced = Math.min(rank, numForcedZeros(dimension, rank));
  const angles = pair.isUnchanged ? new Float64Array(rank) : principalAngles(bases, rank, algebra);
  const free = angles.subarray(numForced);
  const squares = free.reduce((sum, angle) => sum + Math.sin(angle) ** 2, 0);
  const numFree = Math.max(1, free.length);
  return {
    rank,
    angles,
    numForced,
    meanAngle: free.reduce((sum, angle) => sum + angle, 0) / numFree,
    largestAngle: angles.at(-1) ?? 0,
    chordal: Math.sqrt(squares / numFree),
    projection: Math.sqrt(2 * squares),
    alignment: pair.isUnchanged ? 1 : meanAlignment(bases, rank),
    bound: rank >= dimension ? 0 : boundAngle(pair, rank),
    error: pair.isUnchanged ? 0 : Math.min(Math.PI / 2, errorOf(pair, { rank, dimension })),
  };
}

function errorOf(
  { before, after }: FactorPair,
  { rank, dimension }: { rank: number; dimension: number },
): number {
  return rank >= dimension ? 0 : subspaceError(before, rank) + subspaceError(after, rank);
}

function meanAlignment({ overlap }: BasisPair, rank: number): number {
  let sum = 0;
  for (let row = 0; row < rank; row++) {
    const start = row * overlap.columns;
    sum += overlap.values
      .subarray(start, start + rank)
      .reduce((largest, cosine) => Math.max(largest, Math.abs(cosine)), 0);
  }
  return Math.min(1, sum / rank);
}

/** Wedin: sin of every angle ≤ ‖Δ‖₂ / gap, for the wider gap between a value inside and one outside of the other. */
function boundAngle({ before, after, spectral, isUnchanged }: FactorPair, rank: number): number {
  if (isUnchanged) return 0;
  // What comes after the last value is unknown where not all are known.
  if (before.method === "randomized" && rank >= Math.min(before.values.length, after.values.length))
    return Math.PI / 2;
  const gapOf = (inside: Factors, outside: Factors): number =>
    (inside.values[rank - 1] ?? 0) - (outside.values[rank] ?? 0);
  return boundBySine(spectral, Math.max(gapOf(after, before), gapOf(before, after)));
}

function boundBySine(size: number, gap: number): number {
  return gap > size ? Math.asin(size / gap) : Math.PI / 2;
}

/** Each singular vector by itself: meaningful only where its bound is small, for close values mix freely. */
export interface DirectionComparison {
  /** Angle between vector i before and vector i after, up to sign: radians, in the order of the values. */
  readonly angles: { readonly [Name in Side]: Float64Array };
  /** No angle can exceed this: asin(√2 · ‖Δ‖₂ / gap of value i), radians (Wedin, 1972). */
  readonly bounds: Float64Array;
  /** Σ σ² θ / Σ σ² over the vectors compared, σ before: the rotation of what the matrix does most. Radians. */
  readonly weighted: { readonly [Name in Side]: number };
}

/** Compares vector with vector. */
export function compareDirections(pair: FactorPair, overlaps: Overlaps): DirectionComparison {
  const { values } = pair.before;
  const anglesOf = (bases: BasisPair): Float64Array =>
    pair.isUnchanged ? new Float64Array(bases.before.columns) : vectorAngles(bases);
  const angles = { left: anglesOf(overlaps.left), right: anglesOf(overlaps.right) };
  const weigh = (turned: Float64Array): number => {
    let [sum, total] = [0, 0];
    for (const [index, angle] of turned.entries()) {
      const weight = (values[index] ?? 0) ** 2;
      sum += weight * angle;
      total += weight;
    }
    return total === 0 ? 0 : sum / total;
  };
  return {
    angles,
    bounds: angles.left.map((_, index) => boundDirection(pair, index)),
    weighted: { left: weigh(angles.left), right: weigh(angles.right) },
  };
}

/** Angles between vectors of equal index: by the sine, which stays accurate where the cosine is 1. */
function vectorAngles({ before, after, overlap }: BasisPair): Float64Array {
  const { rows, columns } = before;
  const squares = new Float64Array(columns);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const index = row * columns + column;
      const cosine = overlap.values[column * (columns + 1)] ?? 0;
      squares[column] =
        (squares[column] ?? 0) + ((after.values[index] ?? 0) - cosine * (before.values[index] ?? 0)) ** 2;
    }
  return squares.map((square, column) =>
    Math.atan2(Math.sqrt(square), Math.abs(overlap.values[column * (columns + 1)] ?? 0)),
  );
}

function boundDirection({ before, after, spectral, isUnchanged }: FactorPair, index: number): number {
  if (isUnchanged) return 0;
  const isLast = index + 1 >= Math.min(before.values.length, after.values.length);
  if (before.method === "randomized" && isLast) return Math.PI / 2;
  const own = after.values[index] ?? 0;
  const isSquare = before.rows === before.columns;
  const neighbors = [index - 1, index + 1].map((other) => before.values[other]);
  const gaps = neighbors.filter((value) => value !== undefined).map((value) => Math.abs(own - value));
  // The directions beyond the smaller side have the value 0.
  const gap = Math.min(...gaps, isSquare && gaps.length > 0 ? Number.POSITIVE_INFINITY : own);
  return isOrdered(before, { own, index }) ? boundBySine(Math.SQRT2 * spectral, gap) : Math.PI / 2;
}

/** Whether the value lies between the neighbors it had before: only then are they the nearest ones. */
function isOrdered({ values }: Factors, { own, index }: { own: number; index: number }): boolean {
  return own <= (values[index - 1] ?? Number.POSITIVE_INFINITY) && own >= (values[index + 1] ?? 0);
}
