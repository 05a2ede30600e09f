/** Repairs by whole tensors: they need no factors, which take threads of their own. */
import { existsSync, renameSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createTestEffects } from "../../../test/support/effects.ts";
import { createTemporaryFolder, removeFolder } from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/core/index.ts";
import { createLayout, createWordTokenizer, parseModelConfig, saveModel } from "../../engine/model/index.ts";
import { CheckpointError } from "../../weights/checkpoint/index.ts";
import { createModelRepairer, type ModelRepair, type ModelRepairer } from "./repair-model.ts";

const folder = createTemporaryFolder();
afterAll(() => removeFolder(folder));
const at = (name: string): string => join(folder, name);

/** Saves a model all of whose numbers are the same; its name is the one word that it knows. */
async function save(name: string, value: number, hiddenSize = 8): Promise<void> {
  const config = parseModelConfig(
    {
      ...{ model_type: "llama", vocab_size: 6, hidden_size: hiddenSize, intermediate_size: 12 },
      ...{ num_hidden_layers: 1, num_attention_heads: 2, eos_token_id: 1, pad_token_id: 0 },
    },
    "",
  );
  const parameters = new Float32Array(createLayout(config).size).fill(value);
  await saveModel(at(name), { config, parameters, tokenizer: createWordTokenizer([name]) });
}

beforeAll(async () => {
  await save("target", 1);
  await save("source", 3);
  await save("other", 5);
  await save("wide", 3, 12);
});

/** Moves both ends of most repairs away, until the test has ended. */
function hideEnds(): void {
  for (const name of ["target", "source"]) renameSync(at(name), at(`${name} hidden`));
}
afterEach(() => {
  for (const name of ["target", "source"])
    if (existsSync(at(`${name} hidden`))) renameSync(at(`${name} hidden`), at(name));
});

const rollBack = (strength: number, target = "target", source = "source"): ModelRepair => ({
  target: { path: at(target) },
  source: { path: at(source) },
  operation: { operation: "rollback", strength },
});

/** The values of a repaired model in matrices of layers and elsewhere, each once, and how far it moved. */
async function repair(
  repairer: ModelRepairer,
  asked: ModelRepair,
): Promise<{
  readonly inside: readonly number[];
  readonly outside: readonly number[];
  readonly moved: number;
}> {
  const { model, moved } = await repairer.repair(asked, createTestEffects());
  const values = { inside: new Set<number>(), outside: new Set<number>() };
  for (const { name, shape, offset } of createLayout(model.config).entries) {
    const isInside = name.includes(".layers.") && shape.length === 2;
    const end = offset + shape.reduce((product, size) => product * size, 1);
    for (const value of model.parameters.subarray(offset, end))
      values[isInside ? "inside" : "outside"].add(value);
  }
  return { inside: [...values.inside], outside: [...values.outside], moved };
}

describe("createModelRepairer()", () => {
  it("moves the matrices of layers toward the source and says how far, with the target's tokenizer", async () => {
    const repairer = createModelRepairer();
    expect(await repair(repairer, rollBack(0.25))).toEqual({ inside: [1.5], outside: [1], moved: 0.5 });
    expect(await repair(repairer, rollBack(1))).toEqual({ inside: [3], outside: [1], moved: 2 });
    const { model } = await repairer.repair(rollBack(1), createTestEffects());
    const { encode } = createWordTokenizer(["target"]);
    expect(model.tokenizer.encode("target source")).toEqual(encode("target source"));
  });

  it("loads both ends once for all their repairs, each of which begins at the target", async () => {
    const repairer = createModelRepairer();
    await repair(repairer, rollBack(1));
    hideEnds();
    expect(await repair(repairer, rollBack(0.5))).toMatchObject({ inside: [2], moved: 1 });
    expect(await repair(repairer, rollBack(0.5))).toMatchObject({ inside: [2], moved: 1 });
  });

  it("keeps only the last two ends, and does not take one for the other", async () => {
    const repairer = createModelRepairer();
    await repair(repairer, rollBack(1));
    expect(await repair(repairer, rollBack(0.5, "source", "target"))).toMatchObject({
      inside: [2],
      outside: [3],
    });
    expect(await repair(repairer, rollBack(1, "target", "other"))).toMatchObject({ inside: [5], moved: 4 });
    hideEnds();
    await expect(repair(repairer, rollBack(1))).rejects.toThrow(CheckpointError);
    await expect(repair(repairer, rollBack(1, "target", "other"))).rejects.toThrow(CheckpointError);
  });

  it("has loaded the ends of repairs that it was told to prepare, and opens nothing for none", async () => {
    const repairer = createModelRepairer();
    await repairer.prepare([rollBack(1), rollBack(0.5)], createTestEffects());
    hideEnds();
    await repairer.prepare([], createTestEffects());
    expect(await repair(repairer, rollBack(0.5))).toMatchObject({ inside: [2] });
  });

  it("refuses ends that are not there, or are not two checkpoints of one model", async () => {
    const repairer = createModelRepairer();
    const refused = repair(repairer, rollBack(1, "target", "wide"));
    await expect(refused).rejects.toThrow(UsageError);
    await expect(repair(repairer, rollBack(1, "target", "wide"))).rejects.toThrow(
      "its shape is [8, 12], in the source [12, 12]",
    );
    await expect(repairer.prepare([rollBack(1, "target", "gone")], createTestEffects())).rejects.toThrow(
      `"${at("gone")}"`,
    );
    // A failure before is not an obstacle.
    expect(await repair(repairer, rollBack(1))).toMatchObject({ inside: [3] });
  });
});
