import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { hashWeights, stampWeights } from "../../bridge/trainer/index.ts";
import { measureCheckpoint, stampCheckpoint } from "./stamp-inputs.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "untwist-stamp-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Writes a file; what it holds tells its time as well, so that no test waits for a clock. */
async function write(name: string, content: string): Promise<void> {
  await mkdir(dirname(join(folder, name)), { recursive: true });
  await writeFile(join(folder, name), content);
  await utimes(join(folder, name), 1e9 + content.length, 1e9 + content.length);
}

const cases: readonly (readonly [string, readonly string[]])[] = [
  ["", ["config.json", "pytorch_model.bin"]],
  ["", ["config.json", "pytorch_model.bin.index.json", "pytorch_model-00001-of-00001.bin"]],
  ["", [".metadata", "__0_0.distcp"]],
  ["", ["config.json", "pytorch_model_fsdp_0/.metadata", "pytorch_model_fsdp_0/__0_0.distcp"]],
  ["", ["huggingface/config.json", "model_world_size_1_rank_0.pt"]],
  ["", ["a.gguf"]],
  ["a.gguf", ["a.gguf"]],
];

describe("stampCheckpoint() and stampWeights()", () => {
  it.each(cases)("tell weights at %j that were written again: %j", async (place, names) => {
    for (const name of names) await write(name, "{}");
    const path = join(folder, place);
    const read = async (): Promise<readonly (string | number)[]> => [
      await stampCheckpoint(path),
      await stampWeights(path),
      await hashWeights(path),
      await measureCheckpoint(path),
    ];
    const before = await read();
    await write(names.at(-1)!, "other");
    const after = await read();
    for (const [index, value] of after.entries()) expect(value).not.toBe(before[index]);
  });

  it("tell a tokenizer and a configuration that lie where those of the weights do", async () => {
    await write("model_world_size_1_rank_0.pt", "");
    const stamps = new Set([await stampCheckpoint(folder)]);
    await write("huggingface/tokenizer.json", "{}");
    stamps.add(await stampCheckpoint(folder));
    await write("huggingface/config.json", "{}");
    stamps.add(await stampCheckpoint(folder));
    expect(stamps.size).toBe(3);
  });

  it("are of safetensors what they were before other formats were read", async () => {
    const names = ["config.json", "model.safetensors", "tokenizer.json"];
    for (const name of names) await write(name, name);
    const lineOf = async (name: string): Promise<string> => {
      const { size, mtimeMs } = await stat(join(folder, name));
      return `${name} ${size} ${mtimeMs}`;
    };
    const hash = (lines: readonly string[]): string =>
      createHash("sha256").update(lines.join("\n")).digest("hex").slice(0, 16);
    await write("optimizer.pt", "");
    await write("pytorch_model.bin", "");
    expect(await stampCheckpoint(folder)).toBe(hash(await Promise.all(names.map(lineOf))));
    expect(await stampWeights(folder)).toBe(hash([await lineOf("model.safetensors")]));
  });
});
