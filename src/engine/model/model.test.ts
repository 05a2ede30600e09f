import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createRandom, UsageError } from "../../base/core/index.ts";
import { CheckpointError } from "../../weights/checkpoint/index.ts";
import type { ModelConfig } from "./config/model-config.ts";
import { describeModelConfig } from "./config/new-config.ts";
import { parseModelConfig } from "./config/parse-config.ts";
import { loadModel, type Model, saveModel } from "./model.ts";
import { createLayout, initializeParameters } from "./parameters.ts";
import { createWordTokenizer } from "./tokenizer.ts";

const config: ModelConfig = parseModelConfig(
  {
    model_type: "llama",
    vocab_size: 6,
    hidden_size: 8,
    intermediate_size: 12,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    eos_token_id: 1,
    pad_token_id: 0,
  },
  "",
);

const model: Model = {
  config,
  parameters: initializeParameters(config, createRandom(1)),
  tokenizer: createWordTokenizer(["a", "b", "c"]),
};

let root = "";
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "untwist-model-"));
});
afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});

/** A saved folder whose config.json is then changed. */
async function saveChanged(name: string, change: Partial<ModelConfig>): Promise<string> {
  const folder = join(root, name);
  await saveModel(folder, model);
  const text = JSON.stringify(describeModelConfig({ ...config, ...change }));
  await writeFile(join(folder, "config.json"), text);
  return folder;
}

async function catchError(load: Promise<unknown>): Promise<unknown> {
  return await load.then(
    () => undefined,
    (error: unknown) => error,
  );
}

describe("saveModel() and loadModel()", () => {
  for (const isTied of [false, true])
    it(`give back the same bits and config (${isTied ? "tied" : "untied"} head)`, async () => {
      const changed = { ...config, isTied };
      const parameters = initializeParameters(changed, createRandom(2));
      // What a sloppy copy would lose: signed zero, the smallest and the largest numbers.
      parameters.set([-0, 1.401298464324817e-45, 3.4028234663852886e38, -1 / 3]);
      const folder = join(root, `same-${isTied}`);
      await saveModel(folder, { ...model, config: changed, parameters });
      const loaded = await loadModel(folder);
      const bits = (values: Float32Array): Uint32Array =>
        new Uint32Array(values.buffer, values.byteOffset, values.length);
      expect(bits(loaded.parameters)).toEqual(bits(parameters));
      expect(loaded.config).toEqual(changed);
      expect(loaded.tokenizer.files).toEqual(model.tokenizer.files);
      expect(loaded.tokenizer.encode("c a")).toEqual([5, 3]);
    });

  it("read the end tokens of a generation_config.json, and keep them in config.json", async () => {
    const folder = join(root, "generation");
    await saveModel(folder, model, { "generation_config.json": '{"eos_token_id": [4, 1], "x": NaN}' });
    const loaded = await loadModel(folder);
    expect([loaded.config.endToken, loaded.config.otherEndTokens]).toEqual([1, [4]]);
    await saveModel(join(root, "generation-again"), loaded);
    expect((await loadModel(join(root, "generation-again"))).config).toEqual(loaded.config);
  });

  it("writes further files beside the model's, and replaces what was there", async () => {
    const folder = join(root, "files");
    await saveModel(folder, model, { "notes.md": "old", "old.txt": "old" });
    await saveModel(folder, model, { "notes.md": "taught" });
    expect(await readFile(join(folder, "notes.md"), "utf8")).toBe("taught");
    expect((await readdir(folder)).sort()).toEqual([
      "config.json",
      "model.safetensors",
      "notes.md",
      "tokenizer.json",
      "tokenizer_config.json",
    ]);
  });
});

describe("saveModel()", () => {
  it("refuses parameters that do not fill the layout", async () => {
    const parameters = new Float32Array(createLayout(config).size - 1);
    await expect(saveModel(join(root, "short"), { ...model, parameters })).rejects.toThrow();
    expect(await readdir(root)).not.toContain("short");
  });
});

describe("loadModel()", () => {
  it("names the tensor and the file when a tensor is missing", async () => {
    const folder = await saveChanged("missing", { layers: [0, 1, 2].map(() => config.layers[0]!) });
    const error = await catchError(loadModel(folder));
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error).toMatchObject({
      tensor: "model.layers.2.input_layernorm.weight",
      message: expect.stringContaining(
        `"model.layers.2.input_layernorm.weight" of "${folder}/model.safetensors"`,
      ),
    });
  });

  it("names the tensor, the file and both shapes when a shape differs", async () => {
    const folder = await saveChanged("shape", { intermediateSize: 16 });
    const error = await catchError(loadModel(folder));
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error).toMatchObject({ tensor: "model.layers.0.mlp.gate_proj.weight" });
    for (const part of [`${folder}/model.safetensors`, "[12, 8]", "[16, 8]"])
      expect(error).toMatchObject({ message: expect.stringContaining(part) });
  });

  it("names a tensor that the model does not have", async () => {
    const folder = await saveChanged("extra", { layers: config.layers.slice(1) });
    const error = await catchError(loadModel(folder));
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error).toMatchObject({
      tensor: `model.layers.${config.layers.length - 1}.input_layernorm.weight`,
    });
  });

  it("refuses a head that differs from the embeddings to which the config ties it", async () => {
    const error = await catchError(loadModel(await saveChanged("untied", { isTied: true })));
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error).toMatchObject({
      message: expect.stringContaining("lm_head.weight and model.embed_tokens.weight differ"),
    });
  });

  it("names the folder when there is no tokenizer", async () => {
    const folder = join(root, "silent");
    await saveModel(folder, model);
    await rm(join(folder, "tokenizer.json"));
    const error = await catchError(loadModel(folder));
    expect(error).toBeInstanceOf(UsageError);
    expect(error).toMatchObject({ message: expect.stringContaining(folder) });
  });

  it("names config.json when the engine cannot run the model", async () => {
    const folder = join(root, "foreign");
    await saveModel(folder, model);
    const foreign = { ...describeModelConfig(config), model_type: "bert" };
    await writeFile(join(folder, "config.json"), JSON.stringify(foreign));
    const error = await catchError(loadModel(folder));
    expect(error).toBeInstanceOf(UsageError);
    expect(error).toMatchObject({ message: expect.stringContaining(join(folder, "config.json")) });
  });

  it("refuses a folder that is not there", async () => {
    await expect(loadModel(join(root, "nowhere"))).rejects.toThrow(CheckpointError);
  });
});
