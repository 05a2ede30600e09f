import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { isAdapterFolder } from "../adapter/adapter-config.ts";
import { listWeightFiles } from "./list-weights.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "untwist-list-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function fill(...names: readonly string[]): Promise<void> {
  for (const name of names) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), "");
  }
}

describe("listWeightFiles()", () => {
  it.each<[readonly string[], readonly string[]]>([
    [["model.safetensors"], ["config.json", "optimizer.pt", "pytorch_model.bin"]],
    [
      ["model-1.safetensors", "model-2.safetensors"],
      ["model.safetensors.index.json", "config.json"],
    ],
    [["pytorch_model.bin"], ["config.json", "optimizer.pt", "training_args.bin", "rng_state_0.pth"]],
    [["pytorch_model-00001-of-00001.bin"], ["pytorch_model.bin.index.json", "scheduler.pt"]],
    [["x.pt"], ["README.md"]],
    [["a.gguf"], ["README.md"]],
    [[".metadata", "__0_0.distcp", "__1_0.distcp"], ["config.json"]],
    [
      ["model_world_size_2_rank_0.pt", "model_world_size_2_rank_1.pt"],
      ["optim_world_size_2_rank_0.pt", "huggingface/config.json"],
    ],
    [["adapter_model.safetensors"], ["adapter_config.json", "pytorch_model_fsdp_0/.metadata"]],
    [[], ["README.md"]],
  ])("lists %j beside %j", async (names, others) => {
    await fill(...names, ...others);
    expect(await listWeightFiles(folder)).toEqual({ folder, names });
  });

  it("lists what accelerate keeps in a folder of its own", async () => {
    await fill("config.json", "optimizer.bin", "pytorch_model_fsdp_0/.metadata");
    await fill("pytorch_model_fsdp_0/__0_0.distcp");
    const nested = join(folder, "pytorch_model_fsdp_0");
    expect(await listWeightFiles(folder)).toEqual({ folder: nested, names: [".metadata", "__0_0.distcp"] });
  });

  it("lists a file by itself, and nothing where nothing is", async () => {
    await fill("a.gguf", "b.gguf");
    expect(await listWeightFiles(join(folder, "a.gguf"))).toEqual({ folder, names: ["a.gguf"] });
    expect((await listWeightFiles(join(folder, "c.gguf"))).names).toEqual([]);
  });
});

describe("isAdapterFolder()", () => {
  it.each<[boolean, readonly string[]]>([
    [true, ["adapter_model.safetensors"]],
    [true, ["adapter_model.bin"]],
    [true, []],
    [true, ["adapter_model.safetensors", "zero_to_fp32.py"]],
    [true, ["adapter_model.safetensors", "pytorch_model_fsdp_0/.metadata"]],
    [false, ["adapter_model.safetensors", "model.safetensors"]],
    [false, ["model.fp16.safetensors"]],
    [false, ["pytorch_model.bin"]],
    [false, ["x.gguf"]],
  ])("says %s of an adapter_config.json beside %j", async (isAdapter, names) => {
    await fill("adapter_config.json", ...names);
    expect(await isAdapterFolder(folder)).toBe(isAdapter);
  });
});
