import { describe, expect, it } from "vitest";
import type { Contrast } from "./contrast.ts";
import { type DescribedRepairs, describeRepairs } from "./describe-repairs.ts";

/** A contrast of 100 tasks whose interval lies 10 points to both sides. */
function contrast(onlyFirst: number, onlySecond: number, pValue: number): Contrast {
  const estimate = (onlyFirst - onlySecond) / 100;
  return {
    estimate,
    low: estimate - 0.1,
    high: estimate + 0.1,
    pValue,
    numItems: 100,
    onlyFirst,
    onlySecond,
  };
}

const same: Contrast = { ...contrast(0, 0, 1), low: -0.019, high: 0.019 };

function repair(role: string, name: string, gain: Contrast): DescribedRepairs["repairs"][number] {
  const tally = { correct: 50, total: 100 };
  return { role, name, gain, idGain: same, id: tally, ood: tally, recovered: null };
}

const best: NonNullable<DescribedRepairs["best"]> = {
  name: "directions, top 60 %",
  gain: contrast(32, 2, 1e-7),
  idGain: contrast(1, 4, 0.375),
  recovered: { estimate: 0.714, low: 0.52, high: 0.91 },
};

const edits = [
  repair("edit", "directions, top 60 %", contrast(32, 2, 1e-7)),
  repair("edit", "directions, top 20 %", contrast(9, 2, 0.065)),
];

const say = (change: Partial<DescribedRepairs>): readonly string[] =>
  describeRepairs({ source: "sft-5", target: "sft-100", repairs: edits, best, ...change });

describe("describeRepairs()", () => {
  it("names the best repair, what it changed with its interval and p-value, and what came back", () => {
    expect(say({})).toEqual([
      'From sft-5 into sft-100, the best of 2 repairs on half of the tasks was "directions, top 60 %"; ' +
        "on the other half it changed OOD by +30.0 points [20.0, 40.0] (p < 0.001) and ID by " +
        "−3.0 points [−13.0, 7.0] (not significant, p = 0.375): 71 % [52, 91] of the loss came back.",
    ]);
  });

  it("says nothing of a loss where no share is known", () => {
    const [sentence] = say({ best: { ...best, recovered: null } });
    expect(sentence).toMatch(/\(not significant, p = 0\.375\)\.$/);
  });

  it("keeps the sign of a share that fell further", () => {
    const [sentence] = say({
      best: { ...best, recovered: { estimate: -0.2, low: -0.5, high: 0.1 } },
    });
    expect(sentence).toMatch(/: −20 % \[−50, 10\] of the loss came back\.$/);
  });

  it("calls differences not significant from p = 0.05 on", () => {
    const [below] = say({ best: { ...best, gain: contrast(9, 1, 0.0499) } });
    expect(below).toContain("OOD by +8.0 points [−2.0, 18.0] (p < 0.05)");
    const [at] = say({ best: { ...best, gain: contrast(9, 1, 0.05) } });
    expect(at).toContain("OOD by +8.0 points [−2.0, 18.0] (not significant, p = 0.050)");
  });

  it("says where no task differs, and tells that from gains that cancel out", () => {
    const [none] = say({ best: { ...best, gain: same } });
    expect(none).toContain("OOD by 0.0 points [−1.9, 1.9] (no task differs) and ID");
    const [even] = say({ best: { ...best, gain: contrast(3, 3, 1) } });
    expect(even).toContain("OOD by 0.0 points [−10.0, 10.0] (not significant, p = 1) and ID");
  });

  it("calls the best of repairs that all lose the least harmful", () => {
    const [sentence] = say({ best: { ...best, gain: contrast(2, 32, 1e-7) } });
    expect(sentence).toMatch(
      /^From sft-5 into sft-100, the least harmful of 2 repairs .* OOD by −30\.0 points/,
    );
  });

  /** Both edits, the best one with these controls. */
  const withControls = (...controls: readonly string[]): DescribedRepairs["repairs"] =>
    edits.map((edit) => (edit.name === best.name ? { ...edit, controls } : edit));

  it("tells the controls of the best repair in their order, whatever other repairs' controls did", () => {
    const [, controls, ...rest] = say({
      repairs: [
        repair("values", "v", contrast(2, 0, 0.5)),
        repair("random", "r1", contrast(0, 5, 0.062)),
        ...withControls("i", "b", "r1", "v", "e"),
        repair("random", "r2", contrast(40, 1, 1e-9)),
        repair("rollback", "b", contrast(40, 2, 1e-9)),
        repair("identity", "i", same),
        repair("elsewhere", "e", contrast(6, 0, 0.031)),
      ],
    });
    expect(controls).toBe(
      "Its controls changed OOD on the same tasks by: " +
        "matrices decomposed and rebuilt 0.0 points [−1.9, 1.9]; " +
        "whole matrices rolled back +38.0 points [28.0, 48.0]; " +
        "an update of the same size in random directions −5.0 points [−15.0, 5.0]; " +
        "values only +2.0 points [−8.0, 12.0]; " +
        "the same ranks in other matrices +6.0 points [−4.0, 16.0].",
    );
    expect(rest).toEqual([]);
  });

  it("calls a control that is an edit of the grid by its name", () => {
    const [, controls] = say({ repairs: withControls("directions, top 20 %") });
    expect(controls).toBe(
      'Its controls changed OOD on the same tasks by: "directions, top 20 %" +7.0 points [−3.0, 17.0].',
    );
  });

  it("counts no control among the repairs that the best was chosen from", () => {
    const [sentence] = say({ repairs: [...edits, repair("random", "r", same)] });
    expect(sentence).toContain("the best of 2 repairs");
  });

  it("says nothing of controls that are not there, or not the best one's", () => {
    const rollback = repair("rollback", "b", contrast(6, 0, 0.031));
    expect(say({ repairs: [...edits, rollback] })).toHaveLength(1);
    expect(say({ repairs: withControls("gone") })).toHaveLength(1);
    const [one, other] = edits;
    expect(say({ repairs: [one!, { ...other!, controls: ["b"] }, rollback] })).toHaveLength(1);
    const [, controls] = say({ repairs: [...withControls("gone", "b"), rollback] });
    expect(controls).toMatch(/by: whole matrices rolled back \+6\.0 points \[−4\.0, 16\.0\]\.$/);
  });

  it("says nothing where there is no best repair", () => {
    expect(say({ best: null, repairs: [repair("identity", "i", same)] })).toEqual([]);
    expect(say({ best: null, repairs: withControls("directions, top 20 %") })).toEqual([]);
  });
});
