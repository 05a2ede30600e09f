import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildModel, writeCheckpointFolder } from "../../../test/support/checkpoint-folder.ts";
import { createFallenRun } from "../../../test/support/run-folder.ts";
import { createTemporaryFolder, hashFiles, removeFolder } from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/core/index.ts";
import { evaluationSchema, openRunFolder, type RunFolder } from "../../run/index.ts";
import { followTrainings } from "./follow-run.ts";
import { type ImportReport, importResults } from "./import-results.ts";

const place = createTemporaryFolder();
const at = (...path: readonly string[]): string => join(place, ...path);
afterAll(() => removeFolder(place));
beforeAll(async () => {
  for (const step of [10, 20])
    await writeCheckpointFolder(at(`sft/checkpoint-${step}`), buildModel(`step ${step}`, "BF16"));
});

/** A new run of two checkpoints without a base. */
const follow = async (name: string): Promise<RunFolder> =>
  (await followTrainings({ folders: [at("sft")], out: at(name) })).folder;

/** A question as lm-evaluation-harness logs it; `value` is the share of its answers that are right. */
interface Sample {
  readonly id: number;
  readonly prompt: string;
  readonly value: number;
  readonly answers?: readonly string[];
  readonly metric?: string;
}

/** Writes a file of samples, in the order given. */
function write(file: string, samples: readonly Sample[]): void {
  mkdirSync(dirname(at(file)), { recursive: true });
  const lines = samples.map(({ id, prompt, value, answers = ["so"], metric = "acc" }) => ({
    doc_id: id,
    target: `right ${id}`,
    arguments: { gen_args_0: { arg_0: prompt, arg_1: {} } },
    filtered_resps: [answers],
    filter: "none",
    metrics: [metric],
    [metric]: value,
  }));
  writeFileSync(at(file), lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
}

/** Questions of a split that are right where they are among those named. */
const ask = (split: string, count: number, right: readonly number[]): readonly Sample[] =>
  Array.from({ length: count }, (_, id) => ({
    id,
    prompt: `${split} ${id}?`,
    value: right.includes(id) ? 1 : 0,
  }));

/** Imports `FOLDER/id/<step>.jsonl` and `FOLDER/ood/<step>.jsonl`. */
const importFrom = (run: string, folder: string): Promise<ImportReport> =>
  importResults(at(run), {
    id: at(folder, "id/{step}.jsonl"),
    ood: at(folder, "ood/{step}.jsonl"),
    choice: {},
  });

/** Writes small results for both checkpoints. */
function writeSmall(folder: string): void {
  for (const step of [10, 20]) {
    write(`${folder}/id/${step}.jsonl`, ask("id", 2, [0]));
    write(`${folder}/ood/${step}.jsonl`, ask("ood", 3, [1]));
  }
}

describe("importResults()", () => {
  it("takes over each question of each checkpoint in one order, whatever the order of the files", async () => {
    const run = await follow("run-whole");
    write("all/checkpoint-10/samples_sums_2026-01-01.jsonl", ask("id", 5, [0, 3]));
    write("all/sft-10.jsonl", ask("ood", 12, [1, 10]));
    write("all/checkpoint-20/samples_sums_2026-01-01.jsonl", ask("id", 5, [0, 1, 2, 3, 4]).toReversed());
    write("all/sft-20.jsonl", ask("ood", 12, [11]).toReversed());
    const { imported, missing, summary, sources } = await importResults(run.path, {
      id: at("all/{name}/samples_*.jsonl"),
      ood: at("all/{id}.jsonl"),
      choice: {},
    });
    expect([imported, missing]).toEqual([["sft-10", "sft-20"], []]);
    expect(summary.checkpoints.map(({ id, accuracy }) => [id, accuracy.id, accuracy.ood])).toEqual([
      ["sft-10", { correct: 2, total: 5 }, { correct: 2, total: 12 }],
      ["sft-20", { correct: 5, total: 5 }, { correct: 1, total: 12 }],
    ]);
    const [first, second] = [await run.readEvaluation("sft-10"), await run.readEvaluation("sft-20")];
    const solvedOod = (items: typeof first): readonly number[] =>
      items.filter(({ split, parts }) => split === "ood" && parts.solved).map(({ index }) => index);
    expect([solvedOod(first), solvedOod(second)]).toEqual([[1, 10], [11]]);
    expect(second.map(({ promptHash }) => promptHash)).toEqual(first.map(({ promptHash }) => promptHash));
    const { tasks } = (await run.readExtra("imported.json")) ?? {};
    expect(tasks).toHaveLength(17);
    expect(Array.isArray(tasks) && tasks[15]).toEqual({
      split: "ood",
      index: 10,
      prompt: "ood 10?",
      reference: "right 10",
    });
    expect((await openRunFolder(run.path)).recipe).toMatchObject({
      environment: "imported",
      evaluation: { numTasks: 12 },
    });
    const shared = { metric: "acc", filter: "none", numSamples: 1 };
    const file = at("all/checkpoint-10/samples_sums_2026-01-01.jsonl");
    expect(sources.filter(({ checkpoint }) => checkpoint === "sft-10")).toEqual([
      { checkpoint: "sft-10", split: "id", path: file, task: "sums", numQuestions: 5, ...shared },
      { checkpoint: "sft-10", split: "ood", path: at("all/sft-10.jsonl"), numQuestions: 12, ...shared },
    ]);
  });

  it("takes the newest of each task, and tells questions of several tasks apart", async () => {
    const run = await follow("run-tasks");
    for (const step of [10, 20]) {
      write(`tasks/id-${step}.jsonl`, ask("id", 2, [0]));
      write(`tasks/${step}/samples_b_2026-01-02.jsonl`, ask("same", 2, [1]));
      write(`tasks/${step}/samples_a_2025-01-01.jsonl`, ask("old", 9, []));
      write(`tasks/${step}/samples_a_2026-01-01.jsonl`, ask("same", 3, [0]));
    }
    const patterns = { id: at("tasks/id-{step}.jsonl"), ood: at("tasks/{step}/samples_*.jsonl") };
    const { summary, sources } = await importResults(run.path, { ...patterns, choice: {} });
    expect(summary.checkpoints[0]?.accuracy.ood).toEqual({ correct: 2, total: 5 });
    const { tasks } = (await run.readExtra("imported.json")) ?? {};
    expect(Array.isArray(tasks) && tasks.slice(2).map(({ prompt }) => prompt)).toEqual([
      "same 0?",
      "same 1?",
      "same 2?",
      "same 0?",
      "same 1?",
    ]);
    const hashes = (await run.readEvaluation("sft-10")).map(({ promptHash }) => promptHash);
    expect(new Set(hashes).size).toBe(2 + 3 + 2);
    const ood = sources.filter(({ checkpoint, split }) => checkpoint === "sft-20" && split === "ood");
    expect(ood.map(({ task, numQuestions }) => [task, numQuestions])).toEqual([
      ["a", 3],
      ["b", 2],
    ]);
  });

  it("counts the share of answers that are right where questions were answered several times", async () => {
    const run = await follow("run-several");
    writeSmall("several");
    for (const step of [10, 20])
      write(
        `several/ood/${step}.jsonl`,
        [0.25, 1, 0].map((value, id) => ({ id, prompt: `${id}?`, value, answers: ["a", "b", "c", "d"] })),
      );
    const { summary, sources } = await importFrom("run-several", "several");
    expect(summary.checkpoints[1]?.accuracy.ood).toEqual({ correct: 1.25, total: 3 });
    const ood = (await run.readEvaluation("sft-20")).filter(({ split }) => split === "ood");
    expect(ood.map(({ samples, outcome, parts }) => [samples?.solved, outcome, parts.solved])).toEqual([
      [1, "partly correct", false],
      [4, "correct", true],
      [0, "incorrect", false],
    ]);
    expect(sources.map(({ numSamples }) => numSamples)).toEqual([1, 4, 1, 4]);
  });

  it("says which checkpoints have no results, and takes over again what was imported before", async () => {
    await follow("run-again");
    writeSmall("again");
    rmSync(at("again/ood/10.jsonl"));
    const first = await importFrom("run-again", "again");
    expect([first.imported, first.missing]).toEqual([["sft-20"], ["sft-10"]]);
    expect(first.summary.checkpoints.map(({ id }) => id)).toEqual(["sft-20"]);
    for (const step of [10, 20]) write(`again/ood/${step}.jsonl`, ask("ood", 3, step === 10 ? [0] : [0, 1]));
    const second = await importFrom("run-again", "again");
    expect([second.imported, second.missing]).toEqual([["sft-10", "sft-20"], []]);
    expect(second.summary.checkpoints.map(({ accuracy }) => accuracy.ood.correct)).toEqual([1, 2]);
    rmSync(at("again/id/20.jsonl"));
    const before = hashFiles(at("run-again"));
    await expect(importFrom("run-again", "again")).rejects.toThrow(
      `Cannot import into "${at("run-again")}": sft-20 has results from before and none among these`,
    );
    expect(hashFiles(at("run-again"))).toEqual(before);
  });
});

describe("importResults() refuses, and keeps nothing of,", () => {
  const ood = ask("ood", 3, [1]);
  const changes: Readonly<Record<string, readonly [samples: readonly Sample[], words: string]>> = {
    "another question": [
      ood.map((sample) => (sample.id === 2 ? { ...sample, prompt: "other?" } : sample)),
      "Cannot compare sft-20 with sft-10: their OOD results are of 3 and 3 questions, and question 2 differs; evaluate all checkpoints on the same questions",
    ],
    "fewer questions": [ood.slice(0, 2), "their OOD results are of 2 and 3 questions; evaluate"],
    "more questions": [ask("ood", 4, [1]), "of 4 and 3 questions, and question 3 differs"],
    "more answers to a question": [
      ood.map((sample) => (sample.id === 1 ? { ...sample, answers: ["a", "b"] } : sample)),
      "OOD question 1 was answered 2 and 1 times; evaluate all checkpoints with as many epochs",
    ],
    "another metric": [
      ood.map((sample) => ({ ...sample, metric: "match" })),
      `"${at("refused/ood/20.jsonl")}" is read by metric match, "${at("refused/ood/10.jsonl")}" by acc; name one by metric`,
    ],
    "what is neither right nor wrong": [
      ood.map((sample) => ({ ...sample, value: 0.5 })),
      `line 1 of "${at("refused/ood/20.jsonl")}": its value 0.5 is neither right (1) nor wrong (0)`,
    ],
  };
  it.each(Object.entries(changes))("%s", async (name, [samples, words]) => {
    const { path } = await follow(`run-refused-${name.replaceAll(" ", "-")}`);
    writeSmall("refused");
    write("refused/ood/20.jsonl", samples);
    const before = hashFiles(path);
    const refusal = importResults(path, {
      id: at("refused/id/{step}.jsonl"),
      ood: at("refused/ood/{step}.jsonl"),
      choice: {},
    });
    await expect(refusal).rejects.toThrow(UsageError);
    await expect(refusal).rejects.toThrow(words);
    expect(hashFiles(path)).toEqual(before);
  });

  it("patterns that mean one file for all checkpoints, or none", async () => {
    const { path } = await follow("run-patterns");
    writeSmall("patterns");
    const both = (pattern: string): Promise<ImportReport> =>
      importResults(path, { id: at(pattern), ood: at(pattern), choice: {} });
    await expect(both("patterns/id/10.jsonl")).rejects.toThrow(
      `Cannot tell checkpoints apart in "${at("patterns/id/10.jsonl")}"`,
    );
    await expect(both("patterns/{name}-{id}-{step}.jsonl")).rejects.toThrow(
      `no checkpoint has both results; of sft-20, "${at("patterns/{name}-{id}-{step}.jsonl")}" means "${at("patterns/checkpoint-20-sft-20-20.jsonl")}"`,
    );
  });

  it("results for a run that untwist evaluates", async () => {
    writeSmall("foreign");
    await createFallenRun(at("run-own"));
    const followed = await follow("run-asked");
    const evaluation = evaluationSchema.parse({ numTasks: 4 });
    await followed.writeRecipe({ ...followed.recipe, environment: "general-points", evaluation });
    for (const run of ["run-own", "run-asked"]) {
      const before = hashFiles(at(run));
      await expect(importFrom(run, "foreign")).rejects.toThrow(
        `Cannot import into "${at(run)}": its checkpoints are evaluated by untwist; follow them into another run`,
      );
      expect(hashFiles(at(run))).toEqual(before);
    }
  });
});
