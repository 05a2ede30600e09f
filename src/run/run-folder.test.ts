import { existsSync } from "node:fs";
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UsageError } from "../base/core/index.ts";
import { TakenError, writeFolderAtomic } from "../base/file/index.ts";
import { listRuns } from "./list-runs.ts";
import { parseRecipe } from "./recipe/recipe.ts";
import type { ItemRecord, LineageEntry, RunRecord, Summary } from "./records.ts";
import { clearLeftovers, createRunFolder, openRunFolder, type RunFolder } from "./run-folder.ts";
import { isRunFolder } from "./run-outline.ts";

const recipe = parseRecipe(
  "name: small\nsummary: Nothing but a base\nenvironment: e\nbase: b\nevaluation: { numTasks: 2 }\n",
  "small.yaml",
);
const record: RunRecord = { schema: 1, recipe: "small", seed: 3, numThreads: 2, versions: { untwist: "0" } };
const item: ItemRecord = {
  split: "ood",
  index: 1,
  promptHash: "0123456789abcdef",
  answer: "a\nb \u{1f0a1}",
  numAttempts: 2,
  outcome: "correct",
  reward: 5,
  parts: { format: true, values: true, solved: true },
  reference: { negativeLogLikelihood: 0.1 + 0.2, numTokens: 7 },
};
const entry = (id: string, parent?: string): LineageEntry => ({
  id,
  stage: "sft",
  step: 4,
  ...(parent !== undefined && { parent }),
  path: `checkpoints/${id}`,
});

let folder: string;
let numRuns = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "untwist-run-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function createRun(): Promise<RunFolder> {
  numRuns++;
  return createRunFolder(join(folder, `run-${numRuns}`), recipe, record);
}

describe("createRunFolder()", () => {
  it("makes a run that opens with the same recipe and record", async () => {
    const run = await createRun();
    expect(await isRunFolder(run.path)).toBe(true);
    const opened = await openRunFolder(run.path);
    expect(opened).toMatchObject({ record, recipe });
    expect(await opened.readLineage()).toEqual([]);
    expect(await opened.readSummary()).toBeUndefined();
    expect(await opened.readTimings()).toEqual({});
  });

  it("takes an empty folder, makes missing ones, and refuses one that holds anything, untouched", async () => {
    await mkdir(join(folder, "empty"));
    expect((await createRunFolder(join(folder, "empty"), recipe, record)).record).toEqual(record);
    await createRunFolder(join(folder, "deep/down"), recipe, record);
    await mkdir(join(folder, "full"));
    await writeFile(join(folder, "full/x"), "");
    await expect(createRunFolder(join(folder, "full"), recipe, record)).rejects.toThrow(
      /"[^"]*full": the folder is not empty.*resume/,
    );
    expect(await readdir(join(folder, "full"))).toEqual(["x"]);
  });

  it("gives a folder to one of several runs that start together, and says so to the others", async () => {
    const place = join(folder, "together");
    const seeds = [1, 2, 3, 4, 5];
    const started = await Promise.allSettled(
      seeds.map((seed) => createRunFolder(place, recipe, { ...record, seed })),
    );
    const [winner, ...others] = started.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    expect(others).toEqual([]);
    expect((await openRunFolder(place)).record).toEqual(winner?.record);
    for (const one of started)
      if (one.status === "rejected") {
        expect(one.reason).toBeInstanceOf(TakenError);
        expect(one.reason.message).toContain("the folder is not empty");
      }
    expect((await readdir(folder)).filter((name) => name.startsWith("."))).toEqual([]);
  });
});

describe("RunFolder", () => {
  it("gives the lineage back in order, each checkpoint once", async () => {
    const run = await createRun();
    const entries = [
      entry("a"),
      entry("b", "a"),
      { ...entry("c", "b"), stage: "rl" as const, branch: "rl-from-4" },
    ];
    for (const each of entries) await run.addToLineage(each);
    expect(await (await openRunFolder(run.path)).readLineage()).toEqual(entries);
    await run.addToLineage(entry("a"));
    expect((await run.readLineage()).map(({ id }) => id)).toEqual(["b", "c", "a"]);
  });

  it("gives evaluations back value for value", async () => {
    const run = await createRun();
    expect(await run.hasEvaluation("sft-4")).toBe(false);
    const items = [item, { ...item, split: "id" as const, reward: -1.5 }];
    await run.writeEvaluation("sft-4", items);
    expect(await run.hasEvaluation("sft-4")).toBe(true);
    expect(await run.readEvaluation("sft-4")).toEqual(items);
  });

  it("drops metrics of steps after the one that it continues from, and a torn line", async () => {
    const run = await createRun();
    const first = await run.openMetrics("sft", 0);
    for (let step = 1; step <= 5; step++) await first.append({ step, loss: 1 / step });
    await first.close();
    await appendFile(run.locate("metrics/sft.jsonl"), '{"step":6,"lo');
    const second = await run.openMetrics("sft", 3);
    await second.append({ step: 4, loss: 9 });
    await second.close();
    expect(await run.readMetrics("sft")).toEqual([
      { step: 1, loss: 1 },
      { step: 2, loss: 1 / 2 },
      { step: 3, loss: 1 / 3 },
      { step: 4, loss: 9 },
    ]);
    const again = await run.openMetrics("sft", 0);
    await again.close();
    expect(await run.readMetrics("sft")).toEqual([]);
  });

  it("sums timings by name, in seconds to a tenth", async () => {
    const run = await createRun();
    for (const [name, ms] of [
      ["sft", 1200],
      ["evaluation", 40],
      ["sft", 900],
    ] as const)
      await run.addTiming(name, ms);
    expect(await run.readTimings()).toEqual({ sft: 2.1, evaluation: 0 });
  });

  it("gives a summary back, and none before it is written", async () => {
    const run = await createRun();
    const summary: Summary = {
      schema: 1,
      statistics: 2,
      recipe: "small",
      seed: 3,
      checkpoints: [],
      trajectory: null,
      timings: { sft: 1.5 },
      versions: {},
    };
    expect(await run.readSummary()).toBeUndefined();
    await run.writeSummary(summary);
    expect(await run.readSummary()).toEqual(summary);
  });
});

describe("clearLeftovers()", () => {
  it("removes what interrupted writes left behind, and nothing else", async () => {
    const run = await createRun();
    let half = "";
    await writeFolderAtomic(join(folder, "any"), async (temporary) => {
      half = basename(temporary);
    });
    await mkdir(run.locate(`checkpoints/${half}`), { recursive: true });
    await writeFile(run.locate(`checkpoints/${half}/config.json`), "{");
    await writeFile(run.locate(half), "half");
    await writeFile(run.locate("notes.txt"), "mine");
    const opened = await openRunFolder(run.path);
    expect(existsSync(opened.locate(half))).toBe(true);
    await clearLeftovers(run);
    expect((await readdir(run.path)).sort()).toEqual([
      "checkpoints",
      "lineage.json",
      "notes.txt",
      "recipe.yaml",
      "run.json",
    ]);
    expect(await readdir(run.locate("checkpoints"))).toEqual([]);
  });
});

describe("a damaged run", () => {
  const use: Readonly<Record<string, (run: RunFolder) => Promise<unknown>>> = {
    "run.json": (run) => openRunFolder(run.path),
    "recipe.yaml": (run) => openRunFolder(run.path),
    "lineage.json": (run) => run.readLineage(),
    "summary.json": (run) => run.readSummary(),
    "evaluations/sft-4.jsonl": (run) => run.readEvaluation("sft-4"),
    "timings.jsonl": (run) => run.readTimings(),
    "metrics/sft.jsonl": (run) => run.openMetrics("sft", 1),
  };
  const damages: readonly (readonly [file: string, text: string])[] = [
    ["run.json", "{"],
    ["run.json", "[]"],
    ["run.json", JSON.stringify({ ...record, schema: 2 })],
    ["run.json", JSON.stringify({ ...record, numThreads: 0 })],
    ["recipe.yaml", "name: [\n"],
    ["recipe.yaml", "name: other\n"],
    ["lineage.json", ""],
    ["lineage.json", JSON.stringify({ schema: 1, checkpoints: [{ id: "a" }] })],
    ["lineage.json", JSON.stringify({ schema: 1, checkpoints: [{ ...entry("a"), step: -1 }] })],
    ["summary.json", "{}"],
    ["evaluations/sft-4.jsonl", '{"split":"id"}\n'],
    ["evaluations/sft-4.jsonl", `{\n${JSON.stringify(item)}\n`],
    ["evaluations/sft-4.jsonl", `${JSON.stringify({ ...item, split: "other" })}\n`],
    ["timings.jsonl", "nonsense\n{}\n"],
    ["metrics/sft.jsonl", 'nonsense\n{"step":1}\n'],
  ];
  for (const [file, text] of damages)
    it(`is refused naming ${file} where that holds ${JSON.stringify(text).slice(0, 60)}`, async () => {
      const run = await createRun();
      await mkdir(run.locate("evaluations"), { recursive: true });
      await mkdir(run.locate("metrics"), { recursive: true });
      await writeFile(run.locate(file), text);
      const error: unknown = await use[file]?.(run).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(UsageError);
      expect(error).toMatchObject({ message: expect.stringContaining(file), exitCode: 2 });
      expect(await readFile(run.locate(file), "utf8")).toBe(text);
    });

  it("is refused where there is none", async () => {
    await expect(openRunFolder(join(folder, "nothing"))).rejects.toThrow(
      /"[^"]*nothing": there is no run\.json/,
    );
  });
});

describe("listRuns()", () => {
  it("lists the runs directly in a folder by name, passing over all else", async () => {
    const home = join(folder, "home");
    for (const name of ["b", "a"]) await createRunFolder(join(home, name), recipe, record);
    await mkdir(join(home, "c"));
    await writeFile(join(home, "d"), "");
    await symlink(join(home, "e"), join(home, "e"));
    expect(await listRuns(home)).toEqual({ runs: [join(home, "a"), join(home, "b")], problems: [] });
    expect(await listRuns(join(home, "b"))).toEqual({ runs: [join(home, "b")], problems: [] });
    expect(await listRuns(join(home, "c"))).toEqual({ runs: [], problems: [] });
    await expect(listRuns(join(home, "nothing"))).rejects.toThrow(UsageError);
  });
});
