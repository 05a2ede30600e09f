import fc from "fast-check";
import { describe, expect, it } from "vitest";
import golden from "../../../test/golden/statistics/statistics.json" with { type: "json" };
import { histogram } from "./histogram.ts";

describe("histogram()", () => {
  it("agrees with numpy, on edges too", () => {
    for (const { values, low, high, numBins, ...expected } of golden.histogram) {
      expect(histogram(values, { low, high, numBins })).toEqual({ low, high, ...expected });
    }
  });

  it("loses no value", () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ noNaN: true })),
        fc.integer({ min: 1, max: 20 }),
        (values, numBins) => {
          const { counts, numUnderflow, numOverflow } = histogram(values, { low: -1, high: 2.3, numBins });
          expect(counts).toHaveLength(numBins);
          expect(counts.reduce((sum, count) => sum + count, numUnderflow + numOverflow)).toBe(values.length);
        },
      ),
    );
  });

  it("refuses NaN, an empty range and a fraction of a bin", () => {
    expect(() => histogram([Number.NaN], { low: 0, high: 1, numBins: 2 })).toThrow(/value 0/);
    expect(() => histogram([], { low: 1, high: 1, numBins: 2 })).toThrow(RangeError);
    expect(() => histogram([], { low: 0, high: 1, numBins: 1.5 })).toThrow(RangeError);
  });
});
