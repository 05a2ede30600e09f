/** Cross-entropy, its gradients and AdamW against float64 PyTorch (test/golden/model), to 1e-4 of the largest element. */
import { describe, expect, it } from "vitest";
import { type GoldenModel, goldenNames, readGoldenModel, relativeError } from "../../test/golden-model.ts";
import { chooseRows, feedPositions, normalize, type RowsBatch } from "../engine/model/index.ts";
import { openCores } from "../engine/parallel/index.ts";
import { compile, gradients, sizeOf, type TensorData } from "../engine/tensor/index.ts";
import { crossEntropyObjective } from "./cross-entropy.ts";
import { adamW, startTraining } from "./optimizer.ts";
import { createTrainedModel } from "./trained-model.ts";
import { compileTrainingStep, createGradientBuffer } from "./training-step.ts";

const tolerance = 1e-4;
const cores = openCores(1);

function sizeOfBatch({ file }: GoldenModel): { readonly B: number; readonly T: number; readonly R: number } {
  const [B = 0, T = 0] = file.tokens_BT.shape;
  return { B, T, R: rowsOf(file).R };
}

function rowsOf({ targets_BT, weights_BT }: GoldenModel["file"]): RowsBatch {
  return chooseRows(Int32Array.from(targets_BT.data), normalize(Float32Array.from(weights_BT.data)));
}

function feedsOf(golden: GoldenModel): Record<string, TensorData> {
  const { R: _, ...rows } = rowsOf(golden.file);
  const { tokens_BT } = golden.file;
  const { B, T } = sizeOfBatch(golden);
  return {
    tokens: Int32Array.from(tokens_BT.data),
    ...rows,
    ...feedPositions(golden.config, { B, T, texts: [] }),
  };
}

for (const name of goldenNames)
  describe(`a supervised step of the golden model ${name}`, () => {
    const golden = readGoldenModel(name);
    const { file, config, layout, parameters } = golden;
    const model = createTrainedModel(config, { cores });
    const { weights } = model;
    const objective = crossEntropyObjective(config, weights, sizeOfBatch(golden));
    const part = (flat: Float32Array, index: number): Float32Array => {
      const { offset, shape } = layout.entries[index]!;
      return flat.subarray(offset, offset + sizeOf(shape));
    };

    it("has PyTorch's loss and gradient of every parameter", async () => {
      const blocks = gradients(objective.loss, weights.tensors);
      const outputs = Object.fromEntries(blocks.map((block, index) => [`gradient ${index}`, block]));
      const program = await compile({ loss: objective.loss, ...outputs }, { numThreads: 1 });
      const feeds = Object.fromEntries(
        layout.entries.map((entry, index) => [entry.name, part(parameters, index)]),
      );
      const results: Readonly<Record<string, Float32Array>> = await program.run({
        ...feeds,
        ...feedsOf(golden),
      });
      await program.release();
      expect(relativeError(results.loss!, [file.loss])).toBeLessThan(tolerance);
      expect(Object.keys(file.gradients)).toEqual(layout.entries.map((entry) => entry.name));
      for (const [index, entry] of layout.entries.entries()) {
        const error = relativeError(results[`gradient ${index}`]!, file.gradients[entry.name]!.data);
        expect(error, entry.name).toBeLessThan(tolerance);
      }
    });

    it("follows PyTorch's AdamW for 20 steps: losses, gradient norms and final parameters", async () => {
      const { optimizer: given, losses, gradNorms, finalLoss, finalParameters } = file.training;
      const optimizer = adamW({ ...given, maxGradientNorm: given.maxGradNorm });
      const step = await compileTrainingStep(
        { model, objective, optimizer, buffer: createGradientBuffer(layout) },
        cores,
      );
      let state = startTraining(parameters, optimizer);
      for (let index = 0; index < given.numSteps; index++) {
        const result = await step.run(state, [feedsOf(golden)], given.learningRate);
        expect(relativeError([result.loss], [losses[index]!]), `loss ${index}`).toBeLessThan(tolerance);
        const error = relativeError([result.gradientNorm], [gradNorms[index]!]);
        expect(error, `gradient norm ${index}`).toBeLessThan(tolerance);
        if (index === 0)
          expect(relativeError([result.gradientNorm], [file.gradNorm])).toBeLessThan(tolerance);
        state = result.state;
      }
      const { loss } = await step.run(structuredClone(state), [feedsOf(golden)], given.learningRate);
      await step.release();
      expect(state.step).toBe(given.numSteps);
      expect(relativeError([loss], [finalLoss])).toBeLessThan(tolerance);
      for (const [index, entry] of layout.entries.entries()) {
        const error = relativeError(part(state.parameters, index), finalParameters[entry.name]!.data);
        expect(error, entry.name).toBeLessThan(tolerance);
      }
    });
  });

describe("a training step", () => {
  it("gives the same from a copy of the state, and leaves the parameters alone that training started with", async () => {
    const golden = readGoldenModel("mha-tied");
    const { config, layout, parameters } = golden;
    const model = createTrainedModel(config, { cores });
    const { weights } = model;
    const objective = crossEntropyObjective(config, weights, sizeOfBatch(golden));
    const optimizer = adamW({ beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0, maxGradientNorm: 1 });
    const step = await compileTrainingStep(
      { model, objective, optimizer, buffer: createGradientBuffer(layout) },
      cores,
    );
    const before = parameters.slice();
    const first = await step.run(startTraining(parameters, optimizer), [feedsOf(golden)], 0.01);
    const [copy, another] = [structuredClone(first.state), structuredClone(first.state)];
    const second = await step.run(first.state, [feedsOf(golden)], 0.01);
    expect(second.state.parameters).not.toEqual(copy.parameters);
    expect(await step.run(another, [feedsOf(golden)], 0.01)).toEqual(second);
    expect(parameters).toEqual(before);
    await step.release();
  });
});
