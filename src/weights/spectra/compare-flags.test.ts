/** When comparisons raise flags, and what they leave out of randomized factors. */
import { describe, expect, it } from "vitest";
import { drawKnown, drawNoise, subtractNaively } from "../../../test/support/drawn-matrix.ts";
import { scale } from "../../../test/support/drawn-update.ts";
import { anyBackend } from "../../../test/support/every-backend.ts";
import { compareStored, storeMatrix } from "../../../test/support/stored-matrix.ts";
import { createMatrix, factorizeRandomly, type Matrix } from "../linalg/index.ts";
import { compareMatrices } from "./compare.ts";
import type { MatrixComparison } from "./record/matrix-spectra.ts";
import { createStoredSource, type StoredTensor } from "./stored-tensor.ts";

const sides = ["left", "right"] as const;
const rightAngle = Math.PI / 2;

/** Every number anywhere in a value. */
function listNumbers(value: unknown): readonly number[] {
  if (typeof value === "number") return [value];
  if (typeof value !== "object" || value === null) return [];
  return Object.values(value).flatMap(listNumbers);
}

/** Values with clear gaps. */
function fallOff(count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => 4 * 0.8 ** index);
}

describe("flags", () => {
  const flagsOf = (before: Matrix, after: Matrix, dtype: "F32" | "BF16" = "F32"): readonly string[] =>
    compareStored({ before: storeMatrix(before, dtype), after: storeMatrix(after, dtype) }, [4], anyBackend)
      .flags;
  const trained = drawKnown({ rows: 30, columns: 20 }, fallOff(20), 1).matrix;
  const add = (matrix: Matrix, other: Matrix): Matrix => subtractNaively(matrix, scale(other, -1));

  it("are none for an ordinary update", () => {
    expect(flagsOf(trained, add(trained, scale(drawNoise(30, 20, 2), 0.005)))).toEqual([]);
  });

  it("call a matrix unchanged only when all numbers are the same", () => {
    expect(flagsOf(trained, trained)).toEqual(["unchanged"]);
    const nudged = { ...trained, values: trained.values.slice() };
    nudged.values[17]! += 2 ** -20;
    expect(flagsOf(trained, nudged)).not.toContain("unchanged");
  });

  it("call an update replaced that is larger than the weights", () => {
    expect(flagsOf(trained, scale(trained, -0.05))).toContain("replaced");
    expect(flagsOf(trained, scale(trained, 1.9))).not.toContain("replaced");
    expect(flagsOf(trained, scale(trained, 0))).not.toContain("replaced");
    expect(flagsOf(trained, scale(trained, 2))).not.toContain("replaced");
    expect(flagsOf(trained, scale(trained, 2.1))).toContain("replaced");
  });

  it("call an update below rounding that bf16 could not hold", () => {
    // Rounding to 8 bits moves numbers by some 0.0015 of themselves, root mean square.
    expect(flagsOf(trained, scale(trained, 1.001))).toContain("below-rounding");
    expect(flagsOf(trained, scale(trained, 1.002))).not.toContain("below-rounding");
  });

  it("call a subspace undetermined that no gap fixes", () => {
    const diagonal = (values: readonly number[]): Matrix => {
      const matrix = createMatrix(30, 20);
      for (const [index, value] of values.entries()) matrix.values[index * 21] = value;
      return matrix;
    };
    const noise = scale(drawNoise(30, 20, 3), 0.01);
    for (const values of [[9, 8], [9, 8, 7, 6, 6, 5], new Array<number>(20).fill(1)]) {
      const tied = diagonal(values);
      expect(flagsOf(tied, add(tied, noise))).toContain("undetermined");
      expect(flagsOf(add(tied, noise), tied)).toContain("undetermined");
    }
    for (const values of [
      [9, 8, 7, 6, 5],
      [9, 8, 8, 7],
    ]) {
      const clear = diagonal(values);
      expect(flagsOf(clear, add(clear, noise))).not.toContain("undetermined");
    }
  });

  it("call weights random that were never trained, before and after", () => {
    const random = scale(drawNoise(256, 1024, 7), 0.02);
    const spike = drawKnown({ rows: 256, columns: 1024 }, [3, 2.5, 2], 8).matrix;
    const learned = add(random, spike);
    const update = scale(drawNoise(256, 1024, 9), 0.0005);
    for (const dtype of ["F32", "BF16"] as const) {
      expect(flagsOf(random, add(random, update), dtype)).toEqual(["random-before", "random-after"]);
      expect(flagsOf(random, learned, dtype)).toContain("random-before");
      expect(flagsOf(random, learned, dtype)).not.toContain("random-after");
      expect(flagsOf(learned, random, dtype)).toContain("random-after");
      expect(flagsOf(learned, add(learned, update), dtype)).toEqual([]);
    }
  });
});

describe("compareMatrices() of randomized factors", () => {
  const settings = { ranks: [3, 5], randomizedSeed: 1 };
  const run = (before: StoredTensor, after: StoredTensor, numVectors = 5): MatrixComparison => {
    const [first, second] = [before, after].map((tensor) =>
      factorizeRandomly(createStoredSource(tensor), { numVectors, seed: 1 }, anyBackend),
    );
    return compareMatrices(
      { before, after, isUnchanged: false },
      { before: first!, after: second! },
      { settings, algebra: anyBackend },
    );
  };
  const { matrix, left, right } = drawKnown(
    { rows: 60, columns: 40 },
    [8, 7, 6, 5, 4, 3.999, ...new Array<number>(34).fill(0.01)],
    1,
  );
  const before = storeMatrix(matrix);

  it("leaves out what needs all singular values", () => {
    const after = storeMatrix(subtractNaively(matrix, scale(drawNoise(60, 40, 2), 0.002)));
    const comparison = run(before, after);
    expect(comparison.singularValues.method).toEqual({ before: "randomized", after: "randomized" });
    expect(comparison.entropyRank).toEqual({});
    expect(comparison.powerLaw).toEqual({});
    expect(comparison.randomness).toEqual({});
    expect(comparison.nulls.randomUpdate).toBeUndefined();
    expect(comparison.update.entropyRank).toBeUndefined();
    expect(comparison.update.energyRanks).toBeUndefined();
    expect(comparison.update.numericalRank).toBeUndefined();
    for (const number of listNumbers(comparison)) expect(Number.isFinite(number)).toBe(true);
    expect(comparison.principalAngles.left[3]!.at(-1)).toBeLessThan(0.05);
  });

  it("promises nothing about the last vectors, whose neighbors it does not know", () => {
    // A small update that exchanges vectors 5 and 6, the second of which is not among the factors.
    const after = storeMatrix(exchange(matrix, { left, right, size: 0.002 }));
    const { directions, subspaces, principalAngles } = run(before, after);
    for (const side of sides) {
      expect(principalAngles[side][5]!.at(-1)).toBeGreaterThan(0.5);
      expect(directions[side][4]).toBeGreaterThan(0.5);
      expect(directions[side][4]).toBeLessThanOrEqual(directions.bounds[4]!);
      const [, last] = subspaces[side];
      expect(last!.bound).toBe(rightAngle);
      expect(last!.error).toBe(rightAngle);
    }
  });

  /** Takes `size` from the fifth singular value, so that it becomes the sixth. */
  function exchange(
    { rows, columns, values }: Matrix,
    triplets: { readonly left: Matrix; readonly right: Matrix; readonly size: number },
  ): Matrix {
    const moved = createMatrix(rows, columns, values.slice());
    const [u, v] = [triplets.left, triplets.right];
    for (let i = 0; i < rows; i++)
      for (let j = 0; j < columns; j++)
        moved.values[i * columns + j]! -=
          triplets.size * u.values[i * u.columns + 4]! * v.values[j * v.columns + 4]!;
    return moved;
  }
});
