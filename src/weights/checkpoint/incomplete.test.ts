/** Checkpoints of several files of which some are missing, cut off or of another step: what is said of them. */
import { cp, mkdtemp, readFile, rename, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { problemOf } from "../../../test/support/checkpoint-folder.ts";
import { openCheckpoint } from "./checkpoint.ts";

const golden = fileURLToPath(new URL("../../../test/golden/savers/", import.meta.url));
let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "untwist-incomplete-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

type Change = (path: (name: string) => string) => Promise<unknown>;
const rankFile = (rank: number): string => `model_world_size_4_rank_${rank}.pt`;
const shardFile = (shard: number): string => `shard-0000${shard}-model-00001-of-00001.safetensors`;

describe("openCheckpoint()", () => {
  it.each<[string, string, Change, string]>([
    ["a rank is missing", "verl-copies", (at) => rm(at(rankFile(2))), `there is no ${rankFile(2)} beside it`],
    ["a rank stands twice", "verl-copies", (at) => cp(at(rankFile(0)), at(rankFile(1))), "its parts overlap"],
    [
      "ranks are of two runs",
      "verl-copies",
      (at) => writeFile(at("model_world_size_2_rank_0.pt"), ""),
      "it holds the files of 2 and of 4 processes",
    ],
    ["a rank is cut off", "verl-copies", (at) => truncate(at(rankFile(3)), 3000), "it is not a ZIP archive"],
    ["a file of chunks is missing", "dcp-app", (at) => rm(at("__2_0.distcp")), "and there is no such file"],
    [
      "a file of chunks is cut off",
      "dcp-app",
      (at) => truncate(at("__1_0.distcp"), 4000),
      "the file ends before it",
    ],
    ["a shard is missing", "dcp-hf", (at) => rm(at(shardFile(2))), "there is no file of shard 2"],
    ["shards are swapped", "dcp-hf", (at) => cp(at(shardFile(1)), at(shardFile(2))), "its parts overlap"],
    [
      "a shard of an index is missing",
      "torch-shards",
      (at) => rm(at("pytorch_model-00002-of-00002.bin")),
      "the index lists it, and there is no such file",
    ],
    [
      "a number format of GGUF can't be read",
      "gguf",
      async (at) => {
        const bytes = await readFile(at("x.gguf"));
        // After the name: two axes of eight bytes each, then the number of the format.
        bytes.writeUInt32LE(39, bytes.indexOf("extra.q6") + 8 + 4 + 16);
        await writeFile(at("x.gguf"), bytes);
      },
      "its number format is MXFP4, which can't be read",
    ],
    [
      "a GGUF file is of a family that is not known",
      "gguf",
      async (at) => {
        const bytes = await readFile(at("x.gguf"));
        bytes.write("gemm3", bytes.indexOf("llama"));
        await writeFile(at("x.gguf"), bytes);
      },
      'its architecture is "gemm3"',
    ],
    [
      "weights have a name of no meaning",
      "torch",
      (at) => rename(at("pytorch_model.bin"), at("x.txt")),
      'there are no weights in it, it holds "config.json", "x.txt"',
    ],
  ])("says so where %s", async (_, name, change, problem) => {
    await cp(join(golden, name), folder, { recursive: true });
    await change((file) => join(folder, file));
    expect(String(await problemOf(openCheckpoint(folder)))).toContain(problem);
  });
});
