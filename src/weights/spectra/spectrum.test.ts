import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createRandom } from "../../base/core/index.ts";
import {
  energyRank,
  entropyRank,
  fitPowerLaw,
  numericalRank,
  singleEpsilon,
  spectralShift,
  stableRank,
} from "./spectrum.ts";

const positive = fc.double({ min: 1e-6, max: 1e6, noNaN: true });
const spectra = fc
  .array(positive, { minLength: 1, maxLength: 40 })
  .map((values) => Float64Array.from(values).sort().reverse());

const sumSquares = (values: Float64Array): number => values.reduce((sum, value) => sum + value * value, 0);

describe("stableRank()", () => {
  it("is ‖W‖_F² / ‖W‖₂², between 1 and the rank", () => {
    expect(stableRank(9 + 16, 4)).toBe(25 / 16);
    fc.assert(
      fc.property(spectra, (values) => {
        const rank = stableRank(sumSquares(values), values[0]!)!;
        expect(rank).toBeGreaterThanOrEqual(1 - 1e-12);
        expect(rank).toBeLessThanOrEqual(values.length + 1e-9);
      }),
    );
  });

  it("is absent for the zero matrix", () => expect(stableRank(0, 0)).toBeUndefined());
});

describe("entropyRank()", () => {
  it("counts equal values, and what lies between 1 and the rank otherwise", () => {
    expect(entropyRank(Float64Array.of(3, 3, 3, 3))).toBeCloseTo(4, 12);
    expect(entropyRank(Float64Array.of(3, 3, 0, 0))).toBeCloseTo(2, 12);
    expect(entropyRank(Float64Array.of(7))).toBeCloseTo(1, 12);
    expect(entropyRank(Float64Array.of(3, 1))).toBeCloseTo(4 / 27 ** 0.25, 12);
    fc.assert(
      fc.property(spectra, (values) => {
        const rank = entropyRank(values)!;
        expect(rank).toBeGreaterThanOrEqual(1 - 1e-12);
        expect(rank).toBeLessThanOrEqual(values.length * (1 + 1e-12));
      }),
    );
  });

  it("does not depend on the scale", () => {
    fc.assert(
      fc.property(spectra, positive, (values, factor) => {
        expect(entropyRank(values.map((value) => value * factor))! / entropyRank(values)!).toBeCloseTo(1, 10);
      }),
    );
  });

  it("is absent for the zero matrix", () => {
    expect(entropyRank(new Float64Array(3))).toBeUndefined();
    expect(entropyRank(new Float64Array(0))).toBeUndefined();
  });
});

describe("energyRank()", () => {
  it("is the fewest leading directions that hold the share", () => {
    const values = Float64Array.of(4, 2, 2, 1);
    expect([0.1, 0.64, 0.65, 0.8, 0.9, 0.96, 0.97, 1].map((share) => energyRank(values, share))).toEqual([
      1, 1, 2, 2, 3, 3, 4, 4,
    ]);
    fc.assert(
      fc.property(spectra, fc.double({ min: 0.01, max: 0.999, noNaN: true }), (values, share) => {
        const rank = energyRank(values, share);
        const held = (count: number): number => sumSquares(values.subarray(0, count)) / sumSquares(values);
        expect(held(rank)).toBeGreaterThanOrEqual(share - 1e-12);
        expect(held(rank - 1)).toBeLessThan(share + 1e-12);
      }),
    );
  });

  it("is 0 for the zero matrix", () => expect(energyRank(new Float64Array(5), 0.9)).toBe(0));
});

describe("numericalRank()", () => {
  it("counts what lies above max(rows, columns) · ε · σ₁, and says where that is", () => {
    const shape = { rows: 10, columns: 100 };
    const tolerance = 100 * singleEpsilon * 2;
    const values = Float64Array.of(2, 1, tolerance * 1.01, tolerance, tolerance * 0.99, 0);
    expect(numericalRank(values, shape)).toEqual({ rank: 3, tolerance });
    expect(numericalRank(values, { ...shape, epsilon: Number.EPSILON }).rank).toBe(5);
  });

  it("uses the ε of 32-bit floats", () => expect(singleEpsilon).toBe(Math.fround(1.1920928955078125e-7)));

  it("is 0 for the zero matrix", () => {
    expect(numericalRank(new Float64Array(4), { rows: 4, columns: 9 })).toEqual({ rank: 0, tolerance: 0 });
  });
});

describe("spectralShift()", () => {
  it("is the length of the change by the length before", () => {
    expect(spectralShift(Float64Array.of(4, 3), Float64Array.of(4, 3))).toBe(0);
    expect(spectralShift(Float64Array.of(4, 3), Float64Array.of(7, 7))).toBe(1);
    expect(spectralShift(Float64Array.of(4, 3), Float64Array.of(0, 0))).toBe(1);
  });

  it("is how far a scaled spectrum was scaled", () => {
    fc.assert(
      fc.property(spectra, fc.double({ min: -0.9, max: 3, noNaN: true }), (values, change) => {
        expect(
          spectralShift(
            values,
            values.map((value) => value * (1 + change)),
          ),
        ).toBeCloseTo(Math.abs(change), 10);
      }),
    );
  });

  it("is absent where nothing was before", () => {
    expect(spectralShift(new Float64Array(2), Float64Array.of(1, 1))).toBeUndefined();
  });
});

describe("fitPowerLaw()", () => {
  /** σ of n eigenvalues at the quantiles of a power law that starts at 1. */
  function followLaw(exponent: number, count: number): Float64Array {
    return Float64Array.from({ length: count }, (_, index) =>
      Math.sqrt(((index + 0.5) / count) ** (-1 / (exponent - 1))),
    );
  }

  it.each([1.8, 2.5, 4, 6])("finds exponent %d of a spectrum that follows it", (exponent) => {
    const law = fitPowerLaw(followLaw(exponent, 400))!;
    expect(law.exponent).toBeCloseTo(exponent, 1);
    expect(law.distance).toBeLessThan(0.03);
    expect(law.numTail).toBeGreaterThanOrEqual(10);
    expect(law.numTail).toBeLessThanOrEqual(400);
  });

  it("starts at the tail where the rest of the spectrum is something else", () => {
    const random = createRandom(1, "bulk");
    const bulk = Float64Array.from({ length: 300 }, () => random.uniform() ** 0.5);
    const values = Float64Array.from([...followLaw(2.5, 120), ...bulk])
      .sort()
      .reverse();
    const law = fitPowerLaw(values)!;
    expect(law.exponent).toBeCloseTo(2.5, 0);
    expect(law.start).toBeGreaterThan(0.7);
    expect(law.numTail).toBeLessThan(180);
  });

  it("has its exponent from its own tail: 1 + n / Σ ln(λ / λ_start)", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 20, maxLength: 60 }), (drawn) => {
        const values = Float64Array.from(drawn).sort().reverse();
        const law = fitPowerLaw(values);
        if (law === undefined) return;
        const tail = values.map((value) => value * value).subarray(0, law.numTail);
        expect(tail.at(-1)).toBe(law.start);
        const logs = tail.reduce((sum, value) => sum + Math.log(value / law.start), 0);
        expect(law.exponent / (1 + law.numTail / logs)).toBeCloseTo(1, 9);
        const gaps = tail.map((value, index) => {
          const shareBelow = 1 - (index + 1) / law.numTail;
          return Math.abs(1 - (value / law.start) ** (1 - law.exponent) - shareBelow);
        });
        expect(law.distance).toBeCloseTo(Math.max(...gaps), 9);
      }),
    );
  });

  it("does not depend on the scale", () => {
    const values = followLaw(3, 100);
    const [one, other] = [fitPowerLaw(values)!, fitPowerLaw(values.map((value) => 1000 * value))!];
    expect(other.exponent).toBeCloseTo(one.exponent, 9);
    expect(other.numTail).toBe(one.numTail);
    expect(other.start / one.start).toBeCloseTo(1e6, 3);
  });

  it("leaves out values that are rounding", () => {
    const values = followLaw(3, 100);
    const padded = Float64Array.from([...values, ...new Array<number>(50).fill(values[0]! * 1e-8)]);
    expect(fitPowerLaw(padded)).toEqual(fitPowerLaw(values));
    const few = followLaw(3, 19);
    const rounded = Array.from({ length: 9 }, (_, index) => few[0]! * 1e-7 * 0.9 ** index);
    expect(fitPowerLaw(Float64Array.from([...few, ...rounded]))).toBeUndefined();
  });

  it("is absent for few values, for zeros and where all are equal", () => {
    expect(fitPowerLaw(followLaw(3, 19))).toBeUndefined();
    expect(fitPowerLaw(followLaw(3, 20))).toBeDefined();
    expect(fitPowerLaw(new Float64Array(50))).toBeUndefined();
    expect(fitPowerLaw(new Float64Array(50).fill(2))).toBeUndefined();
  });
});
