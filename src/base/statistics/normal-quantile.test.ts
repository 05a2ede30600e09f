import { describe, expect, it } from "vitest";
import golden from "../../../test/golden/statistics/statistics.json" with { type: "json" };
import { normalQuantile } from "./normal-quantile.ts";

describe("normalQuantile()", () => {
  it("agrees with scipy to 13 digits, from the middle to the far tail", () => {
    for (const { probability, quantile } of golden.normalQuantile) {
      expect(Math.abs(normalQuantile(probability) - quantile)).toBeLessThanOrEqual(
        1e-13 * Math.max(1, Math.abs(quantile)),
      );
    }
  });

  it("refuses 0, 1 and NaN", () => {
    for (const probability of [0, 1, Number.NaN])
      expect(() => normalQuantile(probability)).toThrow(RangeError);
  });
});
