import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { nameWeight } from "../../../test/support/checkpoint-folder.ts";
import { createMachine, createTestEffects } from "../../../test/support/effects.ts";
import { finishedPlace, finishSpectraJob } from "../../../test/support/finished-job.ts";
import { createMemoryAnswerer } from "../../../test/support/memory-answerer.ts";
import { createFallenRun, fallenTasks, solvesFallen } from "../../../test/support/run-folder.ts";
import { createTemporaryFolder, hashFiles, parseJson, removeFolder } from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/core/index.ts";
import { StoppedError } from "../../base/progress/index.ts";
import { listJobs } from "../../cluster/job/index.ts";
import { withLock } from "../../run/index.ts";
import type { TensorLabel } from "../../weights/spectra/index.ts";
import { summarize } from "../outcome/index.ts";
import { examineRun, renewSpectra } from "./renew-spectra.ts";

const place = createTemporaryFolder();
afterAll(() => removeFolder(place));

const tensors = [nameWeight(0, "self_attn.q_proj"), nameWeight(0, "input_layernorm")];
const choice = {
  settings: { ranks: [2] },
  isWanted: ({ name }: TensorLabel): boolean => tensors.includes(name),
};
const atJob = { ...choice, place: finishedPlace };

const path = join(place, "run");
const answerer = createMemoryAnswerer(fallenTasks, {
  solves: ({ id }, split, index) => solvesFallen(id, split, index),
});
/** It rises to its first SFT checkpoint and falls. */
const { folder } = await createFallenRun(path, answerer);
const effects = createTestEffects({ machine: createMachine(join(place, "cache")) });

/** Its pairs with a peak and without one. */
const withBase = ["base sft-1", "base sft-2", "base sft-3"];
const judged = [...withBase, "sft-1 sft-2", "sft-1 sft-3"];

beforeAll(async () => {
  const find = (id: string): { readonly name: string; readonly folder: string } => ({
    name: id,
    folder: folder.locate(`checkpoints/${id}`),
  });
  for (const names of [withBase, judged]) {
    const pairs = names.map((pair) => {
      const [before = "", after = ""] = pair.split(" ");
      return { before: find(before), after: find(after) };
    });
    await finishSpectraJob({ ...choice, pairs }, effects);
  }
});

// Each test begins with a run that is not finished and has no spectra.
beforeEach(() => {
  for (const name of ["spectra", "summary.json"]) removeFolder(join(path, name));
});

const readJson = (path: string): unknown => parseJson(readFileSync(path, "utf8"));

/** Pairs as `before after`. */
const namesOf = (pairs: readonly { readonly before: string; readonly after: string }[]): readonly string[] =>
  pairs.map(({ before, after }) => `${before} ${after}`);

describe("renewSpectra()", () => {
  it("keeps the spectra in the folder of a run that is not finished, and makes no summary of it", async () => {
    const { pairs, record } = await renewSpectra(path, atJob, effects);
    expect(namesOf(pairs)).toEqual(judged);
    expect(readJson(join(path, "spectra/spectra.json"))).toEqual(record);
    expect(existsSync(join(path, "summary.json"))).toBe(false);
    expect(existsSync(join(path, "run.lock"))).toBe(false);
  });

  it("puts them into the summary of a finished run, whose trajectory it goes by, and leaves the rest of it", async () => {
    // As if nothing had been judged: no peak, so that all is compared with the base alone.
    const summary = { ...(await summarize(folder)), trajectory: null };
    await folder.writeSummary(summary);
    const { pairs, record } = await renewSpectra(path, atJob, effects);
    expect(namesOf(pairs)).toEqual(withBase);
    expect(readJson(join(path, "summary.json"))).toEqual({ ...summary, spectra: record });
  });

  it("gives the same when it is done again, its tables to the byte", async () => {
    await folder.writeSummary(await summarize(folder));
    await renewSpectra(path, atJob, effects);
    const kept = [hashFiles(join(path, "spectra")), readJson(join(path, "summary.json"))];
    await renewSpectra(path, atJob, effects);
    expect([hashFiles(join(path, "spectra")), readJson(join(path, "summary.json"))]).toEqual(kept);
  });

  it("leaves a run alone that another works on, or whose work is stopped, and goes on afterwards", async () => {
    const hashes = hashFiles(path);
    await withLock(folder, async () => {
      const refused = renewSpectra(path, atJob, effects);
      await expect(refused).rejects.toThrow(UsageError);
      await expect(renewSpectra(path, atJob, effects)).rejects.toThrow(`"${path}"`);
    });
    const stopped = createTestEffects({ machine: effects.machine, signal: AbortSignal.abort() });
    for (const how of [choice, atJob])
      await expect(renewSpectra(path, how, stopped)).rejects.toThrow(StoppedError);
    expect(hashFiles(path)).toEqual(hashes);
    expect((await renewSpectra(path, atJob, effects)).pairs).toHaveLength(judged.length);
  });
});

describe("examineRun()", () => {
  it("computes the spectra by the trajectory of the run and leaves it as it is, finished or not", async () => {
    for (const summary of [undefined, { ...(await summarize(folder)), trajectory: null }]) {
      if (summary !== undefined) await folder.writeSummary(summary);
      const hashes = hashFiles(path);
      const { pairs, record } = await examineRun(path, atJob, effects);
      expect(namesOf(pairs)).toEqual(summary === undefined ? judged : withBase);
      expect(namesOf(record.pairs)).toEqual(namesOf(pairs));
      expect(hashFiles(path)).toEqual(hashes);
    }
  });
});

describe("a run of one checkpoint", () => {
  it("is refused by both in words that name it, rather than shown as an empty table", async () => {
    const lineage = await folder.readLineage();
    await folder.writeLineage(lineage.slice(0, 1));
    try {
      const hashes = hashFiles(path);
      const numJobs = (await listJobs(join(effects.machine.cacheFolder, "jobs"), expect.unreachable)).length;
      for (const compute of [renewSpectra, examineRun]) {
        const error = await compute(path, choice, effects).catch((reason: unknown) => reason);
        expect(error).toBeInstanceOf(UsageError);
        expect(String(error)).toContain(
          `Cannot compare checkpoints of "${path}": it has none beside the first`,
        );
        // At a job, too, and no job is made of nothing.
        await expect(compute(path, atJob, effects)).rejects.toThrow(UsageError);
      }
      expect(hashFiles(path)).toEqual(hashes);
      expect(await listJobs(join(effects.machine.cacheFolder, "jobs"), expect.unreachable)).toHaveLength(
        numJobs,
      );
    } finally {
      await folder.writeLineage(lineage);
    }
  });
});
