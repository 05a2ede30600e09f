import { describe, expect, it } from "vitest";
import { drawNoise } from "../../../../test/support/drawn-matrix.ts";
import { anyBackend } from "../../../../test/support/every-backend.ts";
import { compareStored, storeMatrix } from "../../../../test/support/stored-matrix.ts";
import { flagShrinking } from "./continuity.ts";
import type { Flag, MatrixComparison } from "./matrix-spectra.ts";
import { collectPair, type PairSpectra } from "./pair-spectra.ts";

const tensor = storeMatrix(drawNoise(5, 4, 1));
const unchanged: MatrixComparison = compareStored({ before: tensor, after: tensor }, [1], anyBackend);

/** A pair whose matrices lie at these distances from their reference. */
function pairAt(before: string, after: string, distances: Readonly<Record<string, number>>): PairSpectra {
  const matrices = Object.entries(distances).map(([name, frobenius]) => ({
    name,
    kind: name,
    ...unchanged,
    update: { ...unchanged.update, frobenius },
    flags: ["undetermined"] as const,
  }));
  return collectPair(
    {
      before,
      after,
      coverage: {
        matched: [],
        unmatched: [],
        numLeftOut: 0,
        total: { numMatrices: 0, numElements: 0, numElementsLeftOut: 0, numEmpty: 0 },
        notes: [],
      },
    },
    matrices,
  );
}

const flagsOf = (pairs: readonly PairSpectra[]): readonly Readonly<Record<string, readonly Flag[]>>[] =>
  pairs.map(({ matrices }) => Object.fromEntries(matrices.map(({ name, flags }) => [name, flags])));

const parents = new Map([
  ["base", undefined],
  ["one", "base"],
  ["two", "one"],
  ["three", "two"],
]);
const [kept, shrank]: readonly (readonly Flag[])[] = [["undetermined"], ["undetermined", "distance-shrank"]];

describe("flagShrinking()", () => {
  it("flags a matrix that lies nearer to its reference than its parent did, by more than a tenth", () => {
    const pairs = [
      pairAt("base", "one", { far: 10, near: 10, same: 10, most: 10 }),
      pairAt("base", "two", { far: 12, near: 8.99, same: 10, most: 9.01 }),
    ];
    expect(flagsOf(flagShrinking(pairs, parents))).toEqual([
      { far: kept, near: kept, same: kept, most: kept },
      { far: kept, near: shrank, same: kept, most: kept },
    ]);
  });

  it("asks the parent alone, in whatever order the pairs come", () => {
    const pairs = [
      pairAt("base", "three", { w: 5 }),
      pairAt("base", "two", { w: 4 }),
      pairAt("base", "one", { w: 10 }),
    ];
    expect(flagsOf(flagShrinking(pairs, parents))).toEqual([{ w: kept }, { w: shrank }, { w: kept }]);
  });

  it("compares distances to the same reference only", () => {
    const pairs = [
      pairAt("base", "one", { w: 10 }),
      pairAt("one", "two", { w: 1 }),
      pairAt("other", "two", { w: 1 }),
    ];
    expect(flagShrinking(pairs, parents)).toEqual(pairs);
  });

  it("flags nothing without a parent, without its pair, or of matrices that only one pair holds", () => {
    const alone = [pairAt("base", "one", { w: 1 }), pairAt("base", "three", { w: 0.1 })];
    expect(flagShrinking(alone, parents)).toEqual(alone);
    const apart = [pairAt("base", "one", { v: 10 }), pairAt("base", "two", { w: 1 })];
    expect(flagShrinking(apart, parents)).toEqual(apart);
    const orphans = [pairAt("base", "one", { w: 10 }), pairAt("base", "two", { w: 1 })];
    expect(flagShrinking(orphans, new Map())).toEqual(orphans);
  });

  it("flags a return to the reference, and nothing that never left it", () => {
    const pairs = [
      pairAt("base", "one", { left: 1, never: 0 }),
      pairAt("base", "two", { left: 0, never: 0 }),
    ];
    expect(flagsOf(flagShrinking(pairs, parents))[1]).toEqual({ left: shrank, never: kept });
  });

  it("leaves what it is given as it is", () => {
    const pairs = [pairAt("base", "one", { w: 10 }), pairAt("base", "two", { w: 1 })];
    const copy = structuredClone(pairs);
    flagShrinking(pairs, parents);
    expect(pairs).toEqual(copy);
  });
});
