import fc from "fast-check";
import { describe, expect, it } from "vitest";
import golden from "../../../test/golden/statistics/statistics.json" with { type: "json" };
import { mcnemarExact, mcnemarMidP } from "./mcnemar.ts";

describe("mcnemarExact()", () => {
  it("agrees with exact integer arithmetic and with scipy", () => {
    for (const row of golden.mcnemarExact) {
      const pValue = mcnemarExact(row);
      expect(Math.abs(pValue / row.exact - 1)).toBeLessThan(1e-12);
      expect(Math.abs(pValue / row.scipy - 1)).toBeLessThan(1e-9);
    }
  });

  it("finds nothing where nothing differs", () => {
    expect(mcnemarExact({ onlyFirst: 0, onlySecond: 0 })).toBe(1);
    expect(mcnemarExact({ onlyFirst: 40, onlySecond: 40 })).toBe(1);
  });

  it("stays within [0, 1], is symmetric, and falls as the split grows more uneven", () => {
    fc.assert(
      fc.property(fc.nat(3000), fc.integer({ min: 1, max: 3000 }), (smaller, excess) => {
        const pValue = mcnemarExact({ onlyFirst: smaller, onlySecond: smaller + excess });
        expect(pValue).toBeGreaterThanOrEqual(0);
        expect(pValue).toBeLessThanOrEqual(1);
        expect(mcnemarExact({ onlyFirst: smaller + excess, onlySecond: smaller })).toBe(pValue);
        const next = mcnemarExact({ onlyFirst: smaller, onlySecond: smaller + excess + 1 });
        expect(next).toBeLessThanOrEqual(pValue * (1 + 1e-12));
      }),
    );
  });

  it("stays finite on counts whose factorials overflow", () => {
    expect(mcnemarExact({ onlyFirst: 5_000_000, onlySecond: 5_001_000 })).toBeCloseTo(0.752, 3);
    expect(mcnemarExact({ onlyFirst: 0, onlySecond: 5000 })).toBe(0);
  });

  it("refuses what is not a count", () => {
    expect(() => mcnemarExact({ onlyFirst: -1, onlySecond: 2 })).toThrow(RangeError);
    expect(() => mcnemarExact({ onlyFirst: 1.5, onlySecond: 2 })).toThrow(RangeError);
  });
});

describe("mcnemarMidP()", () => {
  it("agrees with exact integer arithmetic", () => {
    for (const row of golden.mcnemarExact)
      expect(Math.abs(mcnemarMidP(row) / row.mid - 1)).toBeLessThan(1e-10);
  });

  it("is 1 of equal counts, symmetric, and below the exact test of others", () => {
    fc.assert(
      fc.property(fc.nat(500), fc.integer({ min: 1, max: 30 }), (smaller, excess) => {
        expect(mcnemarMidP({ onlyFirst: smaller, onlySecond: smaller })).toBe(1);
        const counts = { onlyFirst: smaller, onlySecond: smaller + excess };
        const pValue = mcnemarMidP(counts);
        expect(mcnemarMidP({ onlyFirst: smaller + excess, onlySecond: smaller })).toBe(pValue);
        expect(pValue).toBeGreaterThan(0);
        expect(pValue).toBeLessThan(mcnemarExact(counts));
      }),
    );
  });

  it("refuses what is not a count", () => {
    expect(() => mcnemarMidP({ onlyFirst: -1, onlySecond: 2 })).toThrow(RangeError);
  });
});
