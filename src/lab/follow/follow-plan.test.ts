import { describe, expect, it } from "vitest";
import type { FoundTraining } from "../../bridge/trainer/index.ts";
import {
  describeLineageFile,
  planFollowed,
  resolveLineage,
  type SaidOfTraining,
  slugify,
} from "./follow-plan.ts";

/** A training as it was found: its steps, and what its files say it is. */
function find(
  folder: string,
  stage: "sft" | "rl",
  { steps = [10, 20], base }: { readonly steps?: readonly number[]; readonly base?: string } = {},
): FoundTraining {
  return {
    folder,
    guess: { stage, because: `${folder} looks like it` },
    checkpoints: steps.map((step) => ({ step, folder: `${folder}/checkpoint-${step}`, isAdapter: false })),
    partial: [],
    leftOut: [],
    notes: [],
    ...(base !== undefined && { base }),
    log: { steps: [], unread: [] },
  };
}

const say = (folder: string, given: Partial<SaidOfTraining> = {}): SaidOfTraining => ({ folder, ...given });

describe("planFollowed()", () => {
  it("puts SFT first, and starts RL at the checkpoint that its files name, else at the last, which it says is assumed", () => {
    const sft = find("/t/sft", "sft");
    const named = find("/t/grpo", "rl", { base: "/t/sft/checkpoint-10" });
    const plan = planFollowed([named, find("/t/ppo", "rl"), sft], []);
    expect(
      plan.map(({ stage, branch, from, isStartAssumed }) => [stage, branch, from, isStartAssumed]),
    ).toEqual([
      ["sft", undefined, undefined, false],
      ["rl", "grpo", 10, false],
      ["rl", "ppo", 20, true],
    ]);
    expect(plan[1]?.because).toBe("/t/grpo looks like it");
  });

  it("takes what was said before what was found", () => {
    const said = [say("/t/a", { stage: "rl", branch: "mine", from: 10 }), say("/t/b", { stage: "sft" })];
    const plan = planFollowed([find("/t/a", "sft"), find("/t/b", "rl")], said);
    expect(plan.map(({ stage, branch, from, because }) => [stage, branch, from, because])).toEqual([
      ["sft", undefined, undefined, "that was said"],
      ["rl", "mine", 10, "that was said"],
    ]);
  });

  it("knows steps that the trainer has deleted since", () => {
    const said = [say("/t/rl", { stage: "rl", from: 5 })];
    const [, branch] = planFollowed([find("/t/sft", "sft"), find("/t/rl", "rl")], said, [5]);
    expect(branch).toMatchObject({ from: 5, isStartAssumed: false });
    expect(() => planFollowed([find("/t/sft", "sft"), find("/t/rl", "rl")], said)).toThrow(
      "Cannot start rl from SFT step 5: there is no such checkpoint; the steps are 10, 20",
    );
    expect(() => planFollowed([find("/t/rl", "rl")], said)).toThrow(
      "the steps are none, as no training is taken for SFT",
    );
  });

  it("names branches after their folders, each otherwise, and none after a folder that says nothing", () => {
    const folders = ["/x/My Run_2/checkpoints", "/y/My Run 2/actor", "/outputs/ckpt", "/z/sft"];
    const plan = planFollowed(
      folders.map((folder) => find(folder, "rl")),
      [],
    );
    expect(plan.map(({ branch }) => branch)).toEqual(["my-run-2", "my-run-2-2", "rl", "rl-2"]);
  });

  it("takes folders for one training only where that was said", () => {
    const parts = [find("/t/one", "sft"), find("/t/two", "sft", { steps: [5, 15] })];
    expect(() => planFollowed(parts, [])).toThrow(
      'Cannot follow "/t/one" and "/t/two" as one run: both are taken for SFT (/t/two looks like it)',
    );
    const said = [say("/t/one", { stage: "sft" }), say("/t/two", { stage: "sft", after: 20 })];
    const [sft, ...others] = planFollowed(parts.toReversed(), said);
    expect(others).toEqual([]);
    expect(sft?.found.checkpoints.map(({ step }) => step)).toEqual([10, 20, 25, 35]);
    expect(sft?.parts).toEqual([{ folder: "/t/one" }, { folder: "/t/two", after: 20 }]);
  });

  it("joins folders of RL that were said to be of one branch", () => {
    const said = ["/t/a", "/t/b"].map((folder) => say(folder, { stage: "rl", branch: "both" }));
    const plan = planFollowed([find("/t/a", "rl"), find("/t/b", "rl", { steps: [30] })], said);
    expect(plan.map(({ branch, found }) => [branch, found.checkpoints.length])).toEqual([["both", 3]]);
  });

  it("refuses a folder that was named twice, and a branch that two trainings have", () => {
    expect(() => planFollowed([find("/t/a", "rl")], [say("/t/a"), say("/t/a")])).toThrow(
      'Cannot follow "/t/a" twice: the lineage file names it in two entries; leave one of them out',
    );
    // One entry says it of all trainings in its folder.
    const said = [say("/t", { stage: "rl", branch: "mine" })];
    expect(() => planFollowed([find("/t/a", "rl"), find("/t/b", "rl")], said)).toThrow(
      'Cannot follow "/t/b": another training is called mine already; choose another branch',
    );
  });
});

describe("describeLineageFile()", () => {
  it("says all that was taken, so that a user can say otherwise", () => {
    const said = [say("/t/sft", { stage: "sft", steps: "step-{step}" })];
    const plan = planFollowed([find("/t/sft", "sft"), find("/t/rl", "rl")], said);
    expect(describeLineageFile(plan)).toBe(
      [
        "trainings:",
        '  - { folder: /t/sft, stage: sft, steps: "step-{step}" }',
        "  - { folder: /t/rl, stage: rl, branch: rl, from: 20 }",
      ].join("\n"),
    );
  });
});

describe("resolveLineage()", () => {
  it("takes folders relative to the file", () => {
    expect(resolveLineage({ base: "../base", trainings: [say("sft"), say("/abs")] }, "/home/file")).toEqual({
      base: "/home/base",
      trainings: [say("/home/file/sft"), say("/abs")],
    });
  });
});

describe("slugify()", () => {
  it("leaves lower-case words joined by hyphens", () => {
    expect(["My Run_2", "--a--", "日本", "Ab.c"].map(slugify)).toEqual(["my-run-2", "a", "", "ab-c"]);
  });
});
