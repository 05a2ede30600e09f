import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { createFollowedRun } from "../../../test/support/followed-run.ts";
import { createTemporaryFolder, removeFolder, root } from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/core/index.ts";
import { loadModel } from "../../engine/model/index.ts";
import { checkpointPath } from "../../run/checkpoint-name.ts";
import { parseRecipe, type Recipe } from "../../run/index.ts";
import { findEnvironment } from "../../tasks/environment/index.ts";
import { createFirstModel, restoreFirstModel } from "./first-model.ts";

const recipe = (base: string, environment = "general-points"): Recipe =>
  parseRecipe(
    `{ name: small, summary: New, environment: ${environment}, evaluation: { numTasks: 2 }, base: ${base} }`,
    "small.yaml",
  );
const newBase = (model: string): string =>
  `{ model: { ${model} }, phases: [{ numSteps: 1, batchSize: 1, skills: { solve: 1 }, optimizer: { learningRate: 0.01 } }] }`;
const size = "hiddenSize: 16, intermediateSize: 24, numLayers: 2, numHeads: 4";

describe("createFirstModel()", () => {
  it("makes a new model of the recipe's size that has every word of its environment", async () => {
    const { config, parameters, tokenizer } = await createFirstModel(recipe(newBase(size)), 1);
    expect(config).toMatchObject({ hiddenSize: 16, intermediateSize: 24, numHeads: 4 });
    expect(config.layers).toHaveLength(2);
    expect(config).toMatchObject({ numKeyValueHeads: 4, headSize: 4, maxPositions: 128 });
    const { vocabulary } = findEnvironment("general-points");
    expect(config.vocabularySize).toBe(vocabulary.length + 3);
    const tokens = tokenizer.encode(vocabulary.join(" "));
    expect(new Set(tokens).size).toBe(vocabulary.length);
    expect(Math.max(...tokens)).toBe(config.vocabularySize - 1);
    expect(tokenizer.decode(tokens)).toBe(vocabulary.join(" "));
    expect(parameters.every(Number.isFinite)).toBe(true);
    expect(new Set(parameters).size).toBeGreaterThan(parameters.length / 2);
  });

  it("draws the same parameters for the same seed, others for another", async () => {
    const draw = async (seed: number): Promise<Float32Array> =>
      (await createFirstModel(recipe(newBase(size)), seed)).parameters;
    expect(await draw(1)).toEqual(await draw(1));
    expect(await draw(1)).not.toEqual(await draw(2));
  });

  it("shares key-value heads where asked", async () => {
    const shared = await createFirstModel(recipe(newBase(`${size}, numKeyValueHeads: 2`)), 1);
    const own = await createFirstModel(recipe(newBase(size)), 1);
    expect(shared.config.numKeyValueHeads).toBe(2);
    // Two layers lose half of their key and value projections.
    expect(own.parameters.length - shared.parameters.length).toBe(2 * 2 * 16 * 8);
  });

  it("refuses sizes that do not divide", async () => {
    for (const model of [size.replace("16", "18"), `${size}, numKeyValueHeads: 3`])
      await expect((async () => createFirstModel(recipe(newBase(model)), 1))()).rejects.toThrow(UsageError);
  });

  it("refuses an unknown environment and an unknown base", async () => {
    await expect(createFirstModel(recipe(newBase(size), "chess"), 1)).rejects.toThrow('"chess"');
    await expect(createFirstModel(recipe("nonsense"), 1)).rejects.toThrow('"nonsense"');
  });
});

describe("restoreFirstModel() of a followed run", () => {
  const place = createTemporaryFolder();
  afterAll(() => removeFolder(place));
  const shipped = join(root, "models/general-points-base");

  it("is the first checkpoint that the trainer has not deleted", async () => {
    const folders = { "sft-1": join(place, "deleted"), "sft-2": shipped };
    const folder = await createFollowedRun(join(place, "rotated"), folders);
    expect((await restoreFirstModel(folder)).parameters).toEqual((await loadModel(shipped)).parameters);
  });

  it("is refused where all of them are gone", async () => {
    const folder = await createFollowedRun(join(place, "gone"), { "sft-1": join(place, "deleted") });
    await expect(restoreFirstModel(folder)).rejects.toThrow(UsageError);
  });
});

describe("checkpointPath()", () => {
  it("is relative to the run", () => {
    expect(checkpointPath("sft-4")).toBe("checkpoints/sft-4");
  });
});
