import { describe, expect, it } from "vitest";
import { UsageError } from "../../base/core/index.ts";
import { countdown } from "./countdown.ts";

const traps = countdown.parseTask({ numbers: [1, 81, 1, 1], target: 81 });
const grade = (formula: unknown, task = traps): readonly unknown[] => {
  const { outcome, reward } = countdown.grade(task, JSON.stringify({ formula }), { promptFormat: "chat" });
  return [outcome, reward];
};

/** All values of all formulas of some numbers, as texts of fractions: every number once, every order and bracket. */
function listValues(numbers: readonly (readonly [bigint, bigint])[]): ReadonlySet<string> {
  if (numbers.length === 1) return new Set(numbers.map(([n, d]) => `${n}/${d}`));
  const found = new Set<string>();
  for (let i = 0; i < numbers.length; i++)
    for (let j = 0; j < numbers.length; j++) {
      if (i === j) continue;
      const [[a, b], [c, d]] = [numbers[i]!, numbers[j]!];
      const others = numbers.filter((_, index) => index !== i && index !== j);
      const results: (readonly [bigint, bigint])[] = [
        [a * d + c * b, b * d],
        [a * d - c * b, b * d],
        [a * c, b * d],
      ];
      if (c !== 0n) results.push([a * d, b * c]);
      for (const result of results)
        for (const value of listValues([...others, reduce(result)])) found.add(value);
    }
  return found;
}

function reduce([numerator, denominator]: readonly [bigint, bigint]): readonly [bigint, bigint] {
  const abs = (value: bigint): bigint => (value < 0n ? -value : value);
  let [a, b] = [abs(numerator), abs(denominator)];
  while (b !== 0n) [a, b] = [b, a % b];
  const scale = (denominator < 0n ? -1n : 1n) * (a === 0n ? 1n : a);
  return [numerator / scale, denominator / scale];
}

describe("countdown", () => {
  it.each([
    // What users of other verifiers found accepted: duplicates dropped, foreign numbers, truncated divisions.
    ["81*1*1*1", ["correct", 5]],
    ["81*1", ["wrong-numbers", -2]],
    ["81", ["wrong-numbers", -2]],
    ["81*1*1*1*1", ["wrong-numbers", -2]],
    ["81*1*1+1-1", ["wrong-numbers", -2]],
    ["(81+1)/1-1", ["correct", 5]],
    ["81*1/1*1", ["correct", 5]],
    ["81*1*(1/1) = 81", ["correct", 5]],
    ["81+1+1-1", ["incorrect", -1]],
    ["81/(1-1)*1", ["incorrect", -1]],
    ["-81*1*1*1", ["illegal", -3]],
    ["81**1*1*1", ["illegal", -3]],
    ["81 × 1 × 1 ÷ 1", ["correct", 5]],
    ["81*1*1*1 = 82", ["incorrect", -1]],
    ["__import__('os')", ["illegal", -3]],
    ["", ["illegal", -3]],
    [null, ["illegal", -3]],
    [81, ["illegal", -3]],
    ["9".repeat(400), ["wrong-numbers", -2]],
  ] as const)("grades %j for 81 of 1, 81, 1, 1", (formula, expected) => {
    expect(grade(formula)).toEqual(expected);
  });

  it("never rounds: fractions on the way are exact, and near misses are misses", () => {
    const thirds = countdown.parseTask({ numbers: [3, 3, 8, 8], target: 24 });
    expect(grade("8/(3-8/3)", thirds)).toEqual(["correct", 5]);
    const huge = countdown.parseTask({ numbers: [999_999, 999_999, 999_998, 1_000_000], target: 1 });
    // (n² − (n−1)(n+1)) is 1 exactly, and far beyond 53 bits on the way.
    expect(grade("999999*999999-999998*1000000", huge)).toEqual(["correct", 5]);
    const truncated = countdown.parseTask({ numbers: [7, 2, 1], target: 3 });
    expect(grade("7/2*1", truncated)).toEqual(["incorrect", -1]);
  });

  it("has a solution that a search over all formulas finds too", () => {
    for (let index = 0; index < 40; index++) {
      const task = countdown.createTask({ split: "id", seed: 11, index, promptFormat: "chat" });
      const values = listValues(task.numbers.map((value) => [BigInt(value), 1n]));
      expect(values.has(`${task.target}/1`)).toBe(true);
      expect(
        countdown.grade(task, countdown.referenceAnswer(task, "chat"), { promptFormat: "chat" }).parts.solved,
      ).toBe(true);
    }
  });

  it("differs between the splits in how many numbers there are, and in nothing else", () => {
    for (const [split, count] of [
      ["id", 4],
      ["ood", 6],
    ] as const)
      for (let index = 0; index < 200; index++) {
        const { numbers, target } = countdown.createTask({ split, seed: 5, index, promptFormat: "chat" });
        expect(numbers).toHaveLength(count);
        expect(Math.min(...numbers)).toBeGreaterThanOrEqual(1);
        expect(Math.max(...numbers)).toBeLessThanOrEqual(50);
        expect(target >= 10 && target <= 99).toBe(true);
      }
  });

  it("refuses tasks of another shape, and has no answer ready for a user's own", () => {
    for (const wrong of [
      {},
      { numbers: [1], target: 1 },
      { numbers: [1, 0.5], target: 1 },
      { numbers: [1, 2] },
      null,
    ])
      expect(() => countdown.parseTask(wrong)).toThrow(UsageError);
    expect(() => countdown.referenceAnswer(traps, "chat")).toThrow(RangeError);
  });
});
