/** What commands load before they work: a fraction of all code. */
import { readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { buildModel, writeCheckpointFolder } from "./support/checkpoint-folder.ts";
import { listLoadedFiles } from "./support/loaded-files.ts";
import {
  createTemporaryFolder,
  parseJson,
  removeFolder,
  root,
  runUntwist,
  tinyRecipe,
} from "./support/untwist.ts";

const folder = createTemporaryFolder();
afterAll(() => removeFolder(folder));

beforeAll(async () => {
  writeFileSync(join(folder, "tiny.yaml"), tinyRecipe);
  const { code, stderr } = await runUntwist(["run", "tiny.yaml"], folder);
  expect(code, stderr).toBe(0);
  for (const name of ["before", "after"]) await writeCheckpointFolder(join(folder, name), buildModel(name));
});

const held: Readonly<Record<string, readonly string[]>> = parseJson(
  readFileSync(join(root, "dist/node/sources.json"), "utf8"),
);

/** Files that a command loads, and the sources that they are built of. */
async function list(
  ...args: readonly string[]
): Promise<{ readonly files: readonly string[]; readonly sources: readonly string[] }> {
  const files = await listLoadedFiles(args, folder);
  return { files, sources: [...new Set(files.flatMap((path) => held[basename(path)] ?? []))].sort() };
}

it("untwist ls loads 40 files at the most, and of our sources no more either", async () => {
  const { files, sources } = await list("ls");
  expect(files.length).toBeGreaterThan(5);
  expect(files.length).toBeLessThanOrEqual(40);
  expect(sources.length, sources.join("\n")).toBeLessThanOrEqual(40);
});

it("untwist spectra A B loads 120 files at the most, and nothing of training, generation or pages", async () => {
  const { files, sources } = await list("spectra", "before", "after");
  expect(files.length).toBeLessThanOrEqual(120);
  expect(sources).toContain("src/weights/spectra/compare.ts");
  expect(
    sources.filter((path) =>
      /^src\/(?:training|engine|tasks|bridge\/interchange)\/|^src\/face\/(?:view|studio|serving)/.test(path),
    ),
  ).toEqual([]);
});

it("untwist --help loads no command", async () => {
  const { sources } = await list("--help");
  expect(sources.filter((path) => !/^src\/(?:base|face\/cli)\//.test(path))).toEqual([]);
  expect(sources.filter((path) => path.includes("/command/"))).toEqual([]);
});
