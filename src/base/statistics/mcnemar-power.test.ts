import fc from "fast-check";
import { describe, expect, it } from "vitest";
import golden from "../../../test/golden/statistics/statistics.json" with { type: "json" };
import { binomialMass, binomialUpperTail } from "./binomial.ts";
import { findDetectableLoss, findNumItems, mcnemarPower } from "./mcnemar-power.ts";

const asked = { level: 0.05, power: 0.8 };

describe("binomialMass() and binomialUpperTail()", () => {
  it("agree with scipy", () => {
    for (const { k, n, probability, mass, upperTail } of golden.binomial) {
      expect(Math.abs(binomialMass(k, { n, probability }) / mass - 1)).toBeLessThan(1e-10);
      expect(Math.abs(binomialUpperTail(k, { n, probability }) / upperTail - 1)).toBeLessThan(1e-10);
    }
  });

  it("are 0 and 1 where nothing is left to chance", () => {
    expect([0, 1, 3].map((k) => binomialMass(k, { n: 3, probability: 0 }))).toEqual([1, 0, 0]);
    expect([0, 1, 3].map((k) => binomialMass(k, { n: 3, probability: 1 }))).toEqual([0, 0, 1]);
    expect(binomialUpperTail(0, { n: 3, probability: 0.2 })).toBe(1);
    expect(binomialUpperTail(4, { n: 3, probability: 0.2 })).toBe(0);
  });
});

describe("mcnemarPower()", () => {
  it("is the sum over all outcomes that scipy's mid-p test calls significant", () => {
    for (const row of golden.mcnemarPower) expect(mcnemarPower(row, 0.05)).toBeCloseTo(row.power, 9);
  });

  it("rises with the loss", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 150 }),
        fc.double({ min: 0, max: 0.3, noNaN: true }),
        (numItems, churn) => {
          const powers = [0, 0.1, 0.3, 0.6].map((loss) =>
            mcnemarPower({ numItems, onlyFirst: churn / 2 + loss, onlySecond: churn / 2 }, 0.05),
          );
          for (const [index, power] of powers.entries())
            expect(power).toBeGreaterThanOrEqual((powers[index - 1] ?? 0) - 1e-9);
        },
      ),
    );
  });

  it("refuses shares that are none", () => {
    expect(() => mcnemarPower({ numItems: 5, onlyFirst: 0.8, onlySecond: 0.4 }, 0.05)).toThrow(RangeError);
    expect(() => mcnemarPower({ numItems: 5, onlyFirst: -0.1, onlySecond: 0.4 }, 0.05)).toThrow(RangeError);
  });
});

describe("findNumItems()", () => {
  it("is the first number at which the power is reached, near that of Miettinen's formula", () => {
    for (const [loss, churn] of [
      [0.03, 0.1],
      [0.1, 0],
      [0.02, 0.3],
    ] as const) {
      const numItems = findNumItems({ ...asked, loss, churn, mostItems: 20_000 }) ?? 0;
      const powerOf = (count: number): number =>
        mcnemarPower({ numItems: count, onlyFirst: loss + churn / 2, onlySecond: churn / 2 }, asked.level);
      expect(powerOf(numItems)).toBeGreaterThanOrEqual(0.8);
      expect(powerOf(numItems - 1)).toBeLessThan(0.8);
      const discordance = loss + churn;
      const [sure, noticed] = [1.959964, 0.841621];
      const root = sure * Math.sqrt(discordance) + noticed * Math.sqrt(discordance - loss ** 2);
      expect(numItems / (root / loss) ** 2).toBeGreaterThan(0.85);
      expect(numItems / (root / loss) ** 2).toBeLessThan(1.1);
    }
  });

  it("finds none beyond the most, and none of no loss", () => {
    expect(findNumItems({ ...asked, loss: 0.01, churn: 0.2, mostItems: 500 })).toBeUndefined();
    expect(() => findNumItems({ ...asked, loss: 0, churn: 0.2, mostItems: 500 })).toThrow(RangeError);
  });
});

describe("findDetectableLoss()", () => {
  it("finds none where all that is solved is too little to be missed", () => {
    expect(findDetectableLoss({ ...asked, numItems: 40, numSolved: 5, churn: 0 })).toBeUndefined();
    expect(findDetectableLoss({ ...asked, numItems: 40, numSolved: 0, churn: 0 })).toBeUndefined();
  });

  it("is the first loss that is noticed in four of five cases", () => {
    for (const churn of [0, 0.1, 0.3]) {
      const numItems = 200;
      const loss = findDetectableLoss({ ...asked, numItems, numSolved: 180, churn }) ?? 0;
      const powerOf = (lost: number): number =>
        mcnemarPower(
          { numItems, onlyFirst: churn / 2 + lost / numItems, onlySecond: churn / 2 },
          asked.level,
        );
      expect(powerOf(loss)).toBeGreaterThanOrEqual(0.8);
      expect(powerOf(loss - 1)).toBeLessThan(0.8);
    }
  });

  it("is larger where answers change back and forth, smaller where there are more items", () => {
    const find = (numItems: number, churn: number): number =>
      (findDetectableLoss({ ...asked, numItems, numSolved: numItems, churn }) ?? Number.NaN) / numItems;
    expect(find(200, 0.2)).toBeGreaterThan(find(200, 0));
    expect(find(2000, 0.2)).toBeLessThan(find(200, 0.2));
  });
});
