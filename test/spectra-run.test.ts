/** Spectra of a run, and spectra that are stopped or killed in the middle. */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { drawNormal, nameWeight, writeCheckpointFolder } from "./support/checkpoint-folder.ts";
import { expectRefusal } from "./support/refusal.ts";
import { listCache, readParquet } from "./support/spectra.ts";
import { summarySpectraShape } from "./support/summary-shape.ts";
import {
  createTemporaryFolder,
  hashFiles,
  identifyFiles,
  type Outcome,
  parseJson,
  type Running,
  removeFolder,
  root,
  runUntwist,
  startUntwist,
  tinyRecipe,
} from "./support/untwist.ts";

const folder = createTemporaryFolder();
afterAll(() => removeFolder(folder));

const readJson = (...path: readonly string[]): ReturnType<typeof parseJson> =>
  parseJson(readFileSync(join(folder, ...path), "utf8"));

interface Checkpoint {
  readonly id: string;
  readonly stage: string;
  readonly step: number;
  readonly parent?: string;
}

describe("the spectra of a run", () => {
  const run = join(folder, "run");
  const place = { UNTWIST_CACHE: join(folder, "cache") };
  /** A model of 16 matrices and 5 vectors: as small as it gets, since what it learns does not matter here. */
  const base = `{model: {hiddenSize: 32, intermediateSize: 64, numLayers: 2, numHeads: 2}, phases: [{numSteps: 2, batchSize: 4, skills: {solve: 1}, optimizer: {learningRate: 0.01}}]}`;
  const [numMatrices, numTensors] = [16, 21];
  const small = ["--set", `base=${base}`, "--set", "evaluation.numTasks=4"];

  beforeAll(async () => {
    writeFileSync(join(folder, "tiny.yaml"), tinyRecipe);
    const outcome = await runUntwist(["run", "tiny.yaml", "--out", "run", ...small], folder, place);
    expect(outcome.code, outcome.stderr).toBe(0);
    expect(outcome.stdout).toMatch(/\n• .*singular values move by /i);
  });

  it("are computed at its end: every checkpoint against base, SFT peak, SFT end and its own start", async () => {
    const { spectra, checkpoints, trajectory } = readJson("run", "summary.json");
    expect(spectra).toMatchObject(summarySpectraShape);
    expect(readJson("run", "spectra", "spectra.json")).toEqual(spectra);
    const find = (id: string): Checkpoint => checkpoints.find((one: Checkpoint) => one.id === id);
    const findStart = ({ parent = "" }: Checkpoint): string =>
      find(parent).stage === "rl" ? findStart(find(parent)) : parent;
    const { checkpoint: peak, step: peakStep } = trajectory.peak;
    const expected = checkpoints.flatMap((one: Checkpoint) => {
      const isRl = one.stage === "rl";
      const references = [
        ...(one.id === "base" ? [] : ["base"]),
        ...(isRl || (one.stage === "sft" && one.step > peakStep) ? [peak] : []),
        ...(isRl ? ["sft-12", findStart(one)] : []),
      ];
      return [...new Set(references)].map((before) => `${before} → ${one.id}`);
    });
    const found = spectra.pairs.map(
      ({ before, after }: { before: string; after: string }) => `${before} → ${after}`,
    );
    expect([...found].sort()).toEqual([...expected].sort());
    expect(found).toEqual(
      expect.arrayContaining(["sft-8 → grpo-from-8-step-4", "sft-4 → ppo-from-4-step-3"]),
    );
    for (const pair of spectra.pairs)
      expect(pair).toMatchObject({ numMatrices, coverage: { numMatched: numTensors, unmatched: [] } });
  });

  it("are tables of all pairs in its folder, and cost one factorization for each checkpoint and matrix", async () => {
    const { spectra, checkpoints } = readJson("run", "summary.json");
    expect(readdirSync(join(run, "spectra")).sort()).toEqual([
      "sparsity.parquet",
      "spectra.json",
      "subspaces.parquet",
      "updates.parquet",
      "values.parquet",
    ]);
    const { rows } = await readParquet(join(run, "spectra/values.parquet"));
    expect(rows).toHaveLength(numMatrices * spectra.pairs.length);
    const { factors, comparisons } = listCache(place.UNTWIST_CACHE);
    expect(factors).toHaveLength(numMatrices * checkpoints.length);
    expect(comparisons).toHaveLength(numTensors * spectra.pairs.length);
    expect(readJson("run", "summary.json").timings.spectra).toBeGreaterThan(0);
  });

  it("are the same to the byte when they are computed again, from the cache and without it", async () => {
    const tables = hashFiles(join(run, "spectra"));
    const summary = readJson("run", "summary.json");
    for (const environment of [place, { UNTWIST_CACHE: join(folder, "cache-again") }]) {
      const { code, stderr } = await runUntwist(["spectra", "run"], folder, environment);
      expect(code, stderr).toBe(0);
      expect(hashFiles(join(run, "spectra"))).toEqual(tables);
      expect(readJson("run", "summary.json")).toEqual(summary);
    }
    expect(existsSync(join(run, "run.lock"))).toBe(false);
    const shown = await runUntwist(["show", "run", "--json"], folder);
    expect(parseJson(shown.stdout).spectra).toEqual(summary.spectra);
  });

  it("say with --json what was found, on a pipe a line a pair, and leave the run alone when asked for otherwise", async () => {
    const copy = join(folder, "other-ranks");
    cpSync(run, copy, { recursive: true });
    const args = ["spectra", "other-ranks", "--rank", "4", "--matrices", "q_proj"];
    const printed = parseJson((await runUntwist([...args, "--json"], folder, place)).stdout);
    expect(printed).toMatchObject({ ...summarySpectraShape, ranks: [4] });
    // Another choice than the recipe's is for looking only.
    expect(hashFiles(copy)).toEqual(hashFiles(run));
    const { stdout } = await runUntwist(args, folder, place);
    for (const { before, after } of printed.pairs)
      expect(stdout).toMatch(new RegExp(`^${after} +${before} .* %( .*)?$`, "m"));
    expect(stdout.trimEnd().split("\n").at(-1)).toContain("--out");
    await runUntwist([...args, "--out", "looked"], folder, place);
    expect(readJson("looked", "spectra.json")).toEqual(printed);
    expect(stdout).not.toMatch(/NaN|undefined|Infinity|e\+/);
  });

  it("flag a checkpoint that lies nearer to the base than the one before it", async () => {
    const copy = join(folder, "shrunk");
    cpSync(run, copy, { recursive: true });
    const weights = (id: string): string => join(copy, "checkpoints", id, "model.safetensors");
    cpSync(weights("sft-4"), weights("sft-12"));
    const { stdout, stderr } = await runUntwist(["spectra", "shrunk", "--json"], folder, place);
    expect(stderr).toBe("");
    const flagsOf = (id: string): Readonly<Record<string, number>> =>
      parseJson(stdout).pairs.find(
        ({ before, after }: { before: string; after: string }) => before === "base" && after === id,
      ).flags;
    expect(flagsOf("sft-12")["distance-shrank"]).toBeGreaterThan(numMatrices / 2);
    expect(flagsOf("sft-8")).not.toHaveProperty("distance-shrank");
  });

  it("are left out with `spectra: false` in the recipe, and can be added later", async () => {
    const changes = ["--set", "spectra=false", "--set", "rl=[]", "--set", "sft.numSteps=8", ...small];
    const args = ["run", "tiny.yaml", "--out", "without", ...changes, "--set", "sft.checkpoints=[4]"];
    const { code, stdout } = await runUntwist(args, folder, place);
    expect(code).toBe(0);
    expect(stdout).not.toMatch(/singular values/i);
    expect(readJson("without", "summary.json")).not.toHaveProperty("spectra");
    expect(existsSync(join(folder, "without/spectra"))).toBe(false);
    // A run that is not finished has no summary to put them in.
    rmSync(join(folder, "without/summary.json"));
    expect((await runUntwist(["spectra", "without"], folder, place)).code).toBe(0);
    expect(readdirSync(join(folder, "without/spectra"))).toHaveLength(5);
    expect(existsSync(join(folder, "without/summary.json"))).toBe(false);
  });

  it("are refused while another process works on the run, and where a checkpoint is gone", async () => {
    const copy = join(folder, "broken");
    cpSync(run, copy, { recursive: true });
    writeFileSync(join(copy, "run.lock"), `${process.ppid} ${hostname()}`);
    await expectRefusal([["spectra", "broken"], '"broken"', String(process.ppid)], folder, place);
    rmSync(join(copy, "run.lock"));
    rmSync(join(copy, "checkpoints/sft-8"), { recursive: true });
    await expectRefusal([["spectra", "broken"], "broken/checkpoints/sft-8"], folder, place);
  });
});

describe("spectra that are stopped in the middle", () => {
  // A space in the path, as on many a disk.
  const paths = ["be fore", "after"] as const;
  const args = ["spectra", ...paths, "--rank", "16", "--json"];
  const numMatrices = 6;
  const [portable, size] = [{ UNTWIST_LAPACK: "none" }, 160];
  let whole: Outcome;

  beforeAll(async () => {
    for (const path of paths)
      await writeCheckpointFolder(
        join(folder, path),
        Array.from({ length: numMatrices }, (_, index) => ({
          name: nameWeight(index, "mlp.up_proj"),
          shape: [size, size],
          values: drawNormal(`${path} ${index}`, size * size),
          dtype: "BF16" as const,
        })),
        { numShards: 2 },
      );
    whole = await runUntwist(args, folder, { ...portable, UNTWIST_CACHE: join(folder, "cache-whole") });
    expect(whole.code, whole.stderr).toBe(0);
  });

  /** Starts it, and waits until some of the factors are there but not all. */
  async function startUntilMiddle(environment: { readonly UNTWIST_CACHE: string }): Promise<Running> {
    const running = startUntwist(args, folder, environment);
    while (running.child.exitCode === null && listCache(environment.UNTWIST_CACHE).factors.length < 3)
      await wait(3);
    return running;
  }

  /** The finished files of a cache. */
  function identifyFinished(cache: string): Readonly<Record<string, string>> {
    return Object.fromEntries(
      Object.entries(identifyFiles(cache)).filter(([path]) => !path.includes(".untwist-")),
    );
  }

  /** Expects what an undisturbed process leaves, made without touching what was finished before. */
  function expectFinished(
    { UNTWIST_CACHE }: { readonly UNTWIST_CACHE: string },
    finished: Readonly<Record<string, string>>,
  ): void {
    expect(identifyFiles(UNTWIST_CACHE)).toMatchObject(finished);
    expect(listCache(UNTWIST_CACHE)).toEqual(listCache(join(folder, "cache-whole")));
    expect(hashFiles(UNTWIST_CACHE)).toMatchObject(hashFiles(join(folder, "cache-whole")));
  }

  it("end with the same when they are killed and started again, doing nothing twice", async () => {
    const environment = { ...portable, UNTWIST_CACHE: join(folder, "cache-killed") };
    const { child, outcome } = await startUntilMiddle(environment);
    child.kill("SIGKILL");
    expect(await outcome).toMatchObject({ code: null, stdout: "" });
    const finished = identifyFinished(environment.UNTWIST_CACHE);
    expect(Object.keys(finished).length).toBeGreaterThanOrEqual(3);
    expect(Object.keys(finished).length).toBeLessThan(2 * numMatrices);
    const again = await runUntwist(args, folder, environment);
    expect(again).toMatchObject({ code: 0, stdout: whole.stdout });
    expectFinished(environment, finished);
  });

  it("exit on Ctrl-C with code 130 and the command that goes on", async () => {
    const environment = { ...portable, UNTWIST_CACHE: join(folder, "cache-stopped") };
    const { child, outcome } = await startUntilMiddle(environment);
    child.kill("SIGINT");
    const { code, stdout, stderr } = await outcome;
    expect({ code, stdout }).toEqual({ code: 130, stdout: "" });
    const lines = stderr.trimEnd().split("\n");
    const command = /continue with: untwist (.*)$/.exec(lines.at(-1) ?? "")?.[1] ?? "";
    expect(command, stderr).toMatch(/^spectra .*--rank/);
    const finished = identifyFinished(environment.UNTWIST_CACHE);
    expect(Object.keys(finished).length).toBeLessThan(2 * numMatrices);
    expectShellToContinue(command, environment);
    expectFinished(environment, finished);
  });

  /** Types the command into a shell, as the user will. */
  function expectShellToContinue(command: string, environment: { readonly UNTWIST_CACHE: string }): void {
    const script = join(folder, "continue.sh");
    writeFileSync(
      script,
      `untwist() { "${process.execPath}" "${join(root, "bin/untwist.js")}" "$@"; }\nuntwist ${command}\n`,
    );
    const { status, stdout, stderr } = spawnSync("sh", [script], {
      cwd: folder,
      encoding: "utf8",
      env: { ...process.env, ...environment },
    });
    expect(status, stderr).toBe(0);
    expect(stdout).toBe(whole.stdout);
  }
});
