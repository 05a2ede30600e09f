import { describe, expect, it } from "vitest";
import type { CheckpointOutcome } from "./checkpoint-outcome.ts";
import { describeTrajectory } from "./describe-trajectory.ts";
import { computeTrajectory } from "./trajectory.ts";

/** `numSolved` of 200 solved, spread so that both halves hold the same share. */
function solve(numSolved: number): boolean[] {
  return Array.from({ length: 200 }, (_, index) => Math.floor(index / 2) < numSolved / 2);
}

function sft(step: number, numSolved: number, parent?: string): CheckpointOutcome {
  return { id: `sft-${step}`, stage: "sft", step, parent, solved: { id: solve(160), ood: solve(numSolved) } };
}

function rl(branch: string, parent: string, numSolved: number): CheckpointOutcome {
  return {
    id: branch,
    stage: "rl",
    step: 50,
    branch,
    parent,
    solved: { id: solve(170), ood: solve(numSolved) },
  };
}

const describeRun = (...checkpoints: readonly CheckpointOutcome[]): string[] =>
  describeTrajectory(computeTrajectory(checkpoints, { seed: 1 }));

describe("describeTrajectory()", () => {
  it("tells a run of forgetting and recovery", () => {
    const sentences = describeRun(
      sft(5, 124),
      sft(100, 40),
      rl("main", "sft-100", 82),
      rl("other", "sft-5", 124),
    );
    expect(sentences).toHaveLength(4);
    expect(sentences[0]).toMatch(
      /^OOD accuracy peaked at step 5 \(62.0 %\) and fell to 20.0 % by step 100: 42.0 points forgotten \(\[3\d.\d, 4\d.\d\], p < 0.001, n = 200\)\.$/,
    );
    expect(sentences[1]).toContain("Each half of the 200 OOD items chose the peak for the other half");
    expect(sentences[2]).toMatch(
      /^RL branch "main" from step 100: OOD 20.0 % → 41.0 %, gained significantly, 21.0 points/,
    );
    expect(sentences[2]).toMatch(
      /ID 80.0 % → 85.0 %; 21.0 of the 42.0 points lost by then came back, 50 % \(\[3\d %, 6\d %\]\)\.$/,
    );
    expect(sentences[3]).toMatch(/no significant change, 0.0 points \(\[−1.9, 1.9\], p = 1, n = 200\)/);
    expect(sentences[3]).toContain("no recovery to report, because the start is the peak itself");
  });

  it("claims no forgetting it cannot show", () => {
    const [slight] = describeRun(sft(5, 100), sft(100, 96));
    expect(slight).toMatch(/no significant forgetting, 2.0 points \(\[0.0, .*p = 0.0/);
    const [none, , rest] = describeRun(sft(5, 90), sft(100, 100));
    expect(none).toBe(
      "OOD accuracy was highest at the last SFT checkpoint (step 100, 50.0 %): no forgetting to report.",
    );
    expect(rest).toContain("nothing to say about recovery");
  });

  it("claims no recovery it cannot show, and names a further loss", () => {
    const [, , same] = describeRun(sft(5, 124), sft(100, 40), rl("main", "sft-100", 44));
    expect(same).toMatch(/no significant change.*no clear recovery/);
    const [, , worse] = describeRun(sft(5, 124), sft(100, 40), rl("main", "sft-100", 4));
    expect(worse).toMatch(
      /lost significantly, −18.0 points.*none of the 42.0 points lost by then came back, it grew by 18.0 points/,
    );
  });

  it("says when the base model was the peak", () => {
    const base: CheckpointOutcome = {
      id: "base",
      stage: "base",
      step: 0,
      solved: { id: solve(9), ood: solve(150) },
    };
    expect(describeRun(base, sft(5, 20, "base"))[0]).toContain(
      "peaked at the base model, before SFT (75.0 %)",
    );
  });

  it("stays within three to six sentences, the main branch first", () => {
    const branches = ["a", "b", "c", "d", "e"].map((name) =>
      rl(name, name === "d" ? "sft-100" : "sft-5", 60),
    );
    const sentences = describeRun(sft(5, 124), sft(100, 40), ...branches);
    expect(sentences).toHaveLength(6);
    expect(sentences[2]).toContain('RL branch "d"');
    expect(sentences[5]).toBe('Not described here: 2 more RL branches ("c", "e").');
    expect(describeRun(sft(5, 124))).toHaveLength(3);
  });
});
