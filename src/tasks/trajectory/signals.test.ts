import { describe, expect, it } from "vitest";
import type { CheckpointOutcome } from "./checkpoint-outcome.ts";
import { findKnee, rankSignals } from "./signals.ts";

const outcome = (step: number, share: number): CheckpointOutcome => ({
  id: `sft-${step}`,
  stage: "sft",
  step,
  solved: { id: [true], ood: Array.from({ length: 40 }, (_, index) => index < 40 * share) },
});
const checkpoints = [outcome(1, 0.2), outcome(2, 0.8), outcome(3, 0.6), outcome(4, 0.1)];
const rank = (...signals: Parameters<typeof rankSignals>[1]): ReturnType<typeof rankSignals> =>
  rankSignals(checkpoints, signals);

describe("rankSignals()", () => {
  it("charges a signal with what is lost at the checkpoint that it chooses", () => {
    const { peak, ranked } = rank(
      { name: "training loss", rule: "lowest", values: [3, 2, 1, 0.5] },
      { name: "ID accuracy", rule: "highest", values: [0.5, 0.9, 1, 1] },
      { name: "oracle", rule: "highest", values: [0, 1, 0, 0] },
    );
    expect(peak).toEqual({ checkpoint: "sft-2", step: 2 });
    expect(ranked.map(({ name, step, regret }) => [name, step, regret.estimate])).toEqual([
      ["oracle", 2, 0],
      // Items 24 to 31, and 4 to 31.
      ["ID accuracy", 3, 0.2],
      ["training loss", 4, 0.7],
    ]);
    expect(ranked[2]?.regret).toMatchObject({ numItems: 40, onlyFirst: 28, onlySecond: 0 });
  });

  it("chooses among the checkpoints where a signal was measured, the earliest of equals", () => {
    const { ranked, unmeasured } = rank(
      { name: "seldom", rule: "lowest", values: [undefined, undefined, 1, 1] },
      { name: "once", rule: "lowest", values: [undefined, 1, undefined, Number.NaN] },
      { name: "never", rule: "highest", values: [] },
    );
    expect(ranked.map(({ name, step }) => [name, step])).toEqual([["seldom", 3]]);
    expect(unmeasured).toEqual(["once", "never"]);
  });

  it("has nothing to rank without checkpoints", () => {
    expect(() => rankSignals([], [])).toThrow(RangeError);
  });
});

describe("findKnee()", () => {
  it.each([
    [[0, 0.8, 0.9, 1], 1],
    [[0, 1, 2, 3], 0],
    [[5, 5, 5], 0],
    [[0, 0.1, 0.9, 1], 2],
    [[1, 0.2, 0.1, 0], 1],
  ])("of %j is %i", (values, index) => {
    expect(findKnee(values)).toBe(index);
  });
});
