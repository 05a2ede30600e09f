import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  drawBasis,
  drawNoise,
  measureNorm,
  multiplyNaively,
  sliceColumns,
  subtractNaively,
  turnOver,
} from "../../../test/support/drawn-matrix.ts";
import { anyBackend, describeOnEveryBackend } from "../../../test/support/every-backend.ts";
import {
  type BasisPair,
  createDenseSource,
  createMatrix,
  type Factors,
  type Matrix,
  pairBases,
} from "../linalg/index.ts";
import { countIntruders, numExaminedForIntruders, projectUpdate, splitEnergy } from "./update.ts";

describeOnEveryBackend("projectUpdate()", (algebra) => {
  const expectProjection = (update: Matrix, numVectors: number, seed: number): void => {
    const left = drawBasis(update.rows, numVectors, seed, "left");
    const right = drawBasis(update.columns, numVectors, seed, "right");
    const found = projectUpdate(createDenseSource(update), { left, right }, algebra);
    const expected = multiplyNaively(multiplyNaively(turnOver(left), update), right);
    expect([found.rows, found.columns]).toEqual([numVectors, numVectors]);
    expect(measureNorm(subtractNaively(found, expected))).toBeLessThan(1e-13 * measureNorm(update));
  };

  it("is leftᵀ Δ right, for any shape", () => {
    const shapes = fc.tuple(fc.integer({ min: 1, max: 25 }), fc.integer({ min: 1, max: 25 }), fc.nat(1000));
    fc.assert(
      fc.property(shapes, ([rows, columns, seed]) => {
        for (const count of new Set([1, Math.min(rows, columns)]))
          expectProjection(drawNoise(rows, columns, seed), count, seed);
      }),
    );
  });

  it.each([
    [20, 220_000],
    [220_000, 20],
  ])("adds up the blocks of a large update: %i × %i", (rows, columns) => {
    const update = createMatrix(rows, columns);
    for (let index = 0; index < update.values.length; index++)
      update.values[index] = ((index * 7919) % 10_007) / 10_007 - 0.5;
    expectProjection(update, 2, 1);
  });
});

describe("splitEnergy()", () => {
  it("adds up to 1 at every rank, and holds more inside at larger ones", () => {
    const draws = fc.record({
      rows: fc.integer({ min: 1, max: 15 }),
      columns: fc.integer({ min: 1, max: 15 }),
      seed: fc.nat(1000),
    });
    fc.assert(
      fc.property(draws, ({ rows, columns, seed }) => {
        const update = drawNoise(rows, columns, seed);
        const short = Math.min(rows, columns);
        const vectors = {
          left: drawBasis(rows, short, seed, "l"),
          right: drawBasis(columns, short, seed, "r"),
        };
        const projected = projectUpdate(createDenseSource(update), vectors, anyBackend);
        const ranks = [...Array(short).keys()].map((index) => index + 1);
        const splits = splitEnergy(projected, {
          ranks,
          squares: measureNorm(update) ** 2,
          numElements: rows * columns,
        });
        expect(splits.map(({ rank }) => rank)).toEqual(ranks);
        let before = 0;
        for (const { stretch, rotation, outside } of splits) {
          expect(stretch + rotation + outside).toBeCloseTo(1, 12);
          expect(Math.min(stretch, rotation, outside)).toBeGreaterThanOrEqual(0);
          expect(stretch + rotation).toBeGreaterThanOrEqual(before);
          before = stretch + rotation;
        }
        if (rows === columns) expect(splits.at(-1)!.outside).toBeCloseTo(0, 12);
      }),
    );
  });

  it("tells stretch, rotation and what leaves the leading vectors", () => {
    const projected = createMatrix(3, 3, Float64Array.of(2, 1, 0, 0, 3, 0, 0, 0, 4));
    const squares = 4 + 1 + 9 + 16 + 10;
    const [first, second, third] = splitEnergy(projected, { ranks: [1, 2, 3], squares, numElements: 20 });
    expect(first).toEqual({
      rank: 1,
      stretch: 4 / squares,
      rotation: 0,
      outside: 36 / squares,
      insideChance: 1 / 20,
    });
    expect(second).toEqual({
      rank: 2,
      stretch: 13 / squares,
      rotation: 1 / squares,
      outside: 26 / squares,
      insideChance: 4 / 20,
    });
    expect(third!.outside).toBeCloseTo(10 / squares, 12);
  });

  it("is empty for no update", () => {
    expect(splitEnergy(createMatrix(2, 2), { ranks: [1, 2], squares: 0, numElements: 4 })).toEqual([]);
  });

  it("never lets rounding make the outside negative", () => {
    const projected = createMatrix(1, 1, Float64Array.of(1));
    expect(splitEnergy(projected, { ranks: [1], squares: 1 - 1e-15, numElements: 1 })[0]!.outside).toBe(0);
  });
});

describe("countIntruders()", () => {
  /** Factors of which only what is counted with matters. */
  function chooseFactors(left: Matrix, values: readonly number[], columns: number): Factors {
    return {
      rows: left.rows,
      columns,
      values: Float64Array.from(values),
      left,
      right: createMatrix(columns, left.columns),
      method: "svd",
      valueError: 0,
      rounding: 0,
    };
  }

  const dimension = 40;
  const frame = drawBasis(dimension, dimension, 1);
  const values = Array.from({ length: 20 }, (_, index) => 20 - index);

  /** Vectors after: those before, some of them exchanged for `cosine` · itself + the rest in a new direction. */
  function exchange(places: readonly number[], cosine: number): Matrix {
    const after = createMatrix(dimension, 20);
    const sine = Math.sqrt(1 - cosine * cosine);
    for (let row = 0; row < dimension; row++)
      for (let column = 0; column < 20; column++) {
        const own = frame.values[row * dimension + column]!;
        const other = frame.values[row * dimension + 20 + column]!;
        after.values[row * 20 + column] = places.includes(column) ? cosine * own + sine * other : own;
      }
    return after;
  }

  const count = (before: Matrix, after: Matrix, columns = 20): ReturnType<typeof countIntruders> => {
    const pair: BasisPair = pairBases(before, after, anyBackend);
    return countIntruders(pair, chooseFactors(after, values, columns));
  };

  it("counts vectors that resemble none before, weighed by their energy", () => {
    const before = sliceColumns(frame, 0, 20);
    expect(count(before, exchange([], 0))).toEqual({ numExamined: 10, count: 0, numUndecided: 0, energy: 0 });
    const found = count(before, exchange([0, 4], 0.3));
    const total = values.slice(0, 10).reduce((sum, value) => sum + value * value, 0);
    expect(found).toMatchObject({ numExamined: 10, count: 2, numUndecided: 0 });
    expect(found.energy).toBeCloseTo((400 + 256) / total, 12);
  });

  it("draws the line at a cosine of one half, whatever the sign", () => {
    const before = sliceColumns(frame, 0, 20);
    expect(count(before, exchange([3], 0.51)).count).toBe(0);
    expect(count(before, exchange([3], -0.51)).count).toBe(0);
    expect(count(before, exchange([3], 0.49)).count).toBe(1);
  });

  it("looks at the ten leading vectors only, or at as many as there are", () => {
    expect(numExaminedForIntruders).toBe(10);
    const before = sliceColumns(frame, 0, 20);
    expect(count(before, exchange([10, 11], 0)).count).toBe(0);
    expect(count(before, sliceColumns(exchange([1], 0), 0, 4))).toMatchObject({ numExamined: 4, count: 1 });
  });

  it("leaves undecided what an unknown vector before might resemble", () => {
    // Vector 12 before comes second after: with 12 vectors known it might be an intruder, with all it is none.
    const after = sliceColumns(frame, 0, 20);
    for (let row = 0; row < dimension; row++) {
      const [second, other] = [row * 20 + 1, row * 20 + 12];
      [after.values[second], after.values[other]] = [after.values[other]!, after.values[second]!];
    }
    const all = sliceColumns(frame, 0, 20);
    expect(count(all, after)).toMatchObject({ count: 0, numUndecided: 0 });
    expect(count(sliceColumns(frame, 0, 12), sliceColumns(after, 0, 12))).toMatchObject({
      count: 0,
      numUndecided: 1,
      energy: 0,
    });
  });

  it("decides without the unknown vectors where what they leave open is too little", () => {
    // Four known vectors at cosines of 0.45 leave 1 − 4 · 0.45² = 0.19: no unknown one can reach one half.
    const after = sliceColumns(frame, 0, 12);
    const left = Math.sqrt(1 - 4 * 0.45 ** 2);
    for (let row = 0; row < dimension; row++) {
      const known = [0, 1, 2, 3].reduce(
        (sum, column) => sum + 0.45 * frame.values[row * dimension + column]!,
        0,
      );
      after.values[row * 12 + 5] = known + left * frame.values[row * dimension + 30]!;
    }
    expect(count(sliceColumns(frame, 0, 12), after)).toMatchObject({ count: 1, numUndecided: 0 });
    // Three leave 1 − 3 · 0.45² = 0.39: an unknown one can.
    for (let row = 0; row < dimension; row++) {
      const known = [0, 1, 2].reduce(
        (sum, column) => sum + 0.45 * frame.values[row * dimension + column]!,
        0,
      );
      after.values[row * 12 + 5] = known + Math.sqrt(1 - 3 * 0.45 ** 2) * frame.values[row * dimension + 30]!;
    }
    expect(count(sliceColumns(frame, 0, 12), after)).toMatchObject({ count: 0, numUndecided: 1 });
  });

  it("gives no energy to the zero matrix", () => {
    const after = chooseFactors(sliceColumns(frame, 0, 5), [0, 0, 0, 0, 0], 5);
    const pair = pairBases(sliceColumns(frame, 5, 10), after.left, anyBackend);
    expect(countIntruders(pair, after).energy).toBe(0);
  });
});
