import { describe, expect, it } from "vitest";
import golden from "../../../test/golden/statistics/statistics.json" with { type: "json" };
import { createRandom } from "../core/index.ts";
import { type BootstrapStatistic, pairedBootstrap } from "./paired-bootstrap.ts";

const statistics: { readonly [name: string]: BootstrapStatistic } = {
  difference: ([end = 0, start = 0]) => end - start,
  ratio: ([end = 0, start = 0, peak = 0]) => (peak > start ? (end - start) / (peak - start) : undefined),
};

describe("pairedBootstrap()", () => {
  it("agrees with scipy's percentile interval", () => {
    const { rows, intervals } = golden.pairedBootstrap;
    for (const { statistic, confidence, low, high, standardError } of intervals) {
      const found = pairedBootstrap(rows, statistics[statistic]!, {
        seed: 3,
        numResamples: 20_000,
        confidence,
      });
      // a 2.5 % quantile of 20 000 normal draws has a standard error of 0.019 standard deviations: 4 of those
      const tolerance = 4 * 0.019 * standardError;
      expect(found.numUndefined).toBe(0);
      expect(Math.abs(found.low! - low)).toBeLessThan(tolerance);
      expect(Math.abs(found.high! - high)).toBeLessThan(tolerance);
    }
  });

  it("repeats for the same seed and moves for another", () => {
    const { rows } = golden.pairedBootstrap;
    const first = pairedBootstrap(rows, ([mean]) => mean, { seed: 1, numResamples: 200 });
    expect(pairedBootstrap(rows, ([mean]) => mean, { seed: 1, numResamples: 200 })).toEqual(first);
    expect(pairedBootstrap(rows, ([mean]) => mean, { seed: 2, numResamples: 200 })).not.toEqual(first);
  });

  it("keeps the columns of an item together", () => {
    const rows = [0, 1, 0, 1, 1, 0, 0].map((value) => [value, value]);
    const interval = pairedBootstrap(rows, ([first = 0, second = 0]) => first - second, { seed: 1 });
    expect(interval).toEqual({ low: 0, high: 0, numUndefined: 0 });
  });

  it("gives an interval while at most 5 % of resamples are undefined, and none beyond", () => {
    const undefinedOn = (numUndefined: number) => {
      let round = 0;
      const statistic: BootstrapStatistic = ([mean]) => (round++ < numUndefined ? undefined : mean);
      return pairedBootstrap([[1], [2], [4]], statistic, { seed: 1, numResamples: 100 });
    };
    expect(undefinedOn(5)).toMatchObject({ low: expect.any(Number), numUndefined: 5 });
    expect(undefinedOn(6)).toEqual({ low: undefined, high: undefined, numUndefined: 6 });
  });

  it("contains the true difference in about 95 of 100 samples", () => {
    const random = createRandom(2, "bootstrap coverage");
    let numCovered = 0;
    for (let trial = 0; trial < 600; trial++) {
      const rows = Array.from({ length: 100 }, () => {
        const difficulty = random.uniform();
        return [difficulty < 0.7 ? 1 : 0, difficulty * 0.5 + random.uniform() * 0.5 < 0.5 ? 1 : 0];
      });
      const interval = pairedBootstrap(rows, statistics.difference!, { seed: trial, numResamples: 400 });
      if (interval.low! <= 0.2 + 1e-12 && interval.high! >= 0.2 - 1e-12) numCovered++;
    }
    // 4 standard errors of a rate near 0.95 in 600 trials are 0.036; percentile intervals run about 0.01 short
    expect(numCovered / 600).toBeGreaterThan(0.95 - 0.046);
    expect(numCovered / 600).toBeLessThan(0.95 + 0.036);
  });

  it("refuses no rows, ragged rows, bad settings and a statistic that is NaN", () => {
    const mean: BootstrapStatistic = ([value]) => value;
    expect(() => pairedBootstrap([], mean, { seed: 1 })).toThrow(RangeError);
    expect(() => pairedBootstrap([[1], [1, 2]], mean, { seed: 1 })).toThrow(TypeError);
    expect(() => pairedBootstrap([[1]], mean, { seed: 1, numResamples: 0 })).toThrow(RangeError);
    expect(() => pairedBootstrap([[1]], mean, { seed: 1, confidence: 95 })).toThrow(RangeError);
    expect(() => pairedBootstrap([[1]], () => Number.NaN, { seed: 1 })).toThrow(/NaN/);
  });
});
