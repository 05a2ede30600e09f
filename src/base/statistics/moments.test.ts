import fc from "fast-check";
import { describe, expect, it } from "vitest";
import golden from "../../../test/golden/statistics/statistics.json" with { type: "json" };
import { type Moments, moments } from "./moments.ts";

const fields = [
  "mean",
  "standardDeviation",
  "skewness",
  "kurtosis",
] as const satisfies readonly (keyof Moments)[];

describe("moments()", () => {
  it("agrees with scipy to 1e-9", () => {
    for (const row of golden.moments) {
      const found = moments(row.values);
      for (const field of fields) {
        expect(Math.abs(found[field]! - row[field])).toBeLessThan(1e-9 * Math.max(1, Math.abs(row[field])));
      }
    }
  });

  it("leaves shape undefined where nothing varies, rounding included", () => {
    for (const values of [[5], [0, 0, 0], new Array<number>(10).fill(0.1), new Float32Array(7).fill(-3)]) {
      const found = moments(values);
      expect(found.mean).toBeCloseTo(values[0]!, 12);
      expect(found.standardDeviation).toBe(0);
      expect([found.skewness, found.kurtosis]).toEqual([undefined, undefined]);
    }
  });

  it("leaves everything undefined for no values", () => {
    expect(Object.values(moments([]))).toEqual([undefined, undefined, undefined, undefined]);
  });

  it("keeps the shape when values are shifted and scaled", () => {
    const values = fc.array(fc.integer({ min: -50, max: 50 }), { minLength: 2, maxLength: 40 });
    fc.assert(
      fc.property(values, (list) => {
        const plain = moments(list);
        const moved = moments(list.map((value) => 8 - 4 * value));
        expect(moved.standardDeviation).toBeCloseTo(4 * plain.standardDeviation!, 8);
        if (plain.skewness === undefined) expect(moved.skewness).toBeUndefined();
        else expect(moved.skewness).toBeCloseTo(-plain.skewness, 8);
        if (plain.kurtosis !== undefined) expect(moved.kurtosis).toBeCloseTo(plain.kurtosis, 8);
      }),
    );
  });

  it("refuses a value that is not finite", () => {
    expect(() => moments([1, Number.NaN])).toThrow(/value 1 is NaN/);
  });
});
