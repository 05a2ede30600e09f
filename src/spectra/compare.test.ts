import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { drawKnown, drawNoise, measureNorm, subtractNaively } from "../../test/support/drawn-matrix.ts";
import { anyBackend, describeOnEveryBackend } from "../../test/support/every-backend.ts";
import {
  compareStored,
  factorizeStored,
  readStored,
  storeMatrix,
  storeTensor,
} from "../../test/support/stored-matrix.ts";
import { createRandom } from "../base/index.ts";
import { createMatrix, type Factors, factorizeRandomly, type Matrix } from "../linalg/index.ts";
import { chooseHeadlineRank, clipRanks, compareMatrices, compareVectors } from "./compare.ts";
import type { MatrixComparison } from "./matrix-spectra.ts";
import { createStoredSource, type StoredTensor } from "./stored-tensor.ts";

const sides = ["left", "right"] as const;
const rightAngle = Math.PI / 2;

/** What changed between two matrices. */
type Update = (before: Matrix, size: number, seed: number) => Matrix;

const updates: { readonly [name: string]: Update } = {
  noise: ({ rows, columns }, size, seed) => scale(drawNoise(rows, columns, seed), size),
  "one element": ({ rows, columns }, size, seed) => {
    const update = createMatrix(rows, columns);
    update.values[seed % update.values.length] = size;
    return update;
  },
  "low rank": ({ rows, columns }, size, seed) =>
    scale(drawKnown({ rows, columns }, [1], seed).matrix, size * Math.sqrt(rows * columns)),
  "a larger scale": (before, size) => scale(before, size),
  "another sign": (before) => scale(before, -2),
  "rows in another order": (before, _, seed) => subtractNaively(shuffle(before, seed).byRows, before),
};

function scale({ rows, columns, values }: Matrix, factor: number): Matrix {
  return createMatrix(
    rows,
    columns,
    values.map((value) => value * factor),
  );
}

/** The matrix with its rows, its columns, or both in a random order with random signs. */
function shuffle(
  { rows, columns, values }: Matrix,
  seed: number,
): { readonly byRows: Matrix; readonly both: Matrix } {
  const random = createRandom(seed, "order");
  const draw = (count: number): readonly (readonly [number, number])[] =>
    random.shuffle([...Array(count).keys()]).map((index) => [index, random.pick([-1, 1])]);
  const [rowOrder, columnOrder] = [draw(rows), draw(columns)];
  const take = (columnPlaces: readonly (readonly [number, number])[]): Matrix =>
    createMatrix(
      rows,
      columns,
      Float64Array.from(
        rowOrder.flatMap(([row, rowSign]) =>
          columnPlaces.map(([column, columnSign]) => rowSign * columnSign * values[row * columns + column]!),
        ),
      ),
    );
  return { byRows: take([...Array(columns).keys()].map((column) => [column, 1])), both: take(columnOrder) };
}

interface Draw {
  readonly before: StoredTensor;
  readonly after: StoredTensor;
  readonly update: string;
}

/** Matrices of any small shape, spectrum and format, and any update of relative size 1e-6 to 1. */
const draws: fc.Arbitrary<Draw> = fc
  .record({
    rows: fc.integer({ min: 1, max: 24 }),
    columns: fc.integer({ min: 1, max: 24 }),
    falloff: fc.constantFrom(0, 0.3, 1, 3),
    rank: fc.oneof(fc.constant(24), fc.integer({ min: 1, max: 24 })),
    size: fc.double({ min: -6, max: 0, noNaN: true }).map((log) => 10 ** log),
    update: fc.constantFrom(...Object.keys(updates)),
    formats: fc.tuple(fc.constantFrom("F32", "F16", "BF16"), fc.constantFrom("F32", "F16", "BF16")),
    seed: fc.nat(10_000),
  })
  .map(({ rows, columns, falloff, rank, size, update, formats, seed }) => {
    const values = Array.from(
      { length: Math.min(rows, columns, rank) },
      (_, index) => (index + 1) ** -falloff,
    );
    const { matrix } = drawKnown({ rows, columns }, values, seed);
    const change = updates[update]!(matrix, size / Math.sqrt(rows * columns), seed);
    const moved = createMatrix(
      rows,
      columns,
      matrix.values.map((value, index) => value + change.values[index]!),
    );
    const [first, second] = formats as ["F32" | "F16" | "BF16", "F32" | "F16" | "BF16"];
    return { before: storeMatrix(matrix, first), after: storeMatrix(moved, second), update };
  });

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
      fc.property(draws, (pair) => {
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

function expectValues(comparison: MatrixComparison, { before, after }: Draw): void {
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

function expectUpdate({ update, shape, sparsity, elements }: MatrixComparison, pair: Draw): void {
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
      fc.property(draws, ({ before }) => {
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

  it("says the same of both in another order, with other signs", () => {
    fc.assert(
      fc.property(draws, fc.nat(1000), ({ before, after }, seed) => {
        const move = (tensor: StoredTensor): StoredTensor =>
          storeMatrix(shuffle(readStored(tensor), seed).both);
        expectAlike(
          compare({ before: storeMatrix(readStored(before)), after: storeMatrix(readStored(after)) }),
          compare({ before: move(before), after: move(after) }),
        );
      }),
      { numRuns: 40 },
    );
  });

  it("says the same of both rotated on both sides", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 5 }),
        fc.nat(1000),
        (m, n, seed) => {
          const random = createRandom(seed, "coarse");
          // Few bits a number: the rotations by halves are then exact in 32-bit floats.
          const draw = (step: number): Matrix =>
            createMatrix(
              4 * m,
              4 * n,
              Float64Array.from({ length: 16 * m * n }, () => random.integer(-500, 500) * step),
            );
          const first = draw(1 / 64);
          const step = draw(1 / 4096);
          const second = subtractNaively(first, step);
          expectAlike(
            compare({ before: storeMatrix(first), after: storeMatrix(second) }),
            compare({ before: storeMatrix(rotateBoth(first)), after: storeMatrix(rotateBoth(second)) }),
          );
        },
      ),
      { numRuns: 25 },
    );
  });

  it("says the same at another scale", () => {
    fc.assert(
      fc.property(draws, fc.constantFrom(2 ** -20, 2 ** 20), ({ before, after }, factor) => {
        const move = (tensor: StoredTensor): StoredTensor => storeMatrix(scale(readStored(tensor), factor));
        const [one, other] = [
          compare({ before: storeMatrix(readStored(before)), after: storeMatrix(readStored(after)) }),
          compare({ before: move(before), after: move(after) }),
        ];
        expectAlike(one, other, factor);
      }),
      { numRuns: 25 },
    );
  });

  it("turns back by as much as it turned", () => {
    fc.assert(
      fc.property(draws, ({ before, after }) => {
        const [there, back] = [compare({ before, after }), compare({ before: after, after: before })];
        for (const side of sides)
          for (const [index, subspace] of there.subspaces[side].entries()) {
            const other = back.subspaces[side][index]!;
            const slack = subspace.error + other.error + 1e-12;
            expect(Math.abs(subspace.largestAngle - other.largestAngle)).toBeLessThanOrEqual(slack);
          }
        expect(back.update.frobenius).toBe(there.update.frobenius);
      }),
      { numRuns: 30 },
    );
  });

  it("tells rotations from 1e-6 rad on, far below what an arccosine in 32-bit floats could", () => {
    const before = createMatrix(8, 8);
    for (let index = 0; index < 8; index++) before.values[index * 9] = 2 ** (3 - index);
    for (const angle of [1e-6, 1e-4, 1e-2, 1]) {
      const after = { ...before, values: before.values.slice() };
      // The first left vector turns towards the fifth row.
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

/** Rows and columns rotated by an orthogonal matrix of halves, four by four. */
function rotateBoth({ rows, columns, values }: Matrix): Matrix {
  const signs = [1, 1, 1, 1, 1, -1, 1, -1, 1, 1, -1, -1, 1, -1, -1, 1];
  const half = (row: number, inner: number): number =>
    row >> 2 === inner >> 2 ? signs[(row & 3) * 4 + (inner & 3)]! / 2 : 0;
  const rotated = createMatrix(rows, columns);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++)
      for (let k = i - (i & 3); k < i - (i & 3) + 4; k++)
        for (let l = j - (j & 3); l < j - (j & 3) + 4; l++)
          rotated.values[i * columns + j]! += half(i, k) * half(j, l) * values[k * columns + l]!;
  return rotated;
}

/** That two comparisons agree where rounding leaves anything to agree on; the second at `factor` times the scale. */
function expectAlike(one: MatrixComparison, other: MatrixComparison, factor = 1): void {
  const size = one.singularValues.before[0]! + one.singularValues.after[0]!;
  for (const [index, value] of one.singularValues.after.entries())
    expect(Math.abs(other.singularValues.after[index]! / factor - value)).toBeLessThanOrEqual(1e-13 * size);
  expect(other.update.frobenius / factor / (one.update.frobenius || 1)).toBeCloseTo(
    Number(one.update.frobenius > 0),
    12,
  );
  for (const side of sides)
    for (const [position, subspace] of one.subspaces[side].entries()) {
      const slack = subspace.error + other.subspaces[side][position]!.error + 1e-12;
      const angles = other.principalAngles[side][subspace.rank]!;
      for (const [index, angle] of one.principalAngles[side][subspace.rank]!.entries())
        expect(Math.abs(angles[index]! - angle)).toBeLessThanOrEqual(slack);
      if (subspace.error < 1e-9 && subspace.chance !== undefined)
        expect(other.subspaces[side][position]!.chance).toBeCloseTo(subspace.chance, 9);
    }
  expect(other.flags).toEqual(one.flags);
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

describe("compareMatrices() of randomised factors", () => {
  const settings = { ranks: [3, 5], randomisedSeed: 1 };
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
    expect(comparison.singularValues.method).toEqual({ before: "randomised", after: "randomised" });
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

  it("promises nothing about the last vectors, whose neighbours it does not know", () => {
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
