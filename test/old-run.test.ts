/** Run folders of earlier versions are still read: their recipes, records and answers. */
import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { openRunFolder } from "../src/run/index.ts";
import {
  createTemporaryFolder,
  hashFiles,
  parseJson,
  readOutput,
  removeFolder,
  root,
  runUntwist,
} from "./support/untwist.ts";

const folder = createTemporaryFolder();
afterAll(() => removeFolder(folder));
const kept = join(root, "test/golden/run-folder-1");
const run = join(folder, "run");
cpSync(kept, run, { recursive: true });
const summary = parseJson(readFileSync(join(kept, "summary.json"), "utf8"));

it("a run with a recipe that says sweeps opens with its repair grids", async () => {
  expect(readFileSync(join(run, "recipe.yaml"), "utf8")).toMatch(/^sweeps:/m);
  const { recipe, readEvaluation, readRepair } = await openRunFolder(run);
  expect(recipe.repairs).toMatchObject([{ name: "tiny", target: "sft-12", source: "sft-4" }]);
  expect((await readEvaluation("sft-4")).length).toBe(16);
  expect((await readRepair("tiny", "09b79a18500a76f4")).items.length).toBe(16);
});

it("is listed, shown, ranked and reported as it was", async () => {
  const shown = parseJson(await readOutput(["show", "run", "--json"], folder));
  const { trajectory: before, repairs: kept, ...rest } = summary;
  const { trajectory, repairs, statistics, ...others } = shown;
  expect(others).toEqual(rest);
  // Its statistics are computed anew, in the way of now.
  expect([statistics, trajectory.sftEnd]).toEqual([2, expect.objectContaining({ step: before.sftEnd.step })]);
  expect(trajectory.forgetting.high).toBeGreaterThan(trajectory.forgetting.low);
  for (const [index, grid] of repairs.entries())
    expect(grid.repairs[0].gain.pValue).toBe(kept[index].repairs[0].adjustedPValue);
  const [line] = parseJson(await readOutput(["ls", ".", "--json"], folder));
  expect(line).toMatchObject({
    path: "run",
    recipe: "tiny",
    state: "finished",
    numCheckpoints: 7,
    isEarlier: true,
  });
  expect(await readOutput(["show", "run"], folder)).toContain("sft-4 put into sft-12");
  await readOutput(["signals", "run"], folder);
  await readOutput(["report", "run"], folder);
});

it("takes the earlier name of a command, and says the one of now", async () => {
  const before = hashFiles(run);
  const { code, stderr } = await runUntwist(["sweep", "run"], folder);
  const [first, second, ...others] = stderr.trimEnd().split("\n");
  expect([code, first, others]).toEqual([2, "untwist sweep is called untwist repair now", []]);
  expect(second).toContain("checkpoints/");
  expect(hashFiles(run)).toEqual(before);
});
