/** How far spliced singular vectors are from being orthonormal: those of two matrices side by side never quite are. */
import type { Factors, LinearAlgebra } from "../linalg/index.ts";
import { selectColumns } from "./columns.ts";
import type { FactorPair } from "./edit.ts";
import { listRanks, type Restore } from "./plan.ts";

/** ‖UᵀU − I‖₂ of the spliced vectors of a side: 0 when orthonormal, 1 when two of them coincide. */
export interface Departure {
  readonly left: number;
  readonly right: number;
}

/**
 * The departure that restoring vectors or directions brings with it: the largest singular value of U_sᵀ U_t, of the
 * source's vectors that are put in and the target's that stay, at full strength. A side whose vectors all stay departs by 0.
 * Undefined for values alone, and where it would take vectors that are not known.
 */
export function measureDeparture(
  operation: Restore,
  { target, source }: FactorPair,
  algebra: LinearAlgebra,
): Departure | undefined {
  const rank = Math.min(target.rows, target.columns);
  if (source === undefined || operation.what === "values" || target.left.columns < rank) return undefined;
  const ranks = listRanks(operation, rank, "the matrix");
  const chosen = new Set(ranks);
  const kept = Array.from({ length: rank }, (_, index) => index).filter((index) => !chosen.has(index));
  const measure = (side: "left" | "right"): number => {
    const isSpliced = operation.what === side || ["vectors", "directions"].includes(operation.what);
    if (!isSpliced || ranks.length === 0 || kept.length === 0) return 0;
    const overlap = algebra.multiply(selectColumns(source[side], ranks), selectColumns(target[side], kept), {
      left: true,
    });
    return algebra.singularValues(overlap)[0] ?? 0;
  };
  return { left: measure("left"), right: measure("right") };
}

/** How far the values of an edited matrix are from those intended, ‖σ − σ_i‖ / ‖σ_i‖, both in descending order. */
export function compareValues(achieved: Factors["values"], intended: Float64Array): number {
  // A negative factor turns vectors round; singular values are sizes.
  const sorted = intended.map(Math.abs).sort((a, b) => b - a);
  let [difference, size] = [0, 0];
  for (const [index, value] of sorted.entries()) {
    difference += ((achieved[index] ?? 0) - value) ** 2;
    size += value ** 2;
  }
  return size === 0 ? 0 : Math.sqrt(difference / size);
}
