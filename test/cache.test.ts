/** `untwist cache`: what it counts, and what it deletes. */
import { mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { memoryVersion } from "../src/lab/cache/answer-memory.ts";
import { cacheVersion } from "../src/lab/cache/index.ts";
import {
  createTemporaryFolder,
  type Json,
  listFilesBelow,
  parseJson,
  readOutput,
  removeFolder,
  runUntwist,
} from "./support/untwist.ts";

const folder = createTemporaryFolder();
afterAll(() => removeFolder(folder));
const environment = { UNTWIST_CACHE: join(folder, "cache") };
const files = [
  ...[
    `portable-${cacheVersion}/factors/ab/abcd/exact-4.safetensors`,
    `lapack-${cacheVersion}/comparisons/cd/cdef.json`,
    `embedded-${memoryVersion}/ef/ef01.json`,
  ],
  ...["portable-1/factors/ab/abcd/exact-4.safetensors", "embedded-0/ef/ef01.json"],
  ...["answers/one.jsonl", "jobs/x/plan.json", "notes.txt"],
];

beforeEach(() => {
  removeFolder(environment.UNTWIST_CACHE);
  for (const file of files) {
    const path = join(environment.UNTWIST_CACHE, file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, "12345678");
  }
});

const read = async (...args: readonly string[]): Promise<Json> =>
  parseJson(await readOutput(["cache", ...args, "--json"], folder, environment));

describe("untwist cache", () => {
  it("counts every file once, by what it holds", async () => {
    const one = { numFiles: 1, numBytes: 8 };
    expect(await read()).toEqual({
      folder: environment.UNTWIST_CACHE,
      kinds: {
        ...{ factors: one, comparisons: one, "embedded answers": one },
        ...{ "earlier versions": { numFiles: 2, numBytes: 16 }, answers: one, jobs: one, "other files": one },
      },
    });
    removeFolder(environment.UNTWIST_CACHE);
    expect((await read()).kinds.factors).toEqual({ numFiles: 0, numBytes: 0 });
  });

  it("deletes what was not used since then and what no version reads any more, and nothing else", async () => {
    const old = new Date("2020-01-01");
    for (const file of files) utimesSync(join(environment.UNTWIST_CACHE, file), old, old);
    writeFileSync(join(environment.UNTWIST_CACHE, files[1]!), "12345678");
    expect((await read("--prune", "30")).pruned).toEqual({ numFiles: 4, numBytes: 32 });
    expect(listFilesBelow(environment.UNTWIST_CACHE)).toEqual([...files.slice(5), files[1]].sort());
  });

  it("refuses what is not a number of days", async () => {
    const { code, stderr } = await runUntwist(["cache", "--prune", "week"], folder, environment);
    expect([code, stderr]).toEqual([2, expect.stringContaining('"week"')]);
  });
});
