import { describe, expect, it } from "vitest";
import type { Turn } from "../tasks/rollout/index.ts";
import { averageMetrics, describeAdvantages, describeRewards } from "./policy-metrics.ts";

function turnOf(outcome: string, reward: number): Turn {
  const parts = { format: true, values: true, solved: reward > 0 };
  return {
    sequence: { tokens: [3, 1], numPromptTokens: 1 },
    logProbs: [-1],
    text: "",
    grade: { outcome, reward, parts, feedback: "none" },
  };
}

describe("describeRewards()", () => {
  it("counts each outcome with its mean reward", () => {
    const turns = [turnOf("right", 5), turnOf("wrong", -1), turnOf("wrong", -2), turnOf("right", 5)];
    expect(describeRewards(turns)).toEqual({
      mean: 1.75,
      standardDeviation: Math.sqrt((3.25 ** 2 * 2 + 2.75 ** 2 + 3.75 ** 2) / 4),
      byOutcome: { right: { count: 2, mean: 5 }, wrong: { count: 2, mean: -1.5 } },
    });
  });

  it("knows no mean of no turns", () => {
    expect(describeRewards([])).toEqual({ mean: undefined, standardDeviation: undefined, byOutcome: {} });
  });
});

describe("describeAdvantages()", () => {
  it("gives the share above 0 and the entropy of fixed bins", () => {
    const described = describeAdvantages([-3.3, -3.3, 0, 3.3]);
    expect(described).toMatchObject({ mean: expect.closeTo(-0.825, 9), positiveShare: 0.25 });
    expect(described.entropy).toBeCloseTo(1.5 * Math.log(2), 9);
  });

  it("has no share of no advantages", () => {
    expect(describeAdvantages([])).toMatchObject({ positiveShare: undefined, mean: undefined });
  });
});

describe("averageMetrics()", () => {
  it("weighs minibatches by their rows", () => {
    const parts = [
      { numRows: 3, metrics: { loss: 1, entropy: 2 } },
      { numRows: 1, metrics: { loss: 5, entropy: 2 } },
    ];
    expect(averageMetrics(parts)).toEqual({ loss: 2, entropy: 2 });
    expect(averageMetrics([])).toEqual({});
  });
});
