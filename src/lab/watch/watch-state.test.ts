import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { createMemoryAnswerer } from "../../../test/support/memory-answerer.ts";
import { createFallenRun, fallenTasks, solvesFallen } from "../../../test/support/run-folder.ts";
import { createTemporaryFolder, removeFolder } from "../../../test/support/untwist.ts";
import type { ItemRecord, LineageEntry, RunFolder } from "../../run/index.ts";
import { describeState, listChains } from "./watch-state.ts";

const place = createTemporaryFolder();
afterAll(() => removeFolder(place));

const answerer = createMemoryAnswerer(fallenTasks, {
  solves: ({ id }, split, index) => solvesFallen(id, split, index),
});
const { folder } = await createFallenRun(join(place, "run"), answerer);

/** The run as it is with other files. */
const withFiles = (given: Partial<RunFolder>): RunFolder => ({ ...folder, ...given });
const locate = (id: string): string => join(folder.path, "checkpoints", id);

describe("describeState()", () => {
  it("says what fell, since when, how sure that is, and what to keep", async () => {
    const { trainings, mayDelete } = await describeState(folder, { falseAlarmRate: 0.05 });
    expect(mayDelete).toEqual([]);
    expect(trainings.map(({ name, keepPath }) => [name, keepPath])).toEqual([["sft", locate("sft-1")]]);
    // By the hashes of the tasks, seven of the sixteen that were lost are held out. 1/2⁷ = 0.0078.
    expect(trainings[0]?.watch.alert).toMatchObject({ onlyPeak: 7, onlyNewest: 0 });
    expect(trainings[0]?.watch.alert?.pValue).toBeCloseTo(2 ** -7, 12);
    expect(trainings[0]?.alert).toMatch(
      /^OOD accuracy of sft has been falling since step 1: 1\d of 20 \(.*\) there, \d+ of 20 \(.*\) at step 2 .*\(p = 0\.0078; chance of any false alert 5\.0 %\); keep sft-1: /,
    );
  });

  it("is silent where the rate of false alerts does not allow it", async () => {
    const { trainings } = await describeState(folder, { falseAlarmRate: 1e-9 });
    expect(trainings.map(({ alert }) => alert)).toEqual([undefined]);
  });

  it("marks what is neither among the best, nor the newest, nor named by an alert", async () => {
    const state = (
      keepBest: number,
      falseAlarmRate = 0.05,
    ): Promise<{ readonly mayDelete: readonly string[] }> =>
      describeState(folder, { falseAlarmRate, keepBest });
    expect((await state(1)).mayDelete).toEqual([locate("sft-2")]);
    expect((await state(2)).mayDelete).toEqual([]);
  });

  it("never marks the start of an RL, nor a checkpoint that is not evaluated", async () => {
    const branch: LineageEntry = {
      id: "rl-from-2-1",
      stage: "rl",
      step: 1,
      path: "checkpoints/rl",
      parent: "sft-2",
      branch: "rl-from-2",
    };
    const lineage = [...(await folder.readLineage()), branch];
    const withBranch = withFiles({ readLineage: async () => lineage });
    const state = await describeState(withBranch, { falseAlarmRate: 0.05, keepBest: 1 });
    expect(state.mayDelete).toEqual([]);
    const unevaluated = withFiles({
      hasEvaluation: async (id) => id !== "sft-2" && folder.hasEvaluation(id),
    });
    expect((await describeState(unevaluated, { falseAlarmRate: 0.05, keepBest: 1 })).mayDelete).toEqual([]);
  });

  it("says how many of the fallen answers did not come to their end", async () => {
    const cut = (item: ItemRecord): ItemRecord =>
      item.split === "ood" && item.index >= 37 ? { ...item, outcome: "cut off" } : item;
    const withCut = withFiles({
      readEvaluation: async (id) =>
        (await folder.readEvaluation(id)).map((item) => (id === "sft-2" ? cut(item) : item)),
    });
    const { trainings } = await describeState(withCut, { falseAlarmRate: 0.05 });
    expect(trainings[0]?.alert).toMatch(/\(OOD answers of sft-2 that are not complete: 3 cut off\)$/);
  });

  it("knows nothing of a run without evaluations", async () => {
    const { trainings, mayDelete } = await describeState(withFiles({ hasEvaluation: async () => false }), {
      falseAlarmRate: 0.05,
      keepBest: 1,
    });
    expect(trainings.map(({ name, watch }) => [name, watch.looks.length, watch.peak])).toEqual([
      ["sft", 0, undefined],
    ]);
    expect(mayDelete).toEqual([]);
  });
});

describe("listChains()", () => {
  const entry = (id: string, parent?: string, branch?: string): LineageEntry => ({
    id,
    stage: parent === undefined ? "base" : branch === undefined ? "sft" : "rl",
    step: 0,
    path: id,
    ...(parent !== undefined && { parent }),
    ...(branch !== undefined && { branch }),
  });

  it("begins each training with the checkpoint that it grew from", () => {
    const lineage = [
      entry("base"),
      entry("a", "base"),
      entry("b", "a"),
      entry("x", "a", "from-a"),
      entry("y", "x", "from-a"),
      entry("z", "b", "from-b"),
    ];
    expect(listChains(lineage).map(({ name, chain }) => [name, chain.map(({ id }) => id).join(" ")])).toEqual(
      [
        ["sft", "base a b"],
        ["from-a", "a x y"],
        ["from-b", "b z"],
      ],
    );
  });

  it("begins without a start where that is not in the lineage, and finds no training in a base alone", () => {
    expect(listChains([entry("a", "gone"), entry("b", "a")])[0]?.chain.map(({ id }) => id)).toEqual([
      "a",
      "b",
    ]);
    expect(listChains([entry("base")])).toEqual([]);
  });
});
