import fc from "fast-check";
import { describe, expect, it } from "vitest";
import golden from "../../../test/golden/statistics/statistics.json" with { type: "json" };
import { mcnemarMidP } from "./mcnemar.ts";
import { tangoInterval } from "./tango-interval.ts";

const z = 1.959963984540054;

const counts = fc
  .record({
    numItems: fc.integer({ min: 1, max: 600 }),
    shares: fc.tuple(fc.nat(1000), fc.nat(1000), fc.nat(1000)),
  })
  .map(({ numItems, shares: [first, second, none] }) => {
    const total = first + second + none + 1;
    const onlyFirst = Math.floor((numItems * first) / total);
    return { numItems, onlyFirst, onlySecond: Math.floor((numItems * second) / total) };
  });

describe("tangoInterval()", () => {
  it("ends where a score with a share that was searched for reaches the critical value", () => {
    for (const { critical, low, high, ...row } of golden.tangoInterval) {
      const interval = tangoInterval(row, critical);
      expect(interval.low).toBeCloseTo(low, 8);
      expect(interval.high).toBeCloseTo(high, 8);
    }
  });

  it("lies in [−1, 1], is no point, holds the estimate, and turns with its sides", () => {
    fc.assert(
      fc.property(counts, ({ numItems, onlyFirst, onlySecond }) => {
        const { low, high } = tangoInterval({ numItems, onlyFirst, onlySecond }, z);
        const estimate = (onlyFirst - onlySecond) / numItems;
        expect(low).toBeGreaterThanOrEqual(-1);
        expect(high).toBeLessThanOrEqual(1);
        expect(high - low).toBeGreaterThan(1 / numItems / 2);
        expect(low).toBeLessThanOrEqual(estimate + 1e-12);
        expect(high).toBeGreaterThanOrEqual(estimate - 1e-12);
        const turned = tangoInterval({ numItems, onlyFirst: onlySecond, onlySecond: onlyFirst }, z);
        expect([turned.low, turned.high]).toEqual([-high, -low]);
      }),
    );
  });

  it("holds 0 just where the score of 0 is no larger, and wherever the mid-p test finds nothing but in a few small tables", () => {
    let numApart = 0;
    for (let onlyFirst = 0; onlyFirst < 120; onlyFirst++)
      for (let onlySecond = 0; onlySecond < 120; onlySecond++) {
        const { low, high } = tangoInterval({ onlyFirst, onlySecond, numItems: 400 }, z);
        const holdsZero = low <= 0 && high >= 0;
        const score = Math.abs(onlyFirst - onlySecond) / Math.sqrt(onlyFirst + onlySecond);
        expect(holdsZero).toBe(!(score > z));
        const isFound = mcnemarMidP({ onlyFirst, onlySecond }) < 0.05;
        // Where mid-p finds a difference, so does the score.
        if (isFound) expect(holdsZero).toBe(false);
        else if (!holdsZero) numApart++;
      }
    expect(numApart).toBeLessThan(40);
  });

  it("refuses what are no counts", () => {
    expect(() => tangoInterval({ onlyFirst: 3, onlySecond: 3, numItems: 5 }, z)).toThrow(RangeError);
    expect(() => tangoInterval({ onlyFirst: -1, onlySecond: 3, numItems: 5 }, z)).toThrow(RangeError);
    expect(() => tangoInterval({ onlyFirst: 0, onlySecond: 0, numItems: 0 }, z)).toThrow(RangeError);
  });
});
