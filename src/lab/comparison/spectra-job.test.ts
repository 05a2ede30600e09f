import { utimesSync } from "node:fs";
import { join, relative } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildModel, nameWeight, writeCheckpointFolder } from "../../../test/support/checkpoint-folder.ts";
import { createMachine, createTestEffects } from "../../../test/support/effects.ts";
import { createTemporaryFolder, removeFolder } from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/core/index.ts";
import { computeJobId, type JobFolder, obtainJob } from "../../cluster/job/index.ts";
import { CheckpointError } from "../../weights/checkpoint/index.ts";
import type { SpectraRequest } from "./compute-spectra.ts";
import { openSpectraPieces, planSpectraJob, readKnownFingerprints } from "./spectra-job.ts";

const folder = createTemporaryFolder();
afterAll(() => removeFolder(folder));
const at = (name: string): string => join(folder, name);
const machine = createMachine(at("cache"));

const query = nameWeight(0, "self_attn.q_proj");
const norm = nameWeight(0, "input_layernorm");

beforeAll(async () => {
  for (const step of ["one", "two", "three"]) await writeCheckpointFolder(at(step), buildModel(step));
});

/** A comparison of the first checkpoint with each of the others, of a norm and a matrix. */
function ask(change: Partial<SpectraRequest> = {}, place = folder): SpectraRequest {
  const find = (name: string): { readonly name: string; readonly folder: string } => ({
    name,
    folder: join(place, name),
  });
  return {
    pairs: ["two", "three"].map((after) => ({ before: find("one"), after: find(after) })),
    settings: { ranks: [8] },
    isWanted: ({ name }) => [query, norm].includes(name),
    ...change,
  };
}

const identify = async (request: SpectraRequest, own = machine): Promise<string> =>
  computeJobId(await planSpectraJob(request, own));

describe("planSpectraJob()", () => {
  it("has a piece for each tensor, which takes each checkpoint's factors once and every comparison", async () => {
    const { pieces } = await planSpectraJob(ask(), machine);
    expect(pieces.map(({ name }) => name).toSorted()).toEqual([norm, query].toSorted());
    const secondsOf = (name: string): number => pieces.find((piece) => piece.name === name)?.seconds ?? 0;
    // 1e10 in a second without LAPACK; each task 1e8 for a start, 75 a byte read, 250 an element compared.
    const [size, short] = [24 * 24, 24];
    const reading = 3 * (1e8 + 75 * 4 * short);
    expect(secondsOf(norm)).toBeCloseTo((reading + 2 * (1e8 + 250 * short)) / 1e10, 9);
    const factorizing = 3 * (1e8 + 75 * 4 * size + 1e8 + 4 * short ** 3);
    const comparing = 2 * (1e8 + 250 * size + 4.5 * short ** 3);
    expect(secondsOf(query)).toBeCloseTo((factorizing + comparing) / 1e10, 9);
    for (const { bytes } of pieces) expect(bytes).toBeGreaterThan(4 * short);
  });

  it("is the same job for the same folders, however they are written and called", async () => {
    const id = await identify(ask());
    expect(await identify(ask({}, relative(process.cwd(), folder)))).toBe(id);
    const renamed = ask().pairs.map((pair) => ({ ...pair, before: { ...pair.before, name: "first" } }));
    expect(await identify(ask({ pairs: renamed }))).toBe(id);
  });

  it("is another job for other tensors, ranks, pairs and caches, and once a checkpoint was written again", async () => {
    const others = [
      ask(),
      ask({ isWanted: ({ name }) => name === query }),
      ask({ settings: { ranks: [8, 9] } }),
      ask({ settings: { ranks: [8], randomizedSeed: 1 } }),
      ask({ pairs: ask().pairs.slice(0, 1) }),
      ask({ pairs: ask().pairs.map(({ before, after }) => ({ before: after, after: before })) }),
    ];
    const ids = await Promise.all(others.map((request) => identify(request)));
    ids.push(await identify(ask(), createMachine(at("other cache"))));
    utimesSync(at("three/model.safetensors"), 1e9, 1e9);
    ids.push(await identify(ask()));
    expect(new Set(ids).size).toBe(ids.length);
  });

  it("refuses checkpoints with nothing to compare, as the comparison would", async () => {
    await expect(planSpectraJob(ask({ isWanted: () => false }), machine)).rejects.toThrow(UsageError);
    await expect(planSpectraJob(ask({}, at("nowhere")), machine)).rejects.toThrow(CheckpointError);
  });
});

describe("openSpectraPieces()", () => {
  const effects = createTestEffects({ machine: createMachine(at("cache of the node")) });
  const share = { cores: 1, bytes: 2 ** 30 };

  it("takes the input of a plan from a job's file, and refuses what another version wrote", async () => {
    const { input } = await planSpectraJob(ask(), machine);
    const stored = JSON.parse(JSON.stringify(input));
    await openSpectraPieces(stored, effects).close();
    for (const change of [
      { settings: { ranks: "8" } },
      { settings: { ranks: [8], newSetting: true } },
      { pairs: undefined },
    ])
      expect(() => openSpectraPieces({ ...stored, ...change }, effects)).toThrow(UsageError);
  });

  it("fails a piece whose checkpoint is gone, so that it is not tried again", async () => {
    await writeCheckpointFolder(at("passing"), buildModel("four"));
    const [pair] = ask().pairs;
    const pairs = [{ before: pair!.before, after: { name: "passing", folder: at("passing") } }];
    const { input, pieces } = await planSpectraJob(ask({ pairs }), machine);
    removeFolder(at("passing"));
    const handler = openSpectraPieces(JSON.parse(JSON.stringify(input)), effects);
    const failed = handler.carryOut({ ...pieces[0]!, index: 0 }, share);
    await expect(failed).rejects.toThrow(CheckpointError);
    await handler.close();
  });
});

describe("readKnownFingerprints()", () => {
  const portable = { backend: "portable", fingerprints: {}, nonFinite: {} };

  /** A job of two pieces with these results. */
  async function finish(name: string, results: readonly unknown[]): Promise<JobFolder> {
    const plan = await planSpectraJob(ask(), machine);
    const origin = { args: [], folder, at: "2026-01-01T00:00:00Z" };
    const job = await obtainJob(at(name), { plan, origin });
    for (const [piece, result] of results.entries()) await job.keepResult(piece, result);
    return job;
  }

  it("puts together what all pieces know", async () => {
    const job = await finish("whole", [
      { ...portable, fingerprints: { a: "1", b: "2" } },
      { ...portable, fingerprints: { c: "3" }, nonFinite: { c: 7 } },
    ]);
    expect(await readKnownFingerprints(job)).toEqual({
      backend: "portable",
      fingerprints: new Map([
        ["a", "1"],
        ["b", "2"],
        ["c", "3"],
      ]),
      nonFinite: new Map([["c", 7]]),
    });
  });

  it("refuses results of nodes with and without LAPACK, saying what to do", async () => {
    const job = await finish("mixed", [portable, { ...portable, backend: "lapack" }]);
    const error = await readKnownFingerprints(job).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UsageError);
    for (const words of [job.id, job.path, "UNTWIST_LAPACK"]) expect(String(error)).toContain(words);
  });

  it("refuses a result that another version wrote, naming its file", async () => {
    const job = await finish("strange", [portable, { ...portable, fingerprints: { a: 1 } }]);
    const refused = readKnownFingerprints(job);
    await expect(refused).rejects.toThrow(UsageError);
    await expect(readKnownFingerprints(job)).rejects.toThrow(`"${job.locate("results/1.json")}"`);
  });
});
