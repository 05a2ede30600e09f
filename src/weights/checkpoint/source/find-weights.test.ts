import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type FoundWeights, findWeights } from "./find-weights.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "untwist-weights-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** What is found in a folder of empty files; names that end in a slash are folders. */
async function find(...names: readonly string[]): Promise<FoundWeights> {
  for (const name of names) {
    await mkdir(name.endsWith("/") ? join(folder, name) : dirname(join(folder, name)), { recursive: true });
    if (!name.endsWith("/")) await writeFile(join(folder, name), "");
  }
  return await findWeights(folder);
}

describe("findWeights()", () => {
  it.each<[string, readonly string[], readonly string[]]>([
    ["safetensors", ["model.safetensors"], ["config.json", "pytorch_model.bin", "optimizer.pt"]],
    ["safetensors", ["model.safetensors.index.json"], ["model-00001-of-00001.safetensors"]],
    ["safetensors", ["model.fp16.safetensors"], ["config.json"]],
    ["safetensors", ["model.safetensors.index.fp16.json"], ["model.fp16-00001-of-00001.safetensors"]],
    ["safetensors", ["consolidated.safetensors"], ["params.json"]],
    ["safetensors", ["a-00001-of-00002.safetensors", "a-00002-of-00002.safetensors"], []],
    [
      "dcp",
      ["shard-00001-model-00001-of-00001.safetensors", "shard-00002-model-00001-of-00001.safetensors"],
      [],
    ],
    ["safetensors", ["model.safetensors"], ["zero_to_fp32.py", "global_step5/", "iter_0000010/"]],
    ["torch", ["pytorch_model.bin"], ["training_args.bin", "rng_state_0.pth", "scheduler.pt"]],
    ["torch", ["pytorch_model.bin.index.json"], ["pytorch_model-00001-of-00001.bin", "zero_to_fp32.py"]],
    ["torch", ["consolidated.00.pth"], ["params.json"]],
    [
      "verl",
      ["model_world_size_2_rank_0.pt", "model_world_size_2_rank_1.pt"],
      ["optim_world_size_2_rank_0.pt"],
    ],
    ["dcp", [".metadata"], ["__0_0.distcp"]],
    ["gguf", ["a.Q8_0.gguf"], ["README.md"]],
  ])("finds %s in %j", async (format, files, others) => {
    expect(await find(...files, ...others)).toEqual({
      kind: "weights",
      format,
      folder,
      files,
      isIndex: /\.json$|metadata$/.test(files[0]!),
    });
  });

  it("finds what accelerate keeps in a folder of its own", async () => {
    const nested = "pytorch_model_fsdp_0";
    expect(await find("config.json", `${nested}/.metadata`)).toMatchObject({
      format: "dcp",
      folder: join(folder, nested),
    });
  });

  it.each<[string, readonly string[]]>([
    ["zero_to_fp32.py . OUT", ["zero_to_fp32.py", "latest", "global_step5/"]],
    [
      "zero_to_fp32.py . OUT",
      ["mp_rank_00_model_states.pt", "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt"],
    ],
    ["Megatron Bridge", ["latest_checkpointed_iteration.txt", "iter_0000010/"]],
    ["Megatron Bridge", ["mp_rank_00_000/"]],
    ["Megatron Bridge", [".metadata", "common.pt", "__0_0.distcp"]],
    ["convert_llama_weights_to_hf.py", ["consolidated.00.pth", "consolidated.01.pth"]],
    ["weights of Flax", ["flax_model.msgpack", "config.json"]],
    ["there is no file of shard 1 in it", ["shard-00002-model-00001-of-00001.safetensors"]],
    ["there is no a-00002-of-00002.safetensors in it", ["a-00001-of-00002.safetensors"]],
    [
      'it holds 2 files of weights, "model.bf16.safetensors", "model.fp16.safetensors"',
      ["model.fp16.safetensors", "model.bf16.safetensors"],
    ],
    ["it holds 2 files of weights", ["a.gguf", "b.gguf"]],
  ])("refuses by name: %s", async (reason, names) => {
    const found = await find(...names);
    expect(found).toMatchObject({ kind: "refused", reason: expect.stringContaining(reason) });
  });

  it.each<[string, readonly string[]]>([
    ["it is empty", []],
    ['it holds "__0_0.distcp"', ["__0_0.distcp"]],
    ['it holds "adapter_model.safetensors", "optimizer.pt"', ["adapter_model.safetensors", "optimizer.pt"]],
    ['it holds "a", "b", "c", "d", "e/" and 1 more', ["a", "b", "c", "d", "e/", "f/"]],
  ])("finds no weights where %s", async (holds, names) => {
    expect(await find(...names)).toEqual({ kind: "none", holds });
  });

  it("takes a file for a whole checkpoint by its name", async () => {
    await find("x.gguf", "y.txt");
    expect(await findWeights(join(folder, "x.gguf"))).toMatchObject({ format: "gguf", files: ["x.gguf"] });
    await expect(findWeights(join(folder, "y.txt"))).rejects.toThrow("it is not a whole file of weights");
  });
});
