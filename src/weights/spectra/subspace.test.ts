import fc from "fast-check";
import { expect, it } from "vitest";
import {
  drawBasis,
  drawKnown,
  drawNoise,
  measureNorm,
  multiplyNaively,
  sliceColumns,
  subtractNaively,
  turnOver,
} from "../../../test/support/drawn-matrix.ts";
import { describeOnEveryBackend } from "../../../test/support/every-backend.ts";
import { createDenseSource, createMatrix, type Factors, factorize, type Matrix } from "../linalg/index.ts";
import {
  compareDirections,
  compareSubspaces,
  type DirectionComparison,
  type FactorPair,
  pairVectors,
  type Side,
  type SubspaceComparison,
  sides,
} from "./subspace.ts";

const rightAngle = Math.PI / 2;

/** Factors without rounding, of a matrix whose decomposition is chosen. */
function chooseFactors(left: Matrix, values: readonly number[], right: Matrix): Factors {
  return {
    rows: left.rows,
    columns: right.rows,
    values: Float64Array.from(values),
    left,
    right,
    method: "svd",
    valueError: 0,
    rounding: 0,
  };
}

/** A plane rotation of columns `first` and `second`. */
function rotateColumns(basis: Matrix, [first, second]: readonly [number, number], angle: number): Matrix {
  const turned = createMatrix(basis.rows, basis.columns, basis.values.slice());
  const [cosine, sine] = [Math.cos(angle), Math.sin(angle)];
  for (let row = 0; row < basis.rows; row++) {
    const [at, other] = [row * basis.columns + first, row * basis.columns + second];
    turned.values[at] = cosine * basis.values[at]! + sine * basis.values[other]!;
    turned.values[other] = cosine * basis.values[other]! - sine * basis.values[at]!;
  }
  return turned;
}

describeOnEveryBackend("compareSubspaces()", (algebra) => {
  const compare = (pair: FactorPair, side: Side, rank: number): SubspaceComparison =>
    compareSubspaces(pair, { bases: pairVectors(pair, algebra)[side], rank }, algebra);
  const factors = (matrix: Matrix): Factors =>
    factorize(createDenseSource(matrix), { numVectors: Number.POSITIVE_INFINITY, tolerance: 1e-8 }, algebra);
  const pairOf = (before: Matrix, after: Matrix): FactorPair => ({
    before: factors(before),
    after: factors(after),
    spectral: algebra.singularValues(subtractNaively(after, before))[0]!,
    isUnchanged: false,
  });

  it("measures known rotations: mean, largest, chordal, projection", () => {
    const frame = drawBasis(12, 12, 1);
    const values = [6, 5, 4, 3, 2, 1];
    const right = drawBasis(9, 6, 2);
    const before = chooseFactors(sliceColumns(frame, 0, 6), values, right);
    const turned = rotateColumns(rotateColumns(frame, [0, 7], 0.3), [1, 8], 0.5);
    // Signs of singular vectors mean nothing.
    for (let row = 0; row < 12; row++) turned.values[row * 12] = -turned.values[row * 12]!;
    const after = chooseFactors(sliceColumns(turned, 0, 6), values, right);
    const found = compare({ before, after, spectral: 1, isUnchanged: false }, "left", 3);
    expect([...found.angles].map((angle) => angle.toFixed(12))).toEqual(
      [0, 0.3, 0.5].map((angle) => angle.toFixed(12)),
    );
    const squares = Math.sin(0.3) ** 2 + Math.sin(0.5) ** 2;
    expect(found.numForced).toBe(0);
    expect(found.meanAngle).toBeCloseTo(0.8 / 3, 12);
    expect(found.largestAngle).toBeCloseTo(0.5, 12);
    expect(found.chordal).toBeCloseTo(Math.sqrt(squares / 3), 12);
    expect(found.projection).toBeCloseTo(Math.sqrt(2 * squares), 12);
    expect(found.alignment).toBeCloseTo((Math.cos(0.3) + Math.cos(0.5) + 1) / 3, 12);
    const other = compare({ before, after, spectral: 1, isUnchanged: false }, "right", 3);
    expect(other.largestAngle).toBeLessThan(1e-14);
  });

  it("leaves forced zeros out of all averages", () => {
    const frame = drawBasis(5, 5, 3);
    const values = [5, 4, 3, 2];
    const turned = rotateColumns(frame, [2, 4], 0.4);
    const right = drawBasis(7, 4, 4);
    const before = chooseFactors(sliceColumns(frame, 0, 4), values, right);
    const after = chooseFactors(sliceColumns(turned, 0, 4), values, right);
    const found = compare({ before, after, spectral: 1, isUnchanged: false }, "left", 4);
    expect([...found.angles.subarray(0, 3)]).toEqual([0, 0, 0]);
    expect(found.numForced).toBe(3);
    expect(found.meanAngle).toBeCloseTo(0.4, 12);
    expect(found.chordal).toBeCloseTo(Math.sin(0.4), 12);
  });

  it("is ‖U Uᵀ − U' U'ᵀ‖_F, and zero for all of a space", () => {
    const shapes = fc.record({
      rows: fc.integer({ min: 1, max: 14 }),
      columns: fc.integer({ min: 1, max: 14 }),
      seed: fc.nat(1000),
    });
    fc.assert(
      fc.property(shapes, ({ rows, columns, seed }) => {
        const pair = pairOf(drawNoise(rows, columns, seed), drawNoise(rows, columns, seed + 1));
        for (const side of sides)
          for (let rank = 1; rank <= Math.min(rows, columns); rank++) {
            const found = compare(pair, side, rank);
            const [first, second] = [pair.before, pair.after].map(({ [side]: vectors }) => {
              const leading = sliceColumns(vectors, 0, rank);
              return multiplyNaively(leading, turnOver(leading));
            });
            expect(found.projection).toBeCloseTo(measureNorm(subtractNaively(first!, second!)), 10);
            if (rank === pair.before[side].rows)
              expect(found).toMatchObject({ largestAngle: 0, meanAngle: 0, chordal: 0, bound: 0, error: 0 });
          }
      }),
      { numRuns: 40 },
    );
  });

  it("does not change when both matrices are rotated together, and swaps sides when both are transposed", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 12 }),
        fc.nat(1000),
        (rows, columns, seed) => {
          const values = Array.from({ length: Math.min(rows, columns) }, (_, index) => 2 - index / 12);
          const before = drawKnown({ rows, columns }, values, seed).matrix;
          const step = drawNoise(rows, columns, seed);
          const after = {
            ...before,
            values: before.values.map((value, index) => value + 0.01 * step.values[index]!),
          };
          const [p, q] = [drawBasis(rows, rows, seed, "p"), drawBasis(columns, columns, seed, "q")];
          const rotate = (matrix: Matrix): Matrix => multiplyNaively(multiplyNaively(p, matrix), q);
          const pair = pairOf(before, after);
          const rotated = pairOf(rotate(before), rotate(after));
          const transposed = pairOf(turnOver(before), turnOver(after));
          for (const side of sides)
            for (const rank of new Set([1, values.length])) {
              const expected = compare(pair, side, rank);
              const others = [
                compare(rotated, side, rank),
                compare(transposed, side === "left" ? "right" : "left", rank),
              ];
              for (const other of others) {
                const slack = expected.error + other.error + 1e-12;
                for (const [index, angle] of expected.angles.entries())
                  expect(Math.abs(other.angles[index]! - angle)).toBeLessThanOrEqual(slack);
                expect(Math.abs(other.bound - expected.bound)).toBeLessThan(1e-6);
              }
            }
        },
      ),
      { numRuns: 30 },
    );
  });

  it("is bounded by Wedin's theorem, sharply where one plane rotates", () => {
    // diag(1, 0) + δ (e₁e₂ᵀ + e₂e₁ᵀ) rotates by atan(2 δ) / 2: to first order ‖Δ‖ / gap, which is the bound.
    for (const size of [1e-7, 1e-3, 0.1]) {
      const before = createMatrix(2, 2, Float64Array.of(1, 0, 0, 0));
      const after = createMatrix(2, 2, Float64Array.of(1, size, size, 0));
      const { largestAngle, bound } = compare(pairOf(before, after), "left", 1);
      expect(largestAngle / (Math.atan(2 * size) / 2)).toBeCloseTo(1, 7);
      expect(bound).toBeGreaterThanOrEqual(largestAngle);
      expect(bound).toBeLessThan(1.05 * largestAngle);
    }
  });

  it("bounds every angle of random updates", () => {
    const cases = fc.record({
      rows: fc.integer({ min: 1, max: 16 }),
      columns: fc.integer({ min: 1, max: 16 }),
      ratio: fc.double({ min: 0.3, max: 1, noNaN: true }),
      log: fc.double({ min: -9, max: 0, noNaN: true }),
      seed: fc.nat(1000),
    });
    fc.assert(
      fc.property(cases, ({ rows, columns, ratio, log, seed }) => {
        const values = Array.from({ length: Math.min(rows, columns) }, (_, index) => ratio ** index);
        const before = drawKnown({ rows, columns }, values, seed).matrix;
        const step = drawNoise(rows, columns, seed + 1);
        const after = {
          ...before,
          values: before.values.map((value, index) => value + 10 ** log * step.values[index]!),
        };
        const pair = pairOf(before, after);
        for (const side of sides)
          for (let rank = 1; rank <= values.length; rank++) {
            const { largestAngle, bound, error } = compare(pair, side, rank);
            expect(largestAngle).toBeLessThanOrEqual(bound + error + 1e-12);
          }
      }),
      { numRuns: 60 },
    );
  });

  it("promises nothing where the update is larger than the gap", () => {
    const before = createMatrix(3, 3, Float64Array.of(3, 0, 0, 0, 2, 0, 0, 0, 1));
    const after = createMatrix(3, 3, Float64Array.of(2, 0, 0, 0, 3, 0, 0, 0, 1));
    const found = compare(pairOf(before, after), "left", 1);
    expect(found.largestAngle).toBeCloseTo(rightAngle, 12);
    expect(found.bound).toBe(rightAngle);
  });

  it("is zero where nothing changed, however badly determined", () => {
    const before = factors(createMatrix(4, 3, new Float64Array(12).fill(1)));
    const pair: FactorPair = { before, after: before, spectral: 0, isUnchanged: true };
    for (const side of sides)
      for (const rank of [1, 2, 3])
        expect(compare(pair, side, rank)).toMatchObject({
          ...{ meanAngle: 0, largestAngle: 0, chordal: 0, projection: 0 },
          ...{ alignment: 1, bound: 0, error: 0 },
        });
  });

  it("adds up what rounding did to both sides", () => {
    const before = factors(drawKnown({ rows: 6, columns: 6 }, [3, 2, 1, 0.5, 0.25, 0], 5).matrix);
    const pair: FactorPair = { before, after: before, spectral: 1e-3, isUnchanged: false };
    const { error } = compare(pair, "left", 2);
    expect(error).toBeGreaterThan(0);
    expect(error).toBeLessThan(1e-12);
    const vague: Factors = { ...before, values: Float64Array.of(3, 2, 2, 0.5, 0.25, 0) };
    expect(compare({ ...pair, after: vague }, "left", 2).error).toBe(rightAngle);
    expect(compare({ ...pair, before: vague, after: vague }, "left", 2).error).toBe(rightAngle);
  });
});

describeOnEveryBackend("compareDirections()", (algebra) => {
  const compare = (pair: FactorPair): DirectionComparison =>
    compareDirections(pair, pairVectors(pair, algebra));

  it("measures each vector by itself, up to its sign", () => {
    const frame = drawBasis(8, 8, 1);
    const values = [4, 3, 2, 1];
    const right = drawBasis(6, 4, 2);
    const turned = rotateColumns(rotateColumns(frame, [0, 5], 1e-9), [2, 3], 1.2);
    turned.values.forEach((value, index) => {
      if (index % 8 === 1) turned.values[index] = -value;
    });
    const before = chooseFactors(sliceColumns(frame, 0, 4), values, right);
    const after = chooseFactors(sliceColumns(turned, 0, 4), values, right);
    const { angles, weighted } = compare({ before, after, spectral: 1, isUnchanged: false });
    for (const [index, expected] of [1e-9, 0, 1.2, 1.2].entries())
      expect(Math.abs(angles.left[index]! - expected)).toBeLessThan(1e-14);
    expect(Math.max(...angles.right)).toBeLessThan(1e-14);
    expect(weighted.left).toBeCloseTo((16e-9 + 1.2 * (4 + 1)) / (16 + 9 + 4 + 1), 12);
    expect(weighted.right).toBeCloseTo(0, 12);
  });

  it("bounds by √2 ‖Δ‖ over the gap to the nearest other value, 0 included on the longer side", () => {
    const right = drawBasis(3, 3, 3);
    const bounds = (rows: number, values: readonly number[], moved: readonly number[]): readonly number[] => {
      const left = drawBasis(rows, 3, 4);
      const before = chooseFactors(left, values, right);
      const after = chooseFactors(left, moved, right);
      return [...compare({ before, after, spectral: 0.1, isUnchanged: false }).bounds];
    };
    const toBound = (gap: number): number => Math.asin((Math.SQRT2 * 0.1) / gap);
    // 3 × 3: the third value has neighbors on one side only.
    expect(bounds(3, [4, 2, 1], [4.1, 2.1, 1])).toEqual([toBound(4.1 - 2), toBound(2.1 - 1), toBound(2 - 1)]);
    // 4 × 3: beyond it lies 0.
    expect(bounds(4, [4, 2, 0.5], [4.1, 2.1, 0.5])[2]).toBe(toBound(0.5));
    // Closer than the update is large, or beyond the neighbor: no promise.
    expect(bounds(3, [4, 3.9, 1], [4, 3.95, 1])[0]).toBe(rightAngle);
    expect(bounds(3, [4, 3, 1], [2.5, 2, 1])[0]).toBe(rightAngle);
  });

  it("is zero where nothing changed", () => {
    const before = chooseFactors(drawBasis(4, 3, 1), [1, 1, 1], drawBasis(3, 3, 1));
    const { angles, bounds, weighted } = compare({ before, after: before, spectral: 0, isUnchanged: true });
    expect([...angles.left, ...angles.right, ...bounds]).toEqual(new Array<number>(9).fill(0));
    expect(weighted).toEqual({ left: 0, right: 0 });
  });

  it("weighs a matrix of zeros as not turned", () => {
    const before = chooseFactors(drawBasis(4, 3, 1), [0, 0, 0], drawBasis(3, 3, 1));
    const after = chooseFactors(drawBasis(4, 3, 2), [1, 0.5, 0.1], drawBasis(3, 3, 2));
    expect(compare({ before, after, spectral: 1, isUnchanged: false }).weighted).toEqual({
      left: 0,
      right: 0,
    });
  });
});
