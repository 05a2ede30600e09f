import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { writeAdapterFolder } from "../../../test/support/adapter-folder.ts";
import {
  buildModel,
  nameWeight,
  type TensorSpec,
  writeCheckpointFolder,
} from "../../../test/support/checkpoint-folder.ts";
import { createTemporaryFolder, removeFolder } from "../../../test/support/untwist.ts";
import { CheckpointError } from "../../weights/checkpoint/index.ts";
import { locateModel } from "../machine/index.ts";
import { outlineModel } from "./describe-model.ts";

const folder = createTemporaryFolder();
afterAll(() => removeFolder(folder));
const at = (name: string): string => join(folder, name);
const shipped = await locateModel("general-points-base");

/** A tensor of zeros. */
const shape = (name: string, ...sizes: readonly number[]): TensorSpec => ({
  name,
  shape: sizes,
  values: new Float32Array(sizes.reduce((product, size) => product * size, 1)),
});

describe("outlineModel()", () => {
  it("counts tensors by kind, with the layers that they lie in and their different shapes", async () => {
    await writeCheckpointFolder(at("model"), buildModel("one"), { numShards: 2 });
    const { kinds, ...outline } = await outlineModel(at("model"));
    // Norms have one axis: they count as tensors, not among the kinds.
    expect(outline).toEqual({ numTensors: 9, layers: [0, 1], isEmbedded: false });
    expect(Object.fromEntries(kinds.map(({ kind, ...one }) => [kind, one]))).toEqual({
      embed_tokens: { count: 1, numLayers: 0, shapes: [[30, 24]] },
      lm_head: { count: 1, numLayers: 0, shapes: [[30, 24]] },
      q_proj: { count: 2, numLayers: 2, shapes: [[24, 24]] },
      up_proj: { count: 2, numLayers: 2, shapes: [[40, 24]] },
      frozen: { count: 1, numLayers: 0, shapes: [[12, 20]] },
    });
  });

  it("sorts layers by number, also those of norms alone, and tells shapes apart within a kind", async () => {
    await writeCheckpointFolder(at("layers"), [
      shape(nameWeight(10, "mlp.up_proj"), 2, 3),
      shape(nameWeight(9, "mlp.up_proj"), 3, 2),
      shape(nameWeight(2, "mlp.up_proj"), 2, 3),
      shape(nameWeight(0, "input_layernorm"), 2),
    ]);
    const { layers, kinds } = await outlineModel(at("layers"));
    expect(layers).toEqual([0, 2, 9, 10]);
    expect(kinds).toHaveLength(1);
    const [{ shapes, ...kind }] = kinds as [(typeof kinds)[number]];
    expect(kind).toEqual({ kind: "up_proj", count: 3, numLayers: 3 });
    expect(shapes).toHaveLength(2);
    expect(shapes).toEqual(
      expect.arrayContaining([
        [2, 3],
        [3, 2],
      ]),
    );
  });

  it("takes a model for one that the embedded engine runs by its family and its tokenizer", async () => {
    expect((await outlineModel(shipped)).isEmbedded).toBe(true);
    await writeCheckpointFolder(at("family"), buildModel("one"));
    const isEmbedded = async (): Promise<boolean> => (await outlineModel(at("family"))).isEmbedded;
    copyFileSync(join(shipped, "config.json"), at("family/config.json"));
    expect(await isEmbedded()).toBe(false);
    copyFileSync(join(shipped, "tokenizer.json"), at("family/tokenizer.json"));
    expect(await isEmbedded()).toBe(true);
    writeFileSync(at("family/config.json"), JSON.stringify({ model_type: "mamba" }));
    expect(await isEmbedded()).toBe(false);
  });

  it("takes the tokenizer of an adapter's base for its own, and its tensors with it", async () => {
    const module = "model.layers.0.self_attn.q_proj";
    await writeAdapterFolder(at("adapter"), { base: shipped, modules: { [module]: [96, 96, 4] } });
    expect(await outlineModel(at("adapter"))).toEqual(await outlineModel(shipped));
  });

  it("refuses what is not a checkpoint, naming the folder", async () => {
    const refused = outlineModel(at("nowhere"));
    await expect(refused).rejects.toThrow(CheckpointError);
    await expect(outlineModel(at("nowhere"))).rejects.toThrow(`"${at("nowhere")}"`);
  });
});
