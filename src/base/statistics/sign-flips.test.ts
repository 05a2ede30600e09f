import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createRandom } from "../core/index.ts";
import { flipSigns, scoreStatistic } from "./sign-flips.ts";

/** The mid-p value over all signs of few groups. */
function enumerate(
  columns: readonly (readonly number[])[],
  { isOneSided, statistic }: { readonly isOneSided: boolean; readonly statistic: number },
): number {
  const numGroups = columns[0]!.length;
  let count = 0;
  for (let bits = 0; bits < 2 ** numGroups; bits++) {
    const scores = columns.map((column) => {
      const score = scoreStatistic(column.map((value, group) => ((bits >> group) & 1 ? value : -value)));
      return isOneSided ? score : Math.abs(score);
    });
    const largest = Math.max(...scores);
    if (largest > statistic + 1e-9) count += 1;
    else if (largest > statistic - 1e-9) count += 0.5;
  }
  return count / 2 ** numGroups;
}

const tables = fc
  .record({
    numGroups: fc.integer({ min: 2, max: 9 }),
    numColumns: fc.integer({ min: 1, max: 4 }),
    seed: fc.nat(),
  })
  .map(({ numGroups, numColumns, seed }) => {
    const random = createRandom(seed, "columns");
    return Array.from({ length: numColumns }, () =>
      Array.from({ length: numGroups }, () => random.integer(-2, 2) / 2),
    );
  });

describe("flipSigns()", () => {
  it("comes near the p-value over all signs", () => {
    fc.assert(
      fc.property(tables, fc.boolean(), (columns, isOneSided) => {
        const { pValue } = flipSigns(columns, { seed: 1, numDraws: 4000, isOneSided });
        const statistic = Math.max(...columns.map(scoreStatistic));
        const exact = enumerate(columns, { isOneSided, statistic });
        expect(Math.abs(pValue(statistic) - exact)).toBeLessThan(0.045);
      }),
      { numRuns: 60 },
    );
  });

  it("finds below a level just what exceeds the critical value", () => {
    fc.assert(
      fc.property(tables, fc.constantFrom(0.01, 0.05, 0.3), (columns, level) => {
        const { pValue, critical } = flipSigns(columns, { seed: 3, numDraws: 300, isOneSided: false });
        const bar = critical(level);
        expect(pValue(bar)).toBeGreaterThanOrEqual(level);
        expect(pValue(Math.max(bar, Math.sqrt(columns[0]!.length)) + 0.1) < level).toBe(true);
      }),
    );
    const { critical } = flipSigns([[1, 1]], { seed: 3, numDraws: 10, isOneSided: false });
    expect(critical(0.001)).toBe(Number.POSITIVE_INFINITY);
  });

  it("asks more of the largest of many than of one", () => {
    const random = createRandom(2, "many");
    const many = Array.from({ length: 12 }, () => Array.from({ length: 300 }, () => random.integer(-1, 1)));
    const one = flipSigns(many.slice(0, 1), { seed: 1, isOneSided: true }).critical(0.025);
    const all = flipSigns(many, { seed: 1, isOneSided: true }).critical(0.025);
    expect(Math.abs(one - 1.96)).toBeLessThan(0.12);
    expect(all).toBeGreaterThan(2.6);
    expect(all).toBeLessThan(3.1);
  });

  it("draws the same signs from the same seed, and needs a draw", () => {
    const columns = [[1, -1, 1, 1, 0, 1]];
    const read = (seed: number): number =>
      flipSigns(columns, { seed, numDraws: 99, isOneSided: true }).pValue(1);
    expect(read(4)).toBe(read(4));
    expect(() => flipSigns(columns, { seed: 1, numDraws: 0, isOneSided: true })).toThrow(RangeError);
  });

  it("takes columns without a difference for 0", () => {
    expect(scoreStatistic([0, 0])).toBe(0);
    const { pValue } = flipSigns([[0, 0, 0]], { seed: 1, numDraws: 99, isOneSided: false });
    expect(pValue(0)).toBeGreaterThan(0.49);
    expect(pValue(0.5)).toBeLessThan(0.01);
  });
});
