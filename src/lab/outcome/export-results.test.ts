import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createMemoryAnswerer } from "../../../test/support/memory-answerer.ts";
import { createFallenRun, fallenTasks, solvesFallen } from "../../../test/support/run-folder.ts";
import { createTemporaryFolder, removeFolder } from "../../../test/support/untwist.ts";
import { parseEvents } from "../../base/file/index.ts";
import { openEnvironment } from "../../tasks/environment/index.ts";
import { createTasks, hashTask } from "../../tasks/evaluation/index.ts";
import { exportResults } from "./export-results.ts";

const place = createTemporaryFolder();
afterAll(() => removeFolder(place));

const date = new Date("2026-01-02T03:04:05.006Z");
const path = join(place, "run");

beforeAll(async () => {
  const { tasks, splits } = fallenTasks;
  const { promptFormat, evaluation } = tasks;
  const environment = await openEnvironment(tasks.environment);
  const hashes = new Map(
    splits.flatMap((split) =>
      createTasks(
        { environment, promptFormat, seed: evaluation.seed },
        { split, first: 0, numTasks: evaluation.numTasks },
      ).map((task, index): readonly [string, string] => [
        `${split}-${index}`,
        hashTask(environment, task, promptFormat),
      ]),
    ),
  );
  const answerer = createMemoryAnswerer(fallenTasks, {
    solves: ({ id }, split, index) => solvesFallen(id, split, index),
  });
  const { folder } = await createFallenRun(path, {
    ...answerer,
    // As if the tasks of the recipe had been asked.
    answer: async (subject) => {
      const answers = await answerer.answer(subject);
      const items = answers.items.map((item) => ({ ...item, promptHash: hashes.get(item.promptHash) ?? "" }));
      return { ...answers, items };
    },
  });
  await folder.writeMetrics("sft", [
    { step: 2, loss: 0.5, reward: { mean: 0.25, note: "text" }, trainer: { lr: 1 } },
  ]);
});

describe("exportResults()", () => {
  it("writes a table of what was evaluated and logged, a line for each number", async () => {
    const out = join(place, "csv");
    await exportResults(path, out, { form: "csv", date });
    const lines = (await readFile(join(out, "curves.csv"), "utf8")).trimEnd().split("\n");
    expect(lines[0]).toBe("stage,step,name,value");
    // Four checkpoints, two splits, three shares each; two logged numbers.
    expect(lines.length).toBe(1 + 4 * 2 * 3 + 2);
    expect(lines).toContain("sft,0,eval/ood/general-points/acc,0.25");
    expect(lines).toContain("sft,1,eval/ood/general-points/acc,0.9");
    expect(lines).toContain("sft,2,train/loss,0.5");
    expect(lines).toContain("sft,2,train/reward/mean,0.25");
  });

  it("writes the same numbers as lines of JSON and as events of TensorBoard", async () => {
    await exportResults(path, join(place, "jsonl"), { form: "jsonl", date });
    await exportResults(path, join(place, "tfevents"), { form: "tfevents", date });
    const rows = (await readFile(join(place, "jsonl", "curves.jsonl"), "utf8"))
      .trimEnd()
      .split("\n")
      .map(
        (line) =>
          JSON.parse(line) as { readonly name: string; readonly step: number; readonly value: number },
      );
    const [file = ""] = await readdir(join(place, "tfevents", "sft"));
    expect(file).toBe(`events.out.tfevents.${Math.floor(date.getTime() / 1000)}.untwist`);
    const events = parseEvents(await readFile(join(place, "tfevents", "sft", file)));
    expect(events.map(({ name, step }) => [name, step])).toEqual(rows.map(({ name, step }) => [name, step]));
    for (const [index, { value }] of events.entries())
      expect(value).toBe(Math.fround(rows[index]?.value ?? Number.NaN));
  });

  it("writes samples and results of lm-evaluation-harness, each split a task, each checkpoint a folder", async () => {
    const out = join(place, "lm-eval");
    await exportResults(path, out, { form: "lm-eval", date });
    expect((await readdir(out)).toSorted()).toEqual(["base", "sft-1", "sft-2", "sft-3"]);
    const stamp = "2026-01-02T03-04-05.006000";
    expect((await readdir(join(out, "sft-1"))).toSorted()).toEqual([
      `results_${stamp}.json`,
      `samples_general-points-id_${stamp}.jsonl`,
      `samples_general-points-ood_${stamp}.jsonl`,
    ]);
    const results = JSON.parse(await readFile(join(out, "sft-1", `results_${stamp}.json`), "utf8"));
    expect(results.results["general-points-ood"]["acc,none"]).toBe(0.9);
  });

  it("refuses questions that are no longer those that were asked, and leaves nothing behind", async () => {
    const other = join(place, "other");
    await createFallenRun(other, createMemoryAnswerer(fallenTasks));
    const out = join(place, "refused");
    await expect(exportResults(other, out, { form: "lm-eval", date })).rejects.toThrow(
      `Cannot give the questions of "${other}": ID question 0 of general-points is not the one that was asked`,
    );
    await expect(readdir(out)).rejects.toThrow("ENOENT");
  });

  it("refuses a run without evaluations", async () => {
    const bare = join(place, "bare");
    const { folder } = await createFallenRun(bare);
    await folder.writeLineage([]);
    await expect(exportResults(bare, join(place, "none"), { form: "csv", date })).rejects.toThrow(
      "none of its checkpoints is evaluated yet",
    );
  });
});
