import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { createMemoryAnswerer } from "../../../test/support/memory-answerer.ts";
import { createFallenRun, fallenTasks, solvesFallen } from "../../../test/support/run-folder.ts";
import { createTemporaryFolder, removeFolder } from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/core/index.ts";
import type { ItemRecord, RunFolder } from "../../run/index.ts";
import { readOutcome, renewSummary, summarize, toOutcome } from "./summarize.ts";

const place = createTemporaryFolder();
afterAll(() => removeFolder(place));

const answerer = createMemoryAnswerer(fallenTasks, {
  solves: ({ id }, split, index) => solvesFallen(id, split, index),
});
const { folder } = await createFallenRun(join(place, "run"), answerer);

/** The run as it is with another answer in one place. */
const withItems = (
  change: (items: readonly ItemRecord[], id: string) => readonly ItemRecord[],
): RunFolder => ({
  ...folder,
  readEvaluation: async (id) => change(await folder.readEvaluation(id), id),
});

describe("summarize()", () => {
  it("counts every checkpoint, and finds where OOD accuracy peaks", async () => {
    const { checkpoints, trajectory, recipe, seed } = await summarize(folder);
    expect([recipe, seed]).toEqual(["fallen", 1]);
    expect(checkpoints.map(({ id, accuracy }) => [id, accuracy.id.correct, accuracy.ood.correct])).toEqual([
      ["base", 40, 10],
      ["sft-1", 40, 36],
      ["sft-2", 40, 20],
      ["sft-3", 40, 8],
    ]);
    expect(trajectory).toMatchObject({
      peak: { checkpoint: "sft-1" },
      rlEnd: null,
      recovery: null,
      branches: [],
    });
    // On the tasks at odd positions: 18 of 20 at the peak, 4 of 20 at the end.
    expect(trajectory?.forgetting.estimate).toBe(14 / 20);
  });

  it("refuses checkpoints that were not given the same tasks, whether one differs or one is missing", async () => {
    const other = (items: readonly ItemRecord[], id: string): readonly ItemRecord[] =>
      id === "sft-2"
        ? items.map((item, index) => (index === 3 ? { ...item, promptHash: "other" } : item))
        : items;
    const fewer = (items: readonly ItemRecord[], id: string): readonly ItemRecord[] =>
      id === "sft-2" ? items.slice(0, -1) : items;
    const reordered = (items: readonly ItemRecord[], id: string): readonly ItemRecord[] =>
      id === "sft-2" ? items.toReversed() : items;
    for (const change of [other, fewer, reordered]) {
      const refusal = summarize(withItems(change));
      await expect(refusal).rejects.toThrow(UsageError);
      await expect(refusal).rejects.toThrow(
        "Cannot compare sft-2 with base: they were not given the same tasks",
      );
    }
  });

  it("has no trajectory without SFT, and leaves out an RL that grew from a checkpoint which is not known", async () => {
    const [base, ...rest] = await folder.readLineage();
    if (base === undefined) throw new Error("There is no base");
    const baseOnly = await summarize({ ...folder, readLineage: async () => [base] });
    expect(baseOnly.trajectory).toBeNull();
    const orphan = {
      ...base,
      id: "sft-3",
      stage: "rl",
      branch: "rl-from-9",
      step: 1,
      parent: "sft-9",
    } as const;
    const lineage = [base, ...rest.slice(0, -1), orphan];
    const { checkpoints, trajectory } = await summarize({ ...folder, readLineage: async () => lineage });
    expect(checkpoints.length).toBe(4);
    expect(trajectory?.branches).toEqual([]);
  });
});

describe("toOutcome()", () => {
  it("gives the share of several answers that solved a task", async () => {
    const [entry] = await folder.readLineage();
    const [item] = await folder.readEvaluation("base");
    if (entry === undefined || item === undefined) throw new Error("There is no base");
    const { solved } = toOutcome({
      entry,
      items: [item, { ...item, numAttempts: 4, samples: { solved: 3, total: 4 } }],
    });
    expect(solved).toEqual({ id: [1, 0.75], ood: [] });
  });
});

describe("renewSummary()", () => {
  it("counts anew, and keeps what spectra and repair grids say", async () => {
    const kept = { ...(await summarize(folder)), seed: 99, repairs: [] };
    let written: unknown;
    await renewSummary({
      ...folder,
      readSummary: async () => kept,
      writeSummary: async (summary) => {
        written = summary;
      },
    });
    expect(written).toMatchObject({ seed: 1, repairs: [] });
    expect(written).not.toHaveProperty("spectra");
  });
});

describe("readOutcome()", () => {
  it("takes the summary of a finished run, and counts an unfinished one as far as it is", async () => {
    const kept = await summarize(folder);
    expect(await readOutcome({ ...folder, readSummary: async () => kept })).toBe(kept);
    expect(await readOutcome({ ...folder, readSummary: async () => undefined })).toEqual(kept);
  });
});
