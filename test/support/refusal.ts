/** What every mistake of a user must lead to: one sentence, exit code 2, and no trace in the folder. */
import { readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { expect } from "vitest";
import { type Environment, identifyFiles, runUntwist } from "./untwist.ts";

/** A mistake in the arguments of a command, and what the sentence must name. */
export type Mistake = readonly [args: readonly string[], ...named: string[]];

/** Every file and folder below a folder; files with what tells them rewritten. */
function observeFolder(folder: string): Readonly<Record<string, string>> {
  const folders = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => [relative(folder, join(entry.parentPath, entry.name)), "a folder"]);
  return { ...Object.fromEntries(folders), ...identifyFiles(folder) };
}

/** Runs `untwist` in a folder and expects that it refuses, naming what is wrong, and changes nothing there. */
export async function expectRefusal(
  [args, ...named]: Mistake,
  folder: string,
  environment: Environment = {},
): Promise<void> {
  const before = observeFolder(folder);
  const { code, stdout, stderr } = await runUntwist(args, folder, environment);
  const after = observeFolder(folder);
  const paths = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  const touched = paths.filter((path) => before[path] !== after[path]);
  const outcome = { code, stdout, numLines: stderr.split("\n").length - 1, touched };
  expect(outcome, stderr).toEqual({ code: 2, stdout: "", numLines: 1, touched: [] });
  expect(stderr).toMatch(/^\S.*\S\n$/);
  for (const name of named) expect(stderr).toContain(name);
}
