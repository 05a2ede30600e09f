import { describe, expect, it } from "vitest";
import type { LineageEntry, RepairGrid, TrajectoryRecord } from "../../run/index.ts";
import { findEnds } from "./find-ends.ts";

const entry = (id: string, stage: LineageEntry["stage"]): LineageEntry => ({ id, stage, step: 0, path: id });
const lineage = [
  entry("base", "base"),
  entry("s1", "sft"),
  entry("s2", "sft"),
  entry("r1", "rl"),
  entry("r2", "rl"),
];

/** A branch of RL by what it won back. */
const branch = (id: string, gain: number, low: number): object => ({
  end: { checkpoint: id },
  gain: { estimate: gain },
  recovery: { low },
});

/** Only what a grid looks at. */
const trajectory = (branches: readonly object[], rlEnd = "r1"): TrajectoryRecord =>
  ({
    peak: { checkpoint: "s1" },
    sftEnd: { checkpoint: "s2" },
    rlEnd: { checkpoint: rlEnd },
    branches,
  }) as unknown as TrajectoryRecord;

const find = (target: string, source: string, branches: readonly object[] = []): unknown => {
  const ends = findEnds({ target, source } as RepairGrid, { lineage, trajectory: trajectory(branches) });
  return "problem" in ends ? ends.problem : [ends.target.id, ends.source.id];
};

describe("findEnds()", () => {
  it("knows the milestones of a run, and its checkpoints by their names", () => {
    expect(find("sft-end", "peak")).toEqual(["s2", "s1"]);
    expect(find("rl-end", "base")).toEqual(["r1", "base"]);
    expect(find("r2", "s2")).toEqual(["r2", "s2"]);
  });

  it("takes for recovered the branch that clearly won back most", () => {
    const branches = [branch("r1", 0.5, -0.1), branch("r2", 0.2, 0.05), branch("s1", 0.1, 0.05)];
    expect(find("rl-recovered", "base", branches)).toEqual(["r2", "base"]);
    expect(find("rl-recovered", "base", branches.slice(0, 1))).toBe(
      "no RL branch clearly recovered anything",
    );
  });

  it("says why there is nothing to repair", () => {
    expect(find("sft-end", "s2")).toBe("target and source are the same checkpoint, s2");
    expect(find("s9", "peak")).toBe(
      'the run has no checkpoint "s9"; choose from base, peak, sft-end, rl-end, rl-recovered, s1, s2, r1, r2',
    );
    const noRl = { lineage: lineage.slice(0, 3), trajectory: { ...trajectory([]), rlEnd: null } };
    expect(findEnds({ target: "rl-end", source: "peak" } as RepairGrid, noRl)).toEqual({
      problem: "the run has no RL branch",
    });
    expect(findEnds({ target: "x", source: "peak" } as RepairGrid, noRl)).toEqual({
      problem: 'the run has no checkpoint "x"; choose from base, peak, sft-end, s1, s2',
    });
  });
});
