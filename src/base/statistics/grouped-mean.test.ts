import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { studentQuantile } from "./distributions.ts";
import { fiellerInterval, groupedMean } from "./grouped-mean.ts";

const groups = fc.array(
  fc.record({ size: fc.integer({ min: 1, max: 9 }), share: fc.double({ min: -1, max: 1, noNaN: true }) }),
  {
    minLength: 2,
    maxLength: 40,
  },
);

describe("groupedMean()", () => {
  it("of single items is Bonett and Price's interval, worked out by hand", () => {
    // 3 of 10 up, 1 down: with half an item on each side the sum is 2 of 11, and squares 4 + 1 · (½)².
    const sums = [1, 1, 1, -1, 0, 0, 0, 0, 0, 0];
    const { mean, bound, degrees } = groupedMean({ sums, sizes: sums.map(() => 1) });
    expect([mean, degrees]).toEqual([0.2, 9]);
    const center = 2 / 11;
    const squares =
      3 * (1 - center) ** 2 +
      (1 + center) ** 2 +
      6 * center ** 2 +
      0.25 * ((1 - center) ** 2 + (1 + center) ** 2);
    const error = Math.sqrt((squares * 12) / 11) / 11;
    expect(bound(2).low).toBeCloseTo(center - 2 * error, 12);
    expect(bound(2).high).toBeCloseTo(center + 2 * error, 12);
  });

  it("is as sure of whole groups as of items that stand for them", () => {
    const sums = [1, -1, 1, 1, 0, 0, 1, 0];
    const alone = groupedMean({ sums, sizes: sums.map(() => 1) });
    const grouped = groupedMean({ sums: sums.map((sum) => 5 * sum), sizes: sums.map(() => 5) });
    expect(grouped.mean).toBe(alone.mean);
    expect(grouped.pValue).toBeCloseTo(alone.pValue, 12);
  });

  it("never gives a point, and a p-value below a level just where the interval leaves 0 out", () => {
    fc.assert(
      fc.property(groups, (list) => {
        const { bound, pValue, degrees } = groupedMean({
          sums: list.map(({ size, share }) => size * share),
          sizes: list.map(({ size }) => size),
        });
        const { low, high } = bound(studentQuantile(0.975, degrees));
        expect(high - low).toBeGreaterThan(0.001);
        if (Math.abs(pValue - 0.05) > 1e-9) expect(low > 0 || high < 0).toBe(pValue < 0.05);
      }),
    );
  });

  it("has no mean of no groups", () => {
    expect(() => groupedMean({ sums: [], sizes: [] })).toThrow(RangeError);
    expect(() => fiellerInterval({ numerators: [], denominators: [], sizes: [] }, 0.95)).toThrow(RangeError);
  });
});

describe("fiellerInterval()", () => {
  it("ends where N − r D is as far from 0 as its own error allows", () => {
    fc.assert(
      fc.property(
        groups,
        fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: 40, maxLength: 40 }),
        (list, lost) => {
          const sizes = list.map(({ size }) => size);
          const numerators = list.map(({ size, share }) => size * share);
          const denominators = list.map(({ size }, index) => size * (0.7 + 0.3 * (lost[index] ?? 0)));
          const interval = fiellerInterval({ numerators, denominators, sizes }, 0.95);
          if (interval === undefined) return;
          const sum = (values: readonly number[]): number =>
            values.reduce((total, value) => total + value, 0);
          const added = (0.5 * sum(sizes.map((size) => size ** 2))) / sum(sizes);
          const weight = sum(sizes) + 4 * added;
          const t = studentQuantile(0.975, sizes.length - 1);
          for (const ratio of [interval.low, interval.high]) {
            const values = numerators.map((value, index) => value - ratio * (denominators[index] ?? 0));
            const center = sum(values) / weight;
            const variance =
              sum(values.map((value, index) => (value - (sizes[index] ?? 0) * center) ** 2)) +
              2 * added ** 2 * (1 + ratio ** 2);
            expect(sum(values) ** 2 / (t ** 2 * variance)).toBeCloseTo(1, 6);
          }
          const estimate = sum(numerators) / sum(denominators);
          expect(interval.low).toBeLessThanOrEqual(estimate);
          expect(interval.high).toBeGreaterThanOrEqual(estimate);
        },
      ),
    );
  });

  it("is none where the denominator may be 0", () => {
    const sizes = [1, 1, 1, 1];
    expect(
      fiellerInterval({ numerators: [1, 1, 0, 0], denominators: [1, -1, 0, 1], sizes }, 0.95),
    ).toBeUndefined();
  });

  it("is no point where all that was lost came back, item by item", () => {
    const lost = Array.from({ length: 60 }, (_, index) => (index < 30 ? 1 : 0));
    const interval = fiellerInterval(
      { numerators: lost, denominators: lost, sizes: lost.map(() => 1) },
      0.95,
    );
    expect(interval!.low).toBeLessThan(0.98);
    expect(interval!.high).toBeGreaterThan(1.02);
  });
});
