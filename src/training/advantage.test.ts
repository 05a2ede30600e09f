import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { generalizedAdvantages, groupAdvantages, scaleByGroup, standardize } from "./advantage.ts";

const numberOf: fc.Arbitrary<number> = fc.double({ min: -10, max: 10, noNaN: true });
/** Rewards of some groups, and the size of a group. */
const groupsOf: fc.Arbitrary<{ rewards: number[]; groupSize: number }> = fc
  .tuple(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 5 }))
  .chain(([groupSize, numGroups]) => {
    const length = groupSize * numGroups;
    return fc.record({
      rewards: fc.array(numberOf, { minLength: length, maxLength: length }),
      groupSize: fc.constant(groupSize),
    });
  });

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const deviation = (values: readonly number[]): number => {
  const mean = sum(values) / values.length;
  return Math.sqrt(sum(values.map((value) => (value - mean) ** 2)) / values.length);
};
const groups = (values: readonly number[], size: number): readonly (readonly number[])[] =>
  Array.from({ length: values.length / size }, (_, index) => values.slice(index * size, (index + 1) * size));

describe("groupAdvantages()", () => {
  it("sums to 0 within each group and keeps the differences between its rewards", () => {
    fc.assert(
      fc.property(groupsOf, ({ rewards, groupSize }) => {
        const advantages = groupAdvantages(rewards, groupSize);
        for (const group of groups(advantages, groupSize)) expect(sum(group)).toBeCloseTo(0, 9);
        for (const [index, reward] of rewards.entries()) {
          const first = index - (index % groupSize);
          expect(advantages[index]! - advantages[first]!).toBeCloseTo(reward - rewards[first]!, 9);
        }
      }),
    );
  });
});

describe("scaleByGroup()", () => {
  it("gives each group that varies a deviation of 1", () => {
    fc.assert(
      fc.property(groupsOf, ({ rewards, groupSize }) => {
        const raw = groupAdvantages(rewards, groupSize);
        for (const [index, group] of groups(scaleByGroup(raw, groupSize), groupSize).entries()) {
          const before = deviation(groups(raw, groupSize)[index]!);
          expect(deviation(group)).toBeCloseTo(before / (before + 1e-6), 6);
        }
      }),
    );
  });

  it("gives a group without variation no signal", () => {
    const scaled = scaleByGroup(groupAdvantages([0.1, 0.1, 0.1, 5, 1, 0], 3), 3);
    for (const advantage of scaled.slice(0, 3)) expect(advantage).toBeCloseTo(0, 9);
    for (const advantage of scaled.slice(3)) expect(Math.abs(advantage)).toBeGreaterThan(0.1);
  });
});

describe("standardize()", () => {
  it("gives mean 0 and deviation 1", () => {
    fc.assert(
      fc.property(fc.array(numberOf, { minLength: 2, maxLength: 30 }), (values) => {
        const before = deviation(values);
        const standard = standardize(values);
        expect(sum(standard)).toBeCloseTo(0, 6);
        expect(deviation(standard)).toBeCloseTo(before / (before + 1e-5), 6);
      }),
    );
  });

  it("gives 0 where nothing varies, and nothing for nothing", () => {
    expect(standardize([2, 2, 2])).toEqual([0, 0, 0]);
    expect(standardize([])).toEqual([]);
  });
});

describe("generalizedAdvantages()", () => {
  const turnsOf = fc.array(fc.record({ reward: numberOf, value: numberOf }), { maxLength: 8 });
  const decayOf = fc.record({
    discount: fc.double({ min: 0, max: 1, noNaN: true }),
    traceDecay: fc.double({ min: 0, max: 1, noNaN: true }),
  });

  it("is the sum of the discounted errors that follow, none of them beyond the last turn", () => {
    fc.assert(
      fc.property(turnsOf, decayOf, (turns, { discount, traceDecay }) => {
        const errors = turns.map(({ reward, value }, t) => {
          const next = t + 1 < turns.length ? turns[t + 1]!.value : 0;
          return reward + discount * next - value;
        });
        const direct = errors.map((_, t) =>
          sum(errors.slice(t).map((error, later) => (discount * traceDecay) ** later * error)),
        );
        const advantages = generalizedAdvantages(turns, { discount, traceDecay });
        expect(advantages).toHaveLength(direct.length);
        for (const [t, advantage] of advantages.entries()) expect(advantage).toBeCloseTo(direct[t]!, 9);
      }),
    );
  });

  it("bootstraps nothing after the last turn", () => {
    const decay = { discount: 0.9, traceDecay: 0.95 };
    expect(generalizedAdvantages([{ reward: 5, value: 2 }], decay)).toEqual([3]);
    const turns = [
      { reward: -1, value: 4 },
      { reward: 5, value: 2 },
    ];
    expect(generalizedAdvantages(turns, decay).at(-1)).toBe(3);
  });

  it("is the return less the value at a trace decay of 1", () => {
    const turns = [
      { reward: 1, value: 7 },
      { reward: 2, value: 11 },
      { reward: 4, value: 13 },
    ];
    const advantages = generalizedAdvantages(turns, { discount: 0.5, traceDecay: 1 });
    expect(advantages).toEqual([1 + 1 + 1 - 7, 2 + 2 - 11, 4 - 13]);
  });
});
