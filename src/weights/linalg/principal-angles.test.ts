import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  drawBasis,
  measureNorm,
  multiplyNaively,
  sliceColumns,
  subtractNaively,
  turnOver,
} from "../../../test/support/drawn-matrix.ts";
import { describeOnEveryBackend } from "../../../test/support/every-backend.ts";
import { createRandom } from "../../base/core/index.ts";
import { createMatrix, type Matrix } from "./matrix.ts";
import { numForcedZeros, pairBases, principalAngles } from "./principal-angles.ts";

/** Angles that arccosines or arcsines alone would lose, and all between. */
const anyAngle = fc.oneof(
  fc.double({ min: -12, max: 0, noNaN: true }).map((log) => (Math.PI / 2) * 10 ** log),
  fc.double({ min: 0, max: Math.PI / 2, noNaN: true }),
  fc.double({ min: -12, max: -1, noNaN: true }).map((log) => Math.PI / 2 - 10 ** log),
  fc.constantFrom(0, 1e-12, 1e-8, Math.PI / 4, Math.PI / 2),
);

interface Draw {
  readonly angles: readonly number[];
  readonly dimension: number;
  readonly seed: number;
}

/** Angles, and a dimension that leaves room for a plane to each of them. */
const draws: fc.Arbitrary<Draw> = fc
  .record({
    angles: fc.array(anyAngle, { minLength: 1, maxLength: 8 }),
    extra: fc.integer({ min: 0, max: 25 }),
    seed: fc.nat(10_000),
  })
  .map(({ angles, extra, seed }) => ({
    angles: angles.sort((first, second) => first - second),
    dimension: 2 * angles.length + extra,
    seed,
  }));

/** Two bases with these principal angles: vector i is rotated in a plane of its own, then everything at once. */
function drawRotated({ angles, dimension, seed }: Draw): readonly [before: Matrix, after: Matrix] {
  const frame = drawBasis(dimension, 2 * angles.length, seed);
  const count = angles.length;
  const before = sliceColumns(frame, 0, count);
  const after = createMatrix(dimension, count);
  for (let row = 0; row < dimension; row++)
    for (const [index, angle] of angles.entries())
      after.values[row * count + index] =
        Math.cos(angle) * frame.values[row * 2 * count + index]! +
        Math.sin(angle) * frame.values[row * 2 * count + count + index]!;
  return [before, after];
}

/** A random rotation of `size` dimensions. */
const rotationOf = (size: number, seed: number): Matrix => drawBasis(size, size, seed, "change of basis");

function permuteRows({ rows, columns, values }: Matrix, seed: number): Matrix {
  const order = createRandom(seed, "order").shuffle([...Array(rows).keys()]);
  const moved = order.flatMap((row) => [...values.subarray(row * columns, (row + 1) * columns)]);
  return createMatrix(rows, columns, Float64Array.from(moved));
}

/** What building bases and rotating them in 64-bit floats may cost. */
const accuracy = 2e-14;

function expectAngles(actual: Float64Array, expected: ArrayLike<number>, within = accuracy): void {
  expect(actual.length).toBe(expected.length);
  for (const [index, angle] of actual.entries()) {
    expect(angle).toBeGreaterThanOrEqual(0);
    expect(angle).toBeLessThanOrEqual(Math.PI / 2);
    expect(angle).toBeGreaterThanOrEqual(actual[index - 1] ?? 0);
    expect(Math.abs(angle - expected[index]!)).toBeLessThan(within);
  }
}

describeOnEveryBackend("principalAngles()", (algebra) => {
  const anglesOf = (before: Matrix, after: Matrix, rank = before.columns): Float64Array =>
    principalAngles(pairBases(before, after, algebra), rank, algebra);

  it("finds known rotations from 1e-12 rad to a right angle, ascending", () => {
    fc.assert(
      fc.property(draws, (draw) => {
        const [before, after] = drawRotated(draw);
        expectAngles(anglesOf(before, after), draw.angles);
      }),
    );
  });

  it("tells the smallest angles from 0 to many digits", () => {
    // The first two axes and a plane in their own coordinates, so that the bases are exact.
    for (const angle of [1e-150, 1e-15, 1e-12, 1e-9, 1e-4]) {
      const before = createMatrix(5, 1, Float64Array.of(1, 0, 0, 0, 0));
      const after = createMatrix(5, 1, Float64Array.of(Math.cos(angle), 0, Math.sin(angle), 0, 0));
      expect(anglesOf(before, after)[0]! / angle).toBeCloseTo(1, 12);
      expect(anglesOf(after, before)[0]! / angle).toBeCloseTo(1, 4);
    }
  });

  it("is symmetric in its arguments", () => {
    fc.assert(
      fc.property(draws, (draw) => {
        const [before, after] = drawRotated(draw);
        expectAngles(anglesOf(after, before), anglesOf(before, after));
      }),
    );
  });

  it("depends on the subspaces, not on their bases", () => {
    fc.assert(
      fc.property(draws, fc.nat(1000), (draw, seed) => {
        const [before, after] = drawRotated(draw);
        const count = draw.angles.length;
        const [first, second] = [
          multiplyNaively(before, rotationOf(count, seed)),
          multiplyNaively(after, rotationOf(count, seed + 1)),
        ];
        expectAngles(anglesOf(first, second), draw.angles);
      }),
    );
  });

  it("does not change when both are rotated or permuted together", () => {
    fc.assert(
      fc.property(draws, fc.nat(1000), (draw, seed) => {
        const [before, after] = drawRotated(draw);
        const rotation = rotationOf(draw.dimension, seed);
        expectAngles(
          anglesOf(multiplyNaively(rotation, before), multiplyNaively(rotation, after)),
          draw.angles,
        );
        expectAngles(anglesOf(permuteRows(before, seed), permuteRows(after, seed)), draw.angles);
      }),
    );
  });

  it("is 0 for a subspace and itself, and right angles for orthogonal ones", () => {
    const frame = drawBasis(20, 12, 1);
    const [first, second] = [sliceColumns(frame, 0, 6), sliceColumns(frame, 6, 12)];
    expectAngles(anglesOf(first, first), new Float64Array(6));
    expectAngles(anglesOf(first, second), new Float64Array(6).fill(Math.PI / 2));
  });

  it("is exactly 0 where the dimension forces it, and right beyond", () => {
    const crowded = fc.record({
      rank: fc.integer({ min: 2, max: 12 }),
      numFree: fc.integer({ min: 0, max: 11 }),
      seed: fc.nat(1000),
    });
    fc.assert(
      fc.property(crowded, ({ rank, numFree, seed }) => {
        const free = numFree % rank;
        const dimension = rank + free;
        const angles = Array.from({ length: free }, (_, index) => (index + 1) / 10);
        // Vectors in common, and one plane for each free angle.
        const frame = drawBasis(dimension, dimension, seed);
        const common = rank - free;
        const tilted = createMatrix(dimension, rank);
        for (let row = 0; row < dimension; row++)
          for (let index = 0; index < rank; index++) {
            const own = frame.values[row * dimension + index]!;
            const angle = angles[index - common] ?? 0;
            const other = index < common ? 0 : frame.values[row * dimension + rank + index - common]!;
            tilted.values[row * rank + index] = Math.cos(angle) * own + Math.sin(angle) * other;
          }
        const found = anglesOf(sliceColumns(frame, 0, rank), tilted);
        expect(numForcedZeros(dimension, rank)).toBe(common);
        expect([...found.subarray(0, common)]).toEqual(new Array<number>(common).fill(0));
        expectAngles(found, [...new Array<number>(common).fill(0), ...angles]);
      }),
    );
  });

  it("is exactly 0 everywhere for the whole space, whatever its bases", () => {
    const [first, second] = [rotationOf(9, 1), rotationOf(9, 2)];
    expect(anglesOf(first, second)).toEqual(new Float64Array(9));
  });

  it("takes the leading vectors of larger bases as if they were all", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 0, max: 20 }),
        fc.nat(1000),
        (count, extra, seed) => {
          const dimension = count + extra;
          const [before, after] = [drawBasis(dimension, count, seed), drawBasis(dimension, count, seed + 1)];
          const pair = pairBases(before, after, algebra);
          for (let rank = 1; rank <= count; rank++) {
            const alone = anglesOf(sliceColumns(before, 0, rank), sliceColumns(after, 0, rank));
            expectAngles(principalAngles(pair, rank, algebra), alone);
          }
        },
      ),
      { numRuns: 30 },
    );
  });

  it("takes bases of different sizes up to the smaller", () => {
    const [before, after] = [drawBasis(15, 7, 1), drawBasis(15, 4, 2)];
    for (const rank of [1, 3, 4]) {
      const expected = anglesOf(sliceColumns(before, 0, rank), sliceColumns(after, 0, rank));
      expectAngles(anglesOf(before, after, rank), expected);
      expectAngles(anglesOf(after, before, rank), expected);
    }
  });

  it("reads long bases block by block as if at once", () => {
    const dimension = 9000;
    const angles = [1e-10, 1e-3, 1];
    const [before, after] = drawRotated({ angles, dimension, seed: 5 });
    expectAngles(anglesOf(before, after), angles, 1e-13);
  });

  it("leaves the bases alone", () => {
    const [before, after] = [drawBasis(12, 4, 1), drawBasis(12, 4, 2)];
    anglesOf(before, after, 3);
    expect([before, after]).toEqual([drawBasis(12, 4, 1), drawBasis(12, 4, 2)]);
  });
});

describeOnEveryBackend("pairBases()", (algebra) => {
  it("holds the cosines between single vectors, before by row and after by column", () => {
    const [before, after] = [drawBasis(9, 3, 1), drawBasis(9, 5, 2)];
    const { overlap } = pairBases(before, after, algebra);
    expect([overlap.rows, overlap.columns]).toEqual([3, 5]);
    const expected = multiplyNaively(turnOver(before), after);
    expect(measureNorm(subtractNaively(overlap, expected))).toBeLessThan(1e-15);
  });
});

describe("numForcedZeros()", () => {
  it("is how many dimensions two subspaces must share", () => {
    expect(numForcedZeros(10, 3)).toBe(0);
    expect(numForcedZeros(10, 5)).toBe(0);
    expect(numForcedZeros(10, 6)).toBe(2);
    expect(numForcedZeros(10, 10)).toBe(10);
  });
});
