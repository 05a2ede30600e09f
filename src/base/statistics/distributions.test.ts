import { describe, expect, it } from "vitest";
import golden from "../../../test/golden/statistics/statistics.json" with { type: "json" };
import { normalTail, studentQuantile, studentTail } from "./distributions.ts";

describe("Student's t and the normal distribution", () => {
  it("agree with scipy, far tails included, the quantiles as closely as scipy 1.10 has them", () => {
    const { quantiles, tails, normalTails } = golden.student;
    for (const { probability, degrees, quantile } of quantiles)
      expect(Math.abs(studentQuantile(probability, degrees) / quantile - 1)).toBeLessThan(1e-8);
    for (const { t, degrees, tail } of tails)
      expect(Math.abs(studentTail(t, degrees) / tail - 1)).toBeLessThan(1e-11);
    for (const { z, tail } of normalTails) expect(Math.abs(normalTail(z) / tail - 1)).toBeLessThan(1e-11);
  });

  it("refuses 0, 1 and NaN", () => {
    for (const probability of [0, 1, Number.NaN])
      expect(() => studentQuantile(probability, 3)).toThrow(RangeError);
  });
});
