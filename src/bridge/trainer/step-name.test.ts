import { describe, expect, it } from "vitest";
import { parseStepPattern, readStepName, suggestPattern } from "./step-name.ts";

describe("readStepName()", () => {
  it.each<[string, number]>([
    ["checkpoint-100", 100],
    ["checkpoint_000100", 100],
    ["ckpt-100", 100],
    ["Checkpoint-7", 7],
    ["global_step100", 100],
    ["global_steps_100", 100],
    ["iter_0000100", 100],
    ["iteration-5", 5],
    ["step10", 10],
    ["step-100", 100],
    ["step=100", 100],
    ["training_step_40", 40],
    ["model_step_40", 40],
    ["ep1-ba100", 100],
    ["epoch=3-step=100.ckpt", 100],
    ["epoch_3_step_100", 100],
    ["epoch0epochstep9globalstep19", 19],
    ["checkpoint-epoch-2", 2],
  ])("reads %s as step %i", (name, step) => {
    expect(readStepName(name)).toMatchObject({ step });
  });

  it("says what the number counts, and what is a form of the same step", () => {
    expect(readStepName("epoch_3")).toMatchObject({ step: 3, countsEpochs: true });
    expect(readStepName("epoch_3_step_100")).toMatchObject({ step: 100, epoch: 3, countsEpochs: false });
    for (const name of ["global_step100_hf", "checkpoint-50-merged", "step10-unsharded"])
      expect(readStepName(name)).toMatchObject({ isForm: true });
    expect(readStepName("global_step100")).toMatchObject({ isForm: false });
  });

  it.each([
    "tmp-checkpoint-30",
    "checkpoint-best",
    "checkpoint",
    "v0-20260101-101010",
    "run_3",
    "llama-3-8b",
    "checkpoint-1-2",
    "step_1.5",
    "100",
    "step100-tokens4B",
    "best_global_step100",
    "step_99999999999999999999",
    "",
  ])("takes %j for no step", (name) => {
    expect(readStepName(name)).toBeUndefined();
  });
});

describe("parseStepPattern()", () => {
  it.each<[string, string, number | undefined]>([
    ["round_{step}", "round_12", 12],
    ["round_{step}", "round_12b", undefined],
    ["{step}", "0100", 100],
    ["step{step}-*", "step1000-tokens4B", 1000],
    ["a.b{step}", "axb1", undefined],
    ["epoch_*/part_{step}", "epoch_2/part_7", 7],
  ])("%s reads %s as %s", (pattern, path, step) => {
    expect(parseStepPattern(pattern).match(path.split("/"))?.step).toBe(step);
  });

  it("knows what may lie on the way", () => {
    const pattern = parseStepPattern("epoch_*/part_{step}");
    expect([pattern.depth, pattern.match(["epoch_2"]), pattern.match(["other"])]).toEqual([2, {}, undefined]);
  });
});

describe("suggestPattern()", () => {
  it("puts {step} in the place of the last number", () => {
    expect(suggestPattern("v2/round_12_x")).toBe("v2/round_{step}_x");
    expect(suggestPattern("none")).toBeUndefined();
  });
});
