import { describe, expect, it } from "vitest";
import golden from "../../../test/golden/statistics/statistics.json" with { type: "json" };
import { quantile } from "./quantile.ts";

describe("quantile()", () => {
  it("agrees with numpy's default", () => {
    for (const [index, fraction] of golden.quantile.fractions.entries()) {
      expect(quantile(golden.quantile.values, fraction)).toBeCloseTo(golden.quantile.quantiles[index]!, 13);
    }
  });

  it("refuses an empty list", () => {
    expect(() => quantile([], 0.5)).toThrow(RangeError);
  });
});
