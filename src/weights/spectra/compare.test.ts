import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { drawKnown, drawNoise, measureNorm, subtractNaively } from "../../../test/support/drawn-matrix.ts";
import { type DrawnUpdate, drawnUpdates, scale } from "../../../test/support/drawn-update.ts";
import { anyBackend, describeOnEveryBackend } from "../../../test/support/every-backend.ts";
import {
  compareStored,
  factorizeStored,
  readStored,
  storeMatrix,
  storeTensor,
} from "../../../test/support/stored-matrix.ts";
import { createMatrix, type Factors, type Matrix } from "../linalg/index.ts";
import { chooseHeadlineRank, clipRanks, compareMatrices, compareVectors } from "./compare.ts";
import type { MatrixComparison } from "./record/matrix-spectra.ts";
import type { StoredTensor } from "./stored-tensor.ts";

const sides = ["left", "right"] as const;
const rightAngle = Math.PI / 2;

const ranks = [1, 2, 5, 8, 16, 100];
const compare = (pair: { readonly before: StoredTensor; readonly after: StoredTensor }): MatrixComparison =>
  compareStored(pair, ranks, anyBackend);

/** Every number anywhere in a value. */
function listNumbers(value: unknown): readonly number[] {
  if (typeof value === "number") return [value];
  if (typeof value !== "object" || value === null) return [];
  return Object.values(value).flatMap(listNumbers);
}

/** How much rounding may turn vector `index`: a bound on the backward error over the gap around its value. */
function roundingOf(
  { singularValues: { before, after }, shape: [rows, columns] }: MatrixComparison,
  index: number,
): number {
  const gaps = [before[index - 1], before[index + 1], after[index - 1], after[index + 1]]
    .filter((value) => value !== undefined)
    .flatMap((value) => [Math.abs(after[index]! - value), Math.abs(before[index]! - value)]);
  const gap = Math.min(...gaps, ...(rows === columns ? [] : [after[index]!, before[index]!]));
  return gap === 0 ? rightAngle : (1e-13 * Math.max(before[0]!, after[0]!)) / gap;
}

describeOnEveryBackend("compareMatrices()", (algebra) => {
  it("keeps what mathematics promises, whatever the matrices", () => {
    fc.assert(
      fc.property(drawnUpdates, (pair) => {
        const comparison = compareStored(pair, ranks, algebra);
        expectValues(comparison, pair);
        expectAngles(comparison);
        expectUpdate(comparison, pair);
        expectDirections(comparison);
      }),
      { numRuns: 60 },
    );
  });
});

function expectValues(comparison: MatrixComparison, { before, after }: DrawnUpdate): void {
  const { singularValues, update, elements, shape } = comparison;
  const largest = Math.max(singularValues.before[0]!, singularValues.after[0]!);
  const slack = 1e-13 * largest + singularValues.error.before + singularValues.error.after;
  // Weyl, and Hoffman and Wielandt.
  const shifts = singularValues.before.map((value, index) => Math.abs(singularValues.after[index]! - value));
  for (const shift of shifts) expect(shift).toBeLessThanOrEqual(update.spectral + slack);
  expect(Math.hypot(...shifts)).toBeLessThanOrEqual(update.frobenius + shape[0] * slack);
  const [first, second] = [readStored(before), readStored(after)];
  const norm = measureNorm(first);
  expect(elements.squares.before).toBeCloseTo(norm ** 2, 10);
  expect(elements.squares.after).toBeCloseTo(measureNorm(second) ** 2, 10);
  expect(Math.hypot(...singularValues.before)).toBeCloseTo(norm, 10);
  if (norm > 0) {
    expect(comparison.spectralShift).toBeCloseTo(Math.hypot(...shifts) / norm, 10);
    expect(update.relative).toBeCloseTo(measureNorm(subtractNaively(second, first)) / norm, 10);
    const { before: stable = Number.NaN } = comparison.stableRank;
    expect(stable).toBeGreaterThan(1 - 1e-12);
    expect(stable).toBeLessThan(Math.min(...shape) + 1e-9);
    const { before: entropy = Number.NaN } = comparison.entropyRank;
    expect(entropy).toBeGreaterThan(1 - 1e-12);
    expect(entropy).toBeLessThan(Math.min(...shape) + 1e-9);
    expect(comparison.relativeChange!.mean).toBeLessThanOrEqual(comparison.relativeChange!.largest);
  }
  for (const number of listNumbers(comparison)) expect(Number.isFinite(number)).toBe(true);
}

function expectAngles({ principalAngles, subspaces, shape, nulls }: MatrixComparison): void {
  const [rows, columns] = shape;
  for (const side of sides) {
    const dimension = side === "left" ? rows : columns;
    expect(subspaces[side].map(({ rank }) => rank)).toEqual([...clipRanks(ranks, { rows, columns })]);
    for (const subspace of subspaces[side]) {
      const { rank, numForced, chordal, projection, alignment, bound, error } = subspace;
      const angles = principalAngles[side][rank]!;
      expect(angles.length).toBe(rank);
      for (const [index, angle] of angles.entries()) {
        expect(angle).toBeGreaterThanOrEqual(angles[index - 1] ?? 0);
        expect(angle).toBeLessThanOrEqual(rightAngle);
      }
      expect(numForced).toBe(Math.max(0, 2 * rank - dimension));
      const free = angles.slice(numForced);
      expect(angles.slice(0, numForced).every((angle) => angle === 0)).toBe(true);
      // Wedin, up to what rounding may have done.
      expect(subspace.largestAngle).toBe(angles.at(-1));
      expect(subspace.largestAngle).toBeLessThanOrEqual(bound + error + 1e-12);
      expect(bound).toBeLessThanOrEqual(rightAngle);
      expect(error).toBeLessThanOrEqual(rightAngle);
      const squares = free.reduce((sum, angle) => sum + Math.sin(angle) ** 2, 0);
      expect(chordal).toBeCloseTo(free.length === 0 ? 0 : Math.sqrt(squares / free.length), 12);
      expect(projection).toBeCloseTo(Math.sqrt(2 * squares), 12);
      expect(subspace.meanAngle).toBeLessThanOrEqual(subspace.largestAngle + 1e-15);
      expect(alignment).toBeGreaterThanOrEqual(0);
      expect(alignment).toBeLessThanOrEqual(1);
      const chance = nulls.randomUpdate?.[side][rank];
      expect(subspace.chance).toBe(chance);
      if (chance !== undefined && chance > 0) expect(subspace.beyondChance).toBe(chordal / chance);
    }
  }
}

function expectUpdate({ update, shape, sparsity, elements }: MatrixComparison, pair: DrawnUpdate): void {
  const difference = subtractNaively(readStored(pair.after), readStored(pair.before));
  const norm = measureNorm(difference);
  expect(update.frobenius).toBeCloseTo(norm, 10);
  expect(Math.hypot(...update.singularValues)).toBeCloseTo(norm, 6);
  expect(update.spectral).toBeLessThanOrEqual(update.frobenius * (1 + 1e-12));
  expect(update.spectral * Math.sqrt(Math.min(...shape))).toBeGreaterThanOrEqual(norm * (1 - 1e-6));
  expect(update.energyByRank.length).toBe(norm === 0 ? 0 : clipRanks(ranks, toSize(shape)).length);
  let inside = 0;
  for (const { stretch, rotation, outside } of update.energyByRank) {
    for (const share of [stretch, rotation, outside]) {
      expect(share).toBeGreaterThanOrEqual(0);
      expect(share).toBeLessThanOrEqual(1 + 1e-12);
    }
    expect(stretch + rotation + outside).toBeCloseTo(1, 11);
    expect(stretch + rotation).toBeGreaterThanOrEqual(inside - 1e-12);
    inside = stretch + rotation;
  }
  const { count, numUndecided, numExamined } = update.intruders;
  expect(numUndecided).toBe(0);
  expect(count).toBeLessThanOrEqual(numExamined);
  expect(numExamined).toBe(Math.min(10, ...shape));
  const numSame = difference.values.filter((value) => value === 0).length;
  expect(elements.counts.bitwise).toBe(numSame);
  expect(sparsity.bitwise).toBe(numSame / difference.values.length);
}

function expectDirections(comparison: MatrixComparison): void {
  const { directions, shape } = comparison;
  for (const side of sides) {
    expect(directions[side].length).toBe(Math.min(...shape));
    for (const [index, angle] of directions[side].entries()) {
      expect(angle).toBeGreaterThanOrEqual(0);
      expect(angle).toBeLessThanOrEqual(rightAngle);
      expect(angle).toBeLessThanOrEqual(directions.bounds[index]! + roundingOf(comparison, index));
    }
    expect(directions.weighted[side]).toBeLessThanOrEqual(Math.max(...directions[side]) + 1e-15);
  }
}

const toSize = ([rows, columns]: readonly [number, number]): { rows: number; columns: number } => ({
  rows,
  columns,
});

describe("compareMatrices()", () => {
  it("finds nothing between a matrix and itself", () => {
    fc.assert(
      fc.property(drawnUpdates, ({ before }) => {
        const comparison = compare({
          before,
          after: { ...before, bytes: before.bytes.subarray(0, before.bytes.length) },
        });
        const { update, directions, sparsity, nulls } = comparison;
        expect(comparison.flags).toEqual(["unchanged"]);
        expect(comparison.spectralShift).toBe(0);
        expect(comparison.relativeChange).toEqual({ mean: 0, largest: 0 });
        expect(comparison.singularValues.after).toEqual(comparison.singularValues.before);
        expect(update).toMatchObject({ frobenius: 0, relative: 0, spectral: 0, energyByRank: [] });
        expect(update.energy).toBeUndefined();
        expect(Math.max(...update.singularValues)).toBe(0);
        expect(update.intruders.count).toBe(0);
        expect(nulls.randomUpdate).toBeUndefined();
        for (const side of sides) {
          expect(new Set(Object.values(comparison.principalAngles[side]).flat())).toEqual(new Set([0]));
          for (const subspace of comparison.subspaces[side])
            expect(subspace).toMatchObject({
              ...{ meanAngle: 0, largestAngle: 0, chordal: 0, projection: 0 },
              ...{ alignment: 1, bound: 0, error: 0 },
            });
          expect(new Set(directions[side])).toEqual(new Set([0]));
          expect(directions.weighted[side]).toBe(0);
        }
        expect(new Set(directions.bounds)).toEqual(new Set([0]));
        expect(new Set(listNumbers(sparsity))).toEqual(new Set([1]));
      }),
      { numRuns: 30 },
    );
  });

  it("tells rotations from 1e-6 rad on, far below what an arccosine in 32-bit floats could", () => {
    const before = createMatrix(8, 8);
    for (let index = 0; index < 8; index++) before.values[index * 9] = 2 ** (3 - index);
    for (const angle of [1e-6, 1e-4, 1e-2, 1]) {
      const after = { ...before, values: before.values.slice() };
      // The first left vector turns toward the fifth row.
      after.values[0] = 8 * Math.cos(angle);
      after.values[4 * 8] = 8 * Math.sin(angle);
      const { principalAngles, directions } = compare({
        before: storeMatrix(before),
        after: storeMatrix(after),
      });
      expect(principalAngles.left[1]![0]! / angle).toBeCloseTo(1, 2);
      expect(directions.left[0]).toBeCloseTo(principalAngles.left[1]![0]!, 12);
    }
  });

  it("splits a pure stretch, a rotation among the leading vectors and a step outside", () => {
    const before = createMatrix(6, 5);
    for (let index = 0; index < 5; index++) before.values[index * 6] = 10 - index;
    const split = (row: number, column: number): unknown => {
      const after = { ...before, values: before.values.slice() };
      after.values[row * 5 + column]! += 0.125;
      const [found] = compareStored(
        { before: storeMatrix(before), after: storeMatrix(after) },
        [2],
        anyBackend,
      ).update.energyByRank;
      return found;
    };
    expect(split(1, 1)).toEqual({ rank: 2, insideChance: 4 / 30, stretch: 1, rotation: 0, outside: 0 });
    expect(split(0, 1)).toEqual({ rank: 2, insideChance: 4 / 30, stretch: 0, rotation: 1, outside: 0 });
    expect(split(0, 2)).toEqual({ rank: 2, insideChance: 4 / 30, stretch: 0, rotation: 0, outside: 1 });
    expect(split(5, 0)).toEqual({ rank: 2, insideChance: 4 / 30, stretch: 0, rotation: 0, outside: 1 });
  });

  it("says nothing that is not a number of a zero matrix", () => {
    const zero = storeMatrix(createMatrix(7, 5));
    const other = storeMatrix(drawNoise(7, 5, 1));
    for (const pair of [
      { before: zero, after: other },
      { before: other, after: zero },
      { before: zero, after: zero },
    ]) {
      const comparison = compare(pair);
      for (const number of listNumbers(comparison)) expect(Number.isFinite(number)).toBe(true);
    }
    const { flags, spectralShift, update, stableRank, entropyRank } = compare({ before: zero, after: other });
    expect(flags).toContain("replaced");
    expect(spectralShift).toBeUndefined();
    expect(update.relative).toBeUndefined();
    expect(Object.keys(stableRank)).toEqual(["after"]);
    expect(Object.keys(entropyRank)).toEqual(["after"]);
  });

  it("is made of plain data that JSON carries without loss", () => {
    const comparison = compare({
      before: storeMatrix(drawNoise(9, 6, 1)),
      after: storeMatrix(drawNoise(9, 6, 2)),
    });
    expect(JSON.parse(JSON.stringify(comparison))).toEqual(comparison);
  });

  it("does not depend on how many more vectors one side's factors hold than it was asked for", () => {
    const { matrix } = drawKnown({ rows: 20, columns: 14 }, fallOff(14), 3);
    const before = storeMatrix(matrix);
    const after = storeMatrix(subtractNaively(matrix, scale(drawNoise(20, 14, 4), 0.02)));
    const factors = {
      before: factorizeStored(before, anyBackend),
      after: factorizeStored(after, anyBackend),
    };
    const run = (numBefore: number, numAfter: number): MatrixComparison =>
      compareMatrices(
        { before, after, isUnchanged: false },
        { before: keepVectors(factors.before, numBefore), after: keepVectors(factors.after, numAfter) },
        { settings: { ranks: [2, 4] }, algebra: anyBackend },
      );
    const expected = run(4, 4);
    for (const found of [run(14, 4), run(4, 14)]) {
      expect(found.principalAngles).toEqual(expected.principalAngles);
      for (const side of sides)
        for (const index of [0, 1, 2, 3])
          expect(found.directions[side][index]).toBeCloseTo(expected.directions[side][index]!, 12);
      for (const number of listNumbers(found)) expect(Number.isFinite(number)).toBe(true);
    }
  });
});

/** Values with clear gaps. */
function fallOff(count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => 4 * 0.8 ** index);
}

function keepVectors(factors: Factors, count: number): Factors {
  const keep = ({ rows, columns, values }: Matrix): Matrix =>
    createMatrix(
      rows,
      count,
      values.filter((_, index) => index % columns < count),
    );
  return { ...factors, left: keep(factors.left), right: keep(factors.right) };
}

describe("compareVectors()", () => {
  it("compares tensors of any number of axes by their elements", () => {
    const before = storeTensor([2, 1, 3], [1, -2, 3, 0.5, 0, 1]);
    const after = storeTensor([2, 1, 3], [1, -2, 3.5, 0.5, 0, -1], "BF16");
    const comparison = compareVectors({ before, after, isUnchanged: false });
    expect(comparison).toMatchObject({
      shape: [2, 1, 3],
      dtype: { before: "F32", after: "BF16" },
      flags: [],
    });
    expect(comparison.update.frobenius).toBeCloseTo(Math.sqrt(4.25), 12);
    expect(comparison.update.relative).toBeCloseTo(Math.sqrt(4.25 / 15.25), 12);
    expect(comparison.sparsity.bitwise).toBeCloseTo(4 / 6, 12);
  });

  it("flags what did not change, also from zeros and in another format", () => {
    const tensor = storeTensor([4], [1, 2, 3, 4]);
    expect(compareVectors({ before: tensor, after: tensor, isUnchanged: true }).flags).toEqual(["unchanged"]);
    const same = storeTensor([4], [1, 2, 3, 4], "BF16");
    expect(compareVectors({ before: tensor, after: same, isUnchanged: false }).flags).toEqual(["unchanged"]);
    const zero = storeTensor([4], [0, 0, 0, 0]);
    expect(
      compareVectors({ before: zero, after: tensor, isUnchanged: false }).update.relative,
    ).toBeUndefined();
  });
});

describe("clipRanks()", () => {
  it("keeps ranks that a matrix has, each once, ascending", () => {
    expect(clipRanks([8, 32, 128], { rows: 40, columns: 90 })).toEqual([8, 32, 40]);
    expect(clipRanks([128, 8], { rows: 4, columns: 9 })).toEqual([4]);
    expect(clipRanks([1, 2], { rows: 1, columns: 9 })).toEqual([1]);
  });
});

describe("chooseHeadlineRank()", () => {
  it("is the largest rank that forces no angle to 0, or else the smallest", () => {
    expect(chooseHeadlineRank([8, 32, 128], { rows: 64, columns: 300 })).toBe(32);
    expect(chooseHeadlineRank([8, 32, 128], { rows: 63, columns: 300 })).toBe(8);
    expect(chooseHeadlineRank([8, 32], { rows: 15, columns: 300 })).toBe(8);
    expect(chooseHeadlineRank([], { rows: 15, columns: 300 })).toBeUndefined();
  });
});
