import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import {
  buildModel,
  nameWeight,
  type TensorSpec,
  writeCheckpointFolder,
} from "../../../test/support/checkpoint-folder.ts";
import { createMachine, createTestEffects } from "../../../test/support/effects.ts";
import { finishedPlace, finishSpectraJob } from "../../../test/support/finished-job.ts";
import { createMemoryAnswerer } from "../../../test/support/memory-answerer.ts";
import { createFallenRun, fallenTasks, solvesFallen } from "../../../test/support/run-folder.ts";
import { readParquet } from "../../../test/support/spectra.ts";
import { createTemporaryFolder, hashFiles, parseJson, removeFolder } from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/core/index.ts";
import { type Effects, StoppedError } from "../../base/progress/index.ts";
import type { LineageEntry, RunFolder, TrajectoryRecord } from "../../run/index.ts";
import { followRecipeSchema } from "../../run/recipe/follow-recipe.ts";
import { CheckpointError } from "../../weights/checkpoint/index.ts";
import type { TensorLabel } from "../../weights/spectra/index.ts";
import {
  compareCheckpoints,
  computeRunSpectra,
  keepRunSpectra,
  listRunPairs,
  type RunSpectra,
  writeSpectra,
} from "./run-spectra.ts";

const folder = createTemporaryFolder();
afterAll(() => removeFolder(folder));
const at = (name: string): string => join(folder, name);
const query = nameWeight(0, "self_attn.q_proj");
/** Two matrices that change at each step, one that does not, and a vector. */
const chosen = [query, nameWeight(1, "mlp.up_proj"), "model.frozen.weight", nameWeight(0, "input_layernorm")];
const choice = {
  settings: { ranks: [2] },
  isWanted: ({ name }: TensorLabel): boolean => chosen.includes(name),
};

type Trajectory = Pick<TrajectoryRecord, "peak" | "sftEnd"> | null;

/** A trajectory as far as pairs depend on it. */
const milestones = (peak: string, sftEnd: string): Trajectory => {
  const point = (checkpoint: string): TrajectoryRecord["peak"] => {
    const count = { correct: 0, total: 1 };
    return { checkpoint, stage: "sft", step: 0, id: count, ood: count };
  };
  return { peak: point(peak), sftEnd: point(sftEnd) };
};

/** An entry by its id, such as `rl-from-4-2`: the stage comes first, the step last. */
const enter = (id: string, parent?: string): LineageEntry => {
  const stage = id === "base" ? "base" : id.startsWith("sft") ? "sft" : "rl";
  return {
    id,
    stage,
    step: Number(/\d+$/.exec(id)?.[0] ?? 0),
    path: id,
    ...(parent !== undefined && { parent }),
  };
};

describe("listRunPairs()", () => {
  const sft = [enter("base"), enter("sft-2", "base"), enter("sft-4", "sft-2"), enter("sft-6", "sft-4")];
  const lineage = [
    ...sft,
    enter("rl-from-4-1", "sft-4"),
    enter("rl-from-4-2", "rl-from-4-1"),
    enter("rl-from-6-1", "sft-6"),
  ];
  const rl = ["rl-from-4-1", "rl-from-4-2", "rl-from-6-1"];
  const list = (trajectory: Trajectory, entries: readonly LineageEntry[] = lineage): readonly string[] =>
    listRunPairs({ lineage: entries, trajectory })
      .map(({ before, after }) => `${before.id} > ${after.id}`)
      .toSorted();
  const from = (before: string, afters: readonly string[]): readonly string[] =>
    afters.map((after) => `${before} > ${after}`);

  it("compares each with the base, later ones with the peak, RL with the SFT end and its own start", () => {
    const expected = [
      ...from("base", ["sft-2", "sft-4", "sft-6", ...rl]),
      ...from("sft-2", ["sft-4", "sft-6", ...rl]),
      ...from("sft-6", rl),
      ...from("sft-4", rl.slice(0, 2)),
    ];
    expect(list(milestones("sft-2", "sft-6"))).toEqual(expected.toSorted());
  });

  it("lists no pair twice where one checkpoint is several of these", () => {
    const expected = [
      ...from("base", ["sft-2", "sft-4", "sft-6", ...rl]),
      ...from("sft-6", rl),
      ...from("sft-4", rl.slice(0, 2)),
    ];
    expect(list(milestones("sft-6", "sft-6"))).toEqual(expected.toSorted());
  });

  it("compares with the base and the starts of RL where there is no trajectory, or none of its checkpoints", () => {
    const expected = [
      ...from("base", ["sft-2", "sft-4", "sft-6", ...rl]),
      ...from("sft-4", rl.slice(0, 2)),
      ...from("sft-6", rl.slice(2)),
    ];
    expect(list(null)).toEqual(expected.toSorted());
    expect(list(milestones("gone", "gone"))).toEqual(expected.toSorted());
  });

  it("has nothing to compare in a run of one checkpoint, or of none", () => {
    expect([list(null, sft.slice(0, 1)), list(null, [])]).toEqual([[], []]);
  });
});

const answerer = createMemoryAnswerer(fallenTasks, {
  solves: ({ id }, split, index) => solvesFallen(id, split, index),
});
/** Its second checkpoint is its peak, and it ends with the fourth. */
const run = await createFallenRun(at("run"), answerer);
const machine = createMachine(at("cache"));
const allPairs = ["base sft-1", "base sft-2", "base sft-3", "sft-1 sft-2", "sft-1 sft-3"];

/** The spectra of these pairs of a run, each as `before after`, from a job that is finished. */
async function compute(
  pairs: readonly string[],
  {
    folder: given = run.folder,
    effects = createTestEffects({ machine }),
  }: { folder?: RunFolder; effects?: Effects } = {},
): Promise<RunSpectra> {
  const lineage = await given.readLineage();
  const find = (id: string): { readonly name: string; readonly folder: string } => ({
    name: id,
    folder: given.locate(lineage.find((entry) => entry.id === id)?.path ?? id),
  });
  const named = pairs.map((pair) => {
    const [before = "", after = ""] = pair.split(" ");
    return { before: find(before), after: find(after) };
  });
  await finishSpectraJob({ ...choice, pairs: named }, effects);
  const { trajectory } = run;
  return await computeRunSpectra(given, { trajectory, choice: { ...choice, place: finishedPlace } }, effects);
}

/** The run with another lineage. */
const relate = (lineage: readonly LineageEntry[]): RunFolder => ({
  ...run.folder,
  readLineage: async () => lineage,
});

/** ‖after − before‖ / ‖before‖ of the chosen matrices that change, ascending. */
function measureUpdates(before: string, after: string): readonly number[] {
  const others = new Map(buildModel(after).map((tensor) => [tensor.name, tensor]));
  const updates = buildModel(before).map(({ name, shape, values }) => {
    const other = others.get(name)?.values ?? [];
    const own = Array.from(values);
    const difference = Math.hypot(...own.map((value, index) => (other[index] ?? 0) - value));
    return shape.length === 2 && chosen.includes(name) ? difference / Math.hypot(...own) : 0;
  });
  return updates.filter((update) => update > 0).toSorted((a, b) => a - b);
}

/** All numbers in a value, at any depth. */
function listNumbers(value: unknown): readonly number[] {
  if (typeof value === "number") return [value];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(listNumbers) : [];
}

describe("computeRunSpectra()", () => {
  it("puts the pairs of a finished job together, and sums each up in numbers of six digits", async () => {
    const effects = createTestEffects({ machine });
    const { pairs, record } = await compute(allPairs, { effects });
    expect(pairs.map(({ before, after }) => `${before} ${after}`)).toEqual(allPairs);
    expect(record).toMatchObject({ backend: "portable", ranks: [2] });
    for (const { before, after, relativeUpdate, numMatrices, numChanged } of record.pairs) {
      const updates = measureUpdates(before, after);
      expect([numMatrices, numChanged, updates.length]).toEqual([3, 2, 2]);
      expect(relativeUpdate?.least).toBeCloseTo(updates[0]!, 5);
      expect(relativeUpdate?.largest).toBeCloseTo(updates.at(-1)!, 5);
    }
    const fractions = listNumbers(record).filter((number) => !Number.isInteger(number));
    expect(fractions.length).toBeGreaterThan(allPairs.length);
    expect(fractions.map((number) => Number(number.toPrecision(6)))).toEqual(fractions);
    expect(effects.notices()).toEqual([]);
  });

  it("flags matrices that lie nearer to the base than one checkpoint before", async () => {
    // Half of the way that the checkpoint before has gone.
    const steps = new Map(buildModel("sft-1").map(({ name, values }) => [name, values]));
    const back = buildModel("base").map((tensor): TensorSpec => {
      const step = steps.get(tensor.name) ?? tensor.values;
      return { ...tensor, values: Array.from(tensor.values, (value, index) => (value + step[index]!) / 2) };
    });
    const path = await writeCheckpointFolder(at("back"), back);
    const lineage = (await run.folder.readLineage()).map((entry) =>
      entry.id === "sft-2" ? { ...entry, path } : entry,
    );
    const { record } = await compute(allPairs, { folder: relate(lineage) });
    const flagsOf = (after: string): unknown =>
      record.pairs.find((pair) => pair.before === "base" && pair.after === after)?.flags["distance-shrank"];
    expect([flagsOf("sft-1"), flagsOf("sft-2"), flagsOf("sft-3")]).toEqual([undefined, 2, undefined]);
  });

  it("leaves out of a followed run what its trainer has deleted, and says so; refuses it of an own one", async () => {
    const lineage = (await run.folder.readLineage()).map((entry) =>
      entry.id === "sft-2" ? { ...entry, path: at("deleted") } : entry,
    );
    const { trajectory } = run;
    const effects = createTestEffects({ machine });
    const own = computeRunSpectra(relate(lineage), { trajectory, choice }, effects);
    await expect(own).rejects.toThrow(CheckpointError);
    const recipe = followRecipeSchema.parse({
      name: "followed",
      summary: "A training of others",
      follow: { trainings: [{ folder: at("run"), stage: "sft" }] },
    });
    const followed = { ...relate(lineage), recipe };
    const kept = ["base sft-1", "base sft-3", "sft-1 sft-3"];
    const { pairs } = await compute(kept, { folder: followed, effects });
    expect(pairs.map(({ before, after }) => `${before} ${after}`)).toEqual(kept);
    expect(effects.notices()).toEqual(["Left out, as their folders are gone: sft-2"]);
  });

  it("stops before anything is read when it is asked to", async () => {
    const stopping = createTestEffects({ machine: createMachine(at("unused")), signal: AbortSignal.abort() });
    const { trajectory } = run;
    const stopped = computeRunSpectra(run.folder, { trajectory, choice }, stopping);
    await expect(stopped).rejects.toThrow(StoppedError);
    expect(existsSync(at("unused"))).toBe(false);
  });
});

describe("compareCheckpoints()", () => {
  it("compares two folders, called as they were given, from a job that is finished", async () => {
    for (const [name, value] of [
      ["first", 1],
      ["second", 2],
    ] as const)
      await writeCheckpointFolder(at(name), [{ name: query, shape: [2, 2], values: [3, 0, 0, value] }]);
    const effects = createTestEffects({ machine });
    const pair = { before: at("first"), after: at("second") };
    const call = (path: string): { readonly name: string; readonly folder: string } => ({
      name: path,
      folder: path,
    });
    await finishSpectraJob(
      { ...choice, pairs: [{ before: call(pair.before), after: call(pair.after) }] },
      effects,
    );
    const { matrices, ...compared } = await compareCheckpoints(
      pair,
      { ...choice, place: finishedPlace },
      effects,
    );
    expect(compared).toMatchObject(pair);
    expect(matrices).toMatchObject([
      { name: query, update: { frobenius: 1, relative: expect.closeTo(1 / Math.sqrt(10), 12) } },
    ]);
  });
});

describe("keepRunSpectra() and writeSpectra()", () => {
  it("write tables of every matrix of every pair beside the record, in the place of those of before", async () => {
    const computed = await compute(allPairs);
    const place = run.folder.locate("spectra");
    mkdirSync(place);
    writeFileSync(join(place, "stale.parquet"), "of another version");
    await keepRunSpectra(run.folder, computed);
    const tables = ["sparsity", "subspaces", "updates", "values"].map((name) => `${name}.parquet`);
    expect(readdirSync(place).toSorted()).toEqual([...tables, "spectra.json"].toSorted());
    expect(parseJson(readFileSync(join(place, "spectra.json"), "utf8"))).toEqual(computed.record);
    const { rows, notes } = await readParquet(join(place, "values.parquet"));
    expect(rows).toHaveLength(3 * allPairs.length);
    expect(notes).toHaveProperty(["untwist.spectra"]);
  });

  it("leave what is there where something fails or is in the way, and nothing half-written", async () => {
    const { pairs, record } = await compute(allPairs);
    const out = at("tables");
    await writeSpectra(out, pairs, record);
    const before = [hashFiles(out), readdirSync(folder)];
    const broken = {
      toJSON: (): never => {
        throw new RangeError("no record");
      },
    };
    await expect(writeSpectra(out, pairs, broken, { whenTaken: "replace" })).rejects.toThrow("no record");
    await expect(writeSpectra(out, pairs, record)).rejects.toThrow(UsageError);
    expect([hashFiles(out), readdirSync(folder)]).toEqual(before);
  });
});
