import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createRandom } from "../../base/core/index.ts";
import { describeRandomSubspaces } from "./random-subspace.ts";

/** Cosines² of the angles between a random line of n dimensions and the span of the first k axes. */
function drawCosineSquared(random: ReturnType<typeof createRandom>, dimension: number, rank: number): number {
  const squares = Array.from({ length: dimension }, () => random.normal() ** 2);
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  return sum(squares.slice(0, rank)) / sum(squares);
}

describe("describeRandomSubspaces()", () => {
  it("has the mean of drawn directions", () => {
    const random = createRandom(3, "subspaces");
    const { meanSineSquared, chordal } = describeRandomSubspaces({ dimension: 40, rank: 12 });
    let mean = 0;
    for (let draw = 0; draw < 4000; draw++) mean += (1 - drawCosineSquared(random, 40, 12)) / 4000;
    expect(Math.abs(mean - meanSineSquared)).toBeLessThan(0.005); // 4 standard errors
    expect(chordal).toBe(Math.sqrt(0.7));
  });

  it("has right angles only between lines of many dimensions, and a zero angle from half the dimension on", () => {
    expect(describeRandomSubspaces({ dimension: 1e8, rank: 1 }).smallestAngle).toBeCloseTo(Math.PI / 2, 3);
    expect(describeRandomSubspaces({ dimension: 100, rank: 25 }).smallestAngle).toBeCloseTo(Math.PI / 6, 12);
    expect(describeRandomSubspaces({ dimension: 100, rank: 50 }).smallestAngle).toBe(0);
    expect(describeRandomSubspaces({ dimension: 100, rank: 51 })).toMatchObject({
      smallestAngle: 0,
      numForcedZeros: 2,
    });
    expect(describeRandomSubspaces({ dimension: 7, rank: 7 })).toEqual({
      meanSineSquared: 0,
      chordal: 0,
      smallestAngle: 0,
      numForcedZeros: 7,
    });
  });

  it("bounds the mean sine from below by the smallest angle, in every size", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5000 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (dimension, part) => {
          const rank = Math.max(1, Math.ceil(part * dimension));
          const found = describeRandomSubspaces({ dimension, rank });
          expect(Math.sin(found.smallestAngle) ** 2).toBeLessThanOrEqual(found.meanSineSquared + 1e-12);
          expect(found.numForcedZeros).toBeLessThanOrEqual(rank);
        },
      ),
    );
  });

  it("refuses ranks that do not fit", () => {
    for (const rank of [0, -1, 1.5, 6, Number.NaN])
      expect(() => describeRandomSubspaces({ dimension: 5, rank })).toThrow(RangeError);
  });
});
