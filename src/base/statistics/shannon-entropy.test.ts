import fc from "fast-check";
import { describe, expect, it } from "vitest";
import golden from "../../../test/golden/statistics/statistics.json" with { type: "json" };
import { shannonEntropy } from "./shannon-entropy.ts";

describe("shannonEntropy()", () => {
  it("agrees with scipy, in nats", () => {
    for (const { counts, nats } of golden.shannonEntropy)
      expect(shannonEntropy(counts)).toBeCloseTo(nats, 12);
  });

  it("reaches ln(bins) for even counts and never more", () => {
    expect(shannonEntropy([3, 3, 3, 3])).toBeCloseTo(Math.log(4), 14);
    fc.assert(
      fc.property(fc.array(fc.nat(1000), { minLength: 1 }), (counts) => {
        const entropy = shannonEntropy(counts) ?? 0;
        expect(entropy).toBeGreaterThanOrEqual(0);
        expect(entropy).toBeLessThanOrEqual(Math.log(counts.length) + 1e-12);
      }),
    );
  });

  it("is undefined for no counts and refuses negative ones", () => {
    expect(shannonEntropy([])).toBeUndefined();
    expect(shannonEntropy([0, 0])).toBeUndefined();
    expect(() => shannonEntropy([1, -1])).toThrow(/count 1 is -1/);
  });
});
