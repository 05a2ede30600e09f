import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { problemOf } from "../../../test/support/checkpoint-folder.ts";
import { UsageError } from "../../base/core/index.ts";
import { openCheckpoint, writeCheckpoint } from "./checkpoint.ts";
import { type WritableTensor, writeSafetensors } from "./safetensors/safetensors-write.ts";

interface Expected {
  readonly config: Record<string, unknown>;
  readonly checkpoint: readonly {
    readonly name: string;
    readonly dtype: string;
    readonly shape: readonly number[];
    readonly floatBits: readonly number[];
  }[];
  readonly shardOf: Record<string, string>;
}

const golden = fileURLToPath(new URL("../../../test/golden/checkpoint/", import.meta.url));
const readExpected = async (): Promise<Expected> =>
  JSON.parse(await readFile(join(golden, "expected.json"), "utf8"));
const bitsOf = (values: Float32Array): number[] => [...new Uint32Array(values.slice().buffer)];

const tensorOf = (name: string, shape: readonly number[]): WritableTensor => ({
  name,
  dtype: "F32",
  shape,
  data: () => new Float32Array(shape.reduce((product, size) => product * size, 1)).fill(0.5),
});

let parent = "";
let folder = "";
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "untwist-checkpoint-"));
  folder = join(parent, "step-10");
});
afterEach(() => rm(parent, { recursive: true, force: true }));

describe("openCheckpoint()", () => {
  it.each(["single", "sharded"])("reads the golden folder %s", async (name) => {
    const expected = await readExpected();
    const checkpoint = await openCheckpoint(join(golden, name));
    expect(checkpoint.config).toEqual(expected.config);
    expect(checkpoint.tensors.size).toBe(expected.checkpoint.length);
    for (const { name: tensor, dtype, shape, floatBits } of expected.checkpoint) {
      const file = name === "single" ? "model.safetensors" : expected.shardOf[tensor];
      expect(checkpoint.tensors.get(tensor)).toEqual({ dtype, shape, file });
      const read = await checkpoint.readTensor(tensor);
      expect(read).toMatchObject({ dtype, shape });
      expect(bitsOf(read.data)).toEqual(floatBits);
    }
    const { message } = await problemOf(checkpoint.readTensor("nowhere"));
    expect(message).toContain(`tensor "nowhere" of "${join(golden, name)}"`);
    await checkpoint.close();
    await expect(checkpoint.readTensor("lm_head.weight")).rejects.toThrow();
  });

  it("says what a folder lacks", async () => {
    expect((await problemOf(openCheckpoint(folder))).message).toBe(
      `Cannot read "${folder}": no such folder; give the path of a Hugging Face checkpoint folder`,
    );
    await mkdir(folder);
    expect((await problemOf(openCheckpoint(folder))).message).toBe(
      `Cannot read "${folder}": there are no weights in it, it is empty; give the path of a checkpoint folder`,
    );
    await writeFile(join(folder, "config.json"), "{}");
    await writeFile(join(folder, "optimizer.pt"), "");
    expect((await problemOf(openCheckpoint(folder))).message).toBe(
      `Cannot read "${folder}": there are no weights in it, it holds "config.json", "optimizer.pt"; save the model into it as safetensors`,
    );
    await rm(join(folder, "config.json"));
    await cp(join(golden, "single", "model.safetensors"), join(folder, "model.safetensors"));
    expect((await problemOf(openCheckpoint(folder))).path).toBe(`${folder}/config.json`);
  });

  it.each([
    ["{", "it is not JSON"],
    ["[1]", "it is not a JSON object"],
    ["null", "it is not a JSON object"],
    [Uint8Array.of(0x22, 0xff, 0x22), "it is not UTF-8 text"],
  ])("refuses the configuration %s", async (text, problem) => {
    await cp(join(golden, "single"), folder, { recursive: true });
    await writeFile(join(folder, "config.json"), text);
    const error = await problemOf(openCheckpoint(folder));
    expect(error.message).toContain(problem);
    expect(error.path).toBe(`${folder}/config.json`);
  });

  const index = "model.safetensors.index.json";
  const [first, second] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] as const;
  const all = {
    "model.embed_tokens.weight": first,
    "model.norm.weight": first,
    "lm_head.weight": second,
  };
  const without = (name: keyof typeof all): Record<string, string> => {
    const { [name]: _, ...rest } = all;
    return rest;
  };

  it.each<[string, string, string, string, string | undefined]>([
    [
      "a tensor that its shard lacks",
      JSON.stringify({ weight_map: { ...all, new: second } }),
      "the index lists it, the file lacks it",
      second,
      "new",
    ],
    [
      "a tensor in another shard",
      JSON.stringify({ weight_map: { ...all, "model.norm.weight": second } }),
      `the index puts it into "${second}"`,
      first,
      "model.norm.weight",
    ],
    [
      "a tensor not listed",
      JSON.stringify({ weight_map: without("model.norm.weight") }),
      "the index does not list it",
      first,
      "model.norm.weight",
    ],
    [
      "a tensor listed twice",
      `{"weight_map":{"a":"${first}","a":"${second}"}}`,
      'the key "a" occurs twice',
      index,
      undefined,
    ],
    [
      "a missing shard",
      JSON.stringify({ weight_map: { ...all, new: "other.safetensors" } }),
      "no such file",
      "other.safetensors",
      undefined,
    ],
    [
      "a shard outside the folder",
      JSON.stringify({ weight_map: { ...all, new: "../step-9/model.safetensors" } }),
      "its shard is not a file name in the same folder",
      index,
      "new",
    ],
    [
      "a shard that is not text",
      JSON.stringify({ weight_map: { new: 1 } }),
      "its shard is not a file name in the same folder",
      index,
      "new",
    ],
    ["no weight_map", '{"metadata":{}}', 'it has no "weight_map"', index, undefined],
    ["no JSON", "{", "it is malformed", index, undefined],
  ])("refuses an index with %s, naming file and tensor", async (_, text, problem, file, tensor) => {
    await cp(join(golden, "sharded"), folder, { recursive: true });
    await writeFile(join(folder, index), text);
    const error = await problemOf(openCheckpoint(folder));
    expect(error.message).toContain(problem);
    expect(error).toMatchObject({ path: `${folder}/${file}`, exitCode: 2 });
    expect(error.tensor).toBe(tensor);
  });

  it("refuses a tensor that two shards hold", async () => {
    await cp(join(golden, "sharded"), folder, { recursive: true });
    await cp(join(folder, first), join(folder, second));
    const error = await problemOf(openCheckpoint(folder));
    expect(error).toMatchObject({ path: `${folder}/${second}`, tensor: "model.embed_tokens.weight" });
  });

  it("refuses a damaged file, naming it", async () => {
    await cp(join(golden, "sharded"), folder, { recursive: true });
    await writeFile(join(folder, second), (await readFile(join(folder, second))).subarray(0, -1));
    const error = await problemOf(openCheckpoint(folder));
    expect(error).toMatchObject({ path: `${folder}/${second}`, tensor: "lm_head.weight" });
  });
});

describe("writeCheckpoint()", () => {
  const config = { model_type: "llama", hidden_size: 4 };

  it("writes configuration, extra files and tensors, replacing what was there", async () => {
    await writeCheckpoint(folder, { config: {}, tensors: [], files: { "old.txt": "old" } });
    const files = { "tokenizer.json": '{"größe":1}', "state.bin": Uint8Array.of(1, 2, 255) };
    await writeCheckpoint(folder, { config, tensors: [tensorOf("a", [2])], files });
    expect((await readdir(folder)).sort()).toEqual([
      "config.json",
      "model.safetensors",
      "state.bin",
      "tokenizer.json",
    ]);
    expect(await readFile(join(folder, "config.json"), "utf8")).toBe(
      '{\n  "model_type": "llama",\n  "hidden_size": 4\n}\n',
    );
    expect(await readFile(join(folder, "tokenizer.json"), "utf8")).toBe(files["tokenizer.json"]);
    expect([...(await readFile(join(folder, "state.bin")))]).toEqual([1, 2, 255]);
    const checkpoint = await openCheckpoint(folder);
    expect(checkpoint.config).toEqual(config);
    expect([...(await checkpoint.readTensor("a")).data]).toEqual([0.5, 0.5]);
    await checkpoint.close();
    expect(await readdir(parent)).toEqual(["step-10"]);
  });

  it("writes the same bytes for the same content", async () => {
    const [a, b] = [tensorOf("a", [2]), tensorOf("b", [3])];
    await writeCheckpoint(folder, { config, tensors: [a, b] });
    const once = await readFile(join(folder, "model.safetensors"));
    await writeCheckpoint(folder, { config, tensors: [b, a] });
    expect(await readFile(join(folder, "model.safetensors"))).toEqual(once);
    await writeSafetensors(join(parent, "alone.safetensors"), [a, b]);
    expect(await readFile(join(parent, "alone.safetensors"))).toEqual(once);
  });

  it("keeps the old folder when the new one cannot be written", async () => {
    await writeCheckpoint(folder, { config, tensors: [tensorOf("a", [2])] });
    const failing = { ...tensorOf("b", [2]), data: () => Promise.reject(new RangeError("no values")) };
    await expect(writeCheckpoint(folder, { config: {}, tensors: [failing] })).rejects.toThrow("no values");
    const checkpoint = await openCheckpoint(folder);
    expect([...checkpoint.tensors.keys()]).toEqual(["a"]);
    expect(checkpoint.config).toEqual(config);
    await checkpoint.close();
    expect(await readdir(parent)).toEqual(["step-10"]);
  });

  it("refuses file names that are taken or leave the folder", async () => {
    for (const name of ["config.json", "model.safetensors", "../a", "a/b", "..", ""])
      await expect(writeCheckpoint(folder, { config, tensors: [], files: { [name]: "" } })).rejects.toThrow(
        RangeError,
      );
    expect(await readdir(parent)).toEqual([]);
  });

  it("says so when the folder cannot be written", async () => {
    await writeFile(folder, "mine");
    await expect(writeCheckpoint(folder, { config, tensors: [] })).rejects.toThrow(UsageError);
  });
});
