/** A run that is killed at any moment and resumed ends as if it had never been interrupted. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createRandom } from "../src/base/core/index.ts";
import {
  createTemporaryFolder,
  hashFiles,
  identifyFiles,
  listFilesBelow,
  nameLeftover,
  parseJson,
  removeFolder,
  runUntwist,
  startUntwist,
  tinyRecipe,
} from "./support/untwist.ts";

const folder = createTemporaryFolder();
const recipe = join(folder, "tiny.yaml");
const whole = join(folder, "whole");

beforeAll(async () => {
  writeFileSync(recipe, tinyRecipe);
  const { code, stderr } = await runUntwist(["run", recipe, "--out", whole]);
  expect({ code, stderr }).toMatchObject({ code: 0 });
});

afterAll(() => removeFolder(folder));

function readLines(path: string): readonly string[] {
  return existsSync(path) ? readFileSync(path, "utf8").split("\n").filter(Boolean) : [];
}

function namesIn(path: string): readonly string[] {
  return existsSync(path) ? readdirSync(path).filter((name) => !name.startsWith(".")) : [];
}

/** How far a run has come: steps logged, checkpoints saved, evaluations written. */
function measureProgress(run: string): number {
  const metrics = namesIn(join(run, "metrics")).map((name) => readLines(join(run, "metrics", name)).length);
  return [
    ...metrics,
    namesIn(join(run, "checkpoints")).length,
    namesIn(join(run, "evaluations")).length,
  ].reduce((sum, count) => sum + count, 0);
}

/** What must not depend on interruptions: no clock readings. */
function describeRun(run: string): unknown {
  const summary = parseJson(readFileSync(join(run, "summary.json"), "utf8"));
  const metrics = Object.fromEntries(
    namesIn(join(run, "metrics")).map((name) => [
      name,
      readLines(join(run, "metrics", name)).map((line) => {
        const { ms, tokensPerSecond, ...rest } = parseJson(line);
        expect([typeof ms, typeof tokensPerSecond]).toEqual(["number", "number"]);
        return rest;
      }),
    ]),
  );
  const isComparable = (path: string): boolean =>
    /^(checkpoints|evaluations|spectra|repairs)\/|^(lineage|run)\.json$|^recipe/.test(path);
  return {
    files: Object.fromEntries(Object.entries(hashFiles(run)).filter(([path]) => isComparable(path))),
    all: listFilesBelow(run),
    summary: { ...summary, timings: Object.keys(summary.timings).sort() },
    metrics,
  };
}

/** The files that are written whole or not at all: once there, they are finished. */
function identifyFinished(run: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(identifyFiles(run)).filter(
      ([file]) => /^(checkpoints|evaluations)\//.test(file) && !file.includes(".untwist-"),
    ),
  );
}

/** Runs until `progress` is reached and a moment longer, then kills the process. Gives whether it was killed. */
async function killAt(
  args: readonly string[],
  { run, progress, afterMs }: { readonly run: string; readonly progress: number; readonly afterMs: number },
): Promise<boolean> {
  // A process that was to die before it did anything new would show nothing.
  const wanted = Math.max(progress, existsSync(run) ? measureProgress(run) + 1 : 0);
  const { child, outcome } = startUntwist(args);
  let hasEnded = false;
  void outcome.then(() => {
    hasEnded = true;
  });
  while (!hasEnded && !(existsSync(join(run, "run.json")) && measureProgress(run) >= wanted)) await wait(3);
  await wait(afterMs);
  child.kill("SIGKILL");
  return (await outcome).code === null;
}

describe("a run killed ten times", () => {
  it("ends with the same files as a run left alone, and does nothing twice that was finished", async () => {
    const run = join(folder, "killed");
    const random = createRandom(7, "moments");
    const total = measureProgress(whole);
    // One moment in each tenth of the run; the extra milliseconds hit writes, evaluations and compilation alike.
    const moments = Array.from({ length: 10 }, (_, index) => ({
      progress: Math.floor(((index + random.uniform()) * (total - 3)) / 10),
      afterMs: random.integer(0, 90),
    }));
    let numKilled = 0;
    let finished: Readonly<Record<string, string>> = {};
    for (const [index, moment] of moments.entries()) {
      const args = index === 0 ? ["run", recipe, "--out", run] : ["run", "--resume", "--out", run];
      if (await killAt(args, { run, ...moment })) numKilled++;
      const now = identifyFinished(run);
      expect(now).toMatchObject(finished);
      finished = now;
    }
    expect(numKilled).toBe(10);
    const { code, stderr } = await runUntwist(["run", "--resume", "--out", run]);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    expect(Object.keys(finished).length).toBeGreaterThan(15);
    expect(identifyFiles(run)).toMatchObject(finished);
    expect(describeRun(run)).toEqual(describeRun(whole));
  });

  it("says nothing new and changes no result when it is resumed once more after its end", async () => {
    const before = identifyFiles(whole);
    const described = describeRun(whole);
    const { code, stdout } = await runUntwist(["run", "--resume", "--out", whole, "--json"]);
    expect(code).toBe(0);
    expect(parseJson(stdout).checkpoints).toEqual(
      parseJson(readFileSync(join(whole, "summary.json"), "utf8")).checkpoints,
    );
    expect(describeRun(whole)).toEqual(described);
    const changed = Object.entries(identifyFiles(whole)).filter(
      ([path, identity]) => before[path] !== identity,
    );
    // The summary, the spectra and the report are made again, the same as before; all else is left alone.
    const isMadeAgain = (path: string): boolean =>
      /^(summary\.json|timings\.jsonl|report\.html)$|^spectra\/|^repairs\/[^/]+\/record\.json$/.test(path);
    expect(changed.map(([path]) => path).filter((path) => !isMadeAgain(path))).toEqual([]);
  });
});

describe("a run that is interrupted by Ctrl-C", () => {
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    it(`exits with code 130 and one sentence that names --resume on ${signal}`, async () => {
      const run = join(folder, signal);
      const { child, outcome } = startUntwist(["run", recipe, "--out", run]);
      const lines = join(run, "metrics", "sft.jsonl");
      while (child.exitCode === null && readLines(lines).length < 5) await wait(3);
      child.kill(signal);
      const { code, stdout, stderr } = await outcome;
      expect({ code, stdout }).toEqual({ code: 130, stdout: "" });
      const said = stderr.split("\n").filter((line) => line !== "" && !/ID +\d+\/\d+ /.test(line));
      expect(said).toEqual([expect.stringContaining(`untwist run --resume --out ${run}`)]);
      expect(existsSync(join(run, "summary.json"))).toBe(false);
    });

  it("resumes to the same end", async () => {
    const run = join(folder, "SIGINT");
    const { code, stderr } = await runUntwist(["run", "--resume", "--out", run]);
    expect(code, stderr).toBe(0);
    expect(describeRun(run)).toEqual(describeRun(whole));
  });
});

describe("a run that was killed while its folder was being made", () => {
  it("has left nothing at its place, so that it can be started again", async () => {
    // What `kill -9` leaves: a folder under a temporary name beside the place, complete or not.
    const run = join(folder, "half-made");
    const leftover = join(folder, nameLeftover());
    mkdirSync(leftover);
    writeFileSync(join(leftover, "recipe.yaml"), readFileSync(join(whole, "recipe.yaml")));
    writeFileSync(join(leftover, "run.json"), readFileSync(join(whole, "run.json")));
    const changes = ["--set", "sft.numSteps=8", "--set", "rl=[]"];
    const again = await startUntwist(["run", recipe, "--out", run, ...changes]).outcome;
    expect({ code: again.code, stderr: again.stderr }).toMatchObject({ code: 0 });
    expect(existsSync(leftover)).toBe(false);
    const { stdout } = await runUntwist(["ls", folder, "--json"]);
    expect(stdout).toContain("half-made");
    expect(stdout).not.toContain(".untwist-");
  });
});
