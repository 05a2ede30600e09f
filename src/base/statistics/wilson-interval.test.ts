import fc from "fast-check";
import { describe, expect, it } from "vitest";
import golden from "../../../test/golden/statistics/statistics.json" with { type: "json" };
import { createRandom } from "../core/index.ts";
import { wilsonInterval } from "./wilson-interval.ts";

describe("wilsonInterval()", () => {
  it("agrees with scipy to 1e-9", () => {
    for (const row of golden.wilsonInterval) {
      const interval = wilsonInterval(row, { confidence: row.confidence });
      expect(Math.abs(interval.low - row.low)).toBeLessThan(1e-9);
      expect(Math.abs(interval.high - row.high)).toBeLessThan(1e-9);
    }
  });

  it("holds the observed rate, inside [0, 1], and mirrors when right and wrong swap", () => {
    const tally = fc
      .nat(500)
      .chain((total) => fc.record({ correct: fc.nat(total), total: fc.constant(total) }));
    fc.assert(
      fc.property(tally, ({ correct, total }) => {
        const { low, high } = wilsonInterval({ correct, total });
        const mirrored = wilsonInterval({ correct: total - correct, total });
        expect(low).toBeGreaterThanOrEqual(0);
        expect(high).toBeLessThanOrEqual(1);
        if (total > 0) expect(low <= correct / total && correct / total <= high).toBe(true);
        expect(mirrored.low).toBeCloseTo(1 - high, 12);
      }),
    );
  });

  it("lies between its neighbors for a fraction", () => {
    const [below, between, above] = [4, 4.25, 5].map((correct) => wilsonInterval({ correct, total: 9 }));
    expect(between!.low).toBeGreaterThan(below!.low);
    expect(between!.high).toBeLessThan(above!.high);
  });

  it("knows nothing after no trial", () => {
    expect(wilsonInterval({ correct: 0, total: 0 })).toEqual({ low: 0, high: 1 });
  });

  it("contains the true rate in about 95 of 100 samples", () => {
    const random = createRandom(1, "wilson coverage");
    for (const rate of [0.1, 0.5, 0.8]) {
      let numCovered = 0;
      for (let trial = 0; trial < 2000; trial++) {
        let correct = 0;
        for (let item = 0; item < 100; item++) if (random.uniform() < rate) correct++;
        const { low, high } = wilsonInterval({ correct, total: 100 });
        if (low <= rate && rate <= high) numCovered++;
      }
      // 4 standard errors of a rate near 0.95 in 2000 trials, and the 1 % by which exact coverage oscillates
      expect(Math.abs(numCovered / 2000 - 0.95)).toBeLessThan(0.0195 + 0.01);
    }
  });

  it("refuses what is not a tally or a confidence", () => {
    expect(() => wilsonInterval({ correct: 3, total: 2 })).toThrow(RangeError);
    expect(() => wilsonInterval({ correct: -1, total: 2 })).toThrow(RangeError);
    expect(() => wilsonInterval({ correct: 1, total: 2.5 })).toThrow(RangeError);
    expect(() => wilsonInterval({ correct: Number.NaN, total: 2 })).toThrow(RangeError);
    expect(() => wilsonInterval({ correct: 1, total: 2 }, { confidence: 1 })).toThrow(/confidence of 1/);
  });
});
