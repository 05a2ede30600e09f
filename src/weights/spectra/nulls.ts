/** What chance would give in place of the measured rotations: a random update, random subspaces, rounding to bf16. */
import { createRandom } from "../../base/core/index.ts";
import { describeRandomSubspaces, expectRotation } from "../chance/index.ts";
import {
  createMatrix,
  type Factors,
  type LinearAlgebra,
  type MatrixSource,
  readWhole,
  sumOfSquares,
} from "../linalg/index.ts";
import type { BothSides, ByRank, ElementComparison, Nulls } from "./record/matrix-spectra.ts";
import { spectralShift } from "./spectrum.ts";
import { type Side, sides } from "./subspace.ts";

/** Matrices up to this many elements are small enough for a random update to be drawn and tried. */
const mostDrawn = 2 ** 18;

/** What a spectral shift of a random update is drawn from. */
export interface DrawRequest {
  readonly before: Factors;
  readonly source: MatrixSource;
  /** Frobenius norm of the update. */
  readonly frobenius: number;
}

/**
 * ‖Δσ‖ / ‖σ‖ of a random update of that norm: i.i.d. normal elements, one draw of a fixed seed (the many values of a
 * spectrum average over it). `undefined` for no update and for matrices that are too large for a trial.
 */
export function drawSpectralShift(
  { before, source, frobenius }: DrawRequest,
  algebra: LinearAlgebra,
): number | undefined {
  const { rows, columns } = source;
  if (frobenius === 0 || rows * columns > mostDrawn || before.method === "randomized") return undefined;
  const matrix = readWhole(source);
  const random = createRandom(1, "random update", rows, columns);
  const noise = Float64Array.from({ length: rows * columns }, () => random.normal());
  const scale = frobenius / Math.sqrt(sumOfSquares(noise));
  const moved = matrix.values.map((value, index) => value + scale * (noise[index] ?? 0));
  return spectralShift(before.values, algebra.singularValues(createMatrix(rows, columns, moved)));
}

/** What the nulls depend on. */
export interface NullRequest {
  readonly before: Factors;
  readonly elements: Pick<ElementComparison, "updateSquares" | "roundingSquares">;
  readonly ranks: readonly number[];
}

/** The nulls of one matrix, as root mean square sines over the free angles. */
export function computeNulls({ before, elements, ranks }: NullRequest): Nulls {
  const rounding = Math.sqrt(elements.roundingSquares);
  const randomUpdate = expectChordal(before, Math.sqrt(elements.updateSquares), ranks);
  const bf16Rounding = expectChordal(before, rounding, ranks);
  return {
    ...(randomUpdate !== undefined && { randomUpdate }),
    randomSubspaces: bySide((side) => {
      const dimension = dimensionOf(before, side);
      return byRank(ranks, (rank) => {
        const { meanSineSquared, smallestAngle } = describeRandomSubspaces({ dimension, rank });
        return { chordal: toChordal(meanSineSquared, { dimension, rank }), smallestAngle };
      });
    }),
    ...(bf16Rounding !== undefined && { bf16Rounding: { frobenius: rounding, ...bf16Rounding } }),
  };
}

/** Expected `chordal` of a random update of that norm; `undefined` where not all singular values are known. */
function expectChordal(
  { rows, columns, values, method }: Factors,
  frobenius: number,
  ranks: readonly number[],
): BothSides<ByRank<number>> | undefined {
  if (frobenius === 0 || values[0] === 0 || method === "randomized") return undefined;
  const expected = expectRotation({ rows, columns, values, frobenius }, ranks);
  return bySide((side) =>
    Object.fromEntries(
      expected.map((rotation) => [
        String(rotation.rank),
        toChordal(rotation[side], { dimension: dimensionOf({ rows, columns }, side), rank: rotation.rank }),
      ]),
    ),
  );
}

/** Means over all angles count the forced zeros; `chordal` is over the others. */
function toChordal(
  meanSineSquared: number,
  { dimension, rank }: { readonly dimension: number; readonly rank: number },
): number {
  const numFree = Math.min(rank, dimension - rank);
  return numFree <= 0 ? 0 : Math.sqrt(Math.min(1, (meanSineSquared * rank) / numFree));
}

function dimensionOf({ rows, columns }: Pick<Factors, "rows" | "columns">, side: Side): number {
  return side === "left" ? rows : columns;
}

function bySide<Value>(compute: (side: Side) => Value): BothSides<Value> {
  const [left, right] = sides;
  return { left: compute(left), right: compute(right) };
}

function byRank<Value>(ranks: readonly number[], compute: (rank: number) => Value): ByRank<Value> {
  return Object.fromEntries(ranks.map((rank) => [String(rank), compute(rank)]));
}
