/** Transformations inside a small compiled step; AdamW as a whole is compared with PyTorch in training-step.test.ts. */
import { describe, expect, it } from "vitest";
import { createWeights, type ParameterLayout } from "../engine/model/index.ts";
import { compile, op, type Tensor } from "../engine/tensor/index.ts";
import {
  adamW,
  addDecayedWeights,
  chain,
  clipByGlobalNorm,
  scaleByAdam,
  scaleByLearningRate,
  type Transformation,
} from "./optimizer.ts";
import { compileTrainingStep, startTraining, type TrainingState } from "./training-step.ts";

const target = [3, -2, 0.5];
const layout: ParameterLayout = { entries: [{ name: "x", shape: [3], offset: 0 }], size: 3 };
const adam = { beta1: 0.9, beta2: 0.99, epsilon: 1e-8 };

/** Takes steps on ½ Σ curvature (x − target)² from the origin. */
async function minimize(
  optimizer: Transformation,
  { numSteps, learningRate }: { numSteps: number; learningRate: (step: number) => number },
): Promise<{ readonly state: TrainingState; readonly losses: readonly number[] }> {
  const weights = createWeights(layout);
  const gap = op.subtract(weights.get("x"), op.constant([3], target));
  const weighted = op.multiply(op.multiply(gap, gap), op.constant([3], [1, 4, 0.25]));
  const objective = { loss: op.multiply(op.sum(weighted), 0.5), metrics: {} };
  const step = await compileTrainingStep({ layout, weights, objective, optimizer }, { numThreads: 1 });
  let state = startTraining(new Float32Array(3), optimizer);
  const losses: number[] = [];
  for (let index = 1; index <= numSteps; index++) {
    const result = await step.run(state, {}, learningRate(index));
    state = result.state;
    losses.push(result.loss);
  }
  await step.release();
  return { state, losses };
}

/** What a transformation without state makes of a gradient. */
async function transform(
  transformation: Transformation,
  { update, parameters = [0, 0, 0] }: { update: readonly number[]; parameters?: readonly number[] },
): Promise<readonly number[]> {
  const vector = (name: string): Tensor => op.input(name, [3]);
  const scalars = { learningRate: op.input("learningRate", [1]), step: op.input("step", [1]) };
  const result = transformation.apply({
    update: vector("update"),
    parameters: vector("parameters"),
    slots: {},
    scalars,
  });
  const program = await compile({ result: result.update }, { numThreads: 1 });
  const results = await program.run({
    update: Float32Array.from(update),
    parameters: Float32Array.from(parameters),
    learningRate: Float32Array.of(0.1),
    step: Float32Array.of(1),
  });
  await program.release();
  return [...results.result];
}

describe("a chain of transformations", () => {
  it("reaches the minimum of a quadratic with Adam", async () => {
    const optimizer = chain(clipByGlobalNorm(5), scaleByAdam(adam), scaleByLearningRate());
    const learningRate = (step: number): number => 0.2 * 0.98 ** step;
    const { state, losses } = await minimize(optimizer, { numSteps: 300, learningRate });
    for (const [index, value] of target.entries()) expect(state.parameters[index]).toBeCloseTo(value, 2);
    expect(losses.at(-1)).toBeLessThan(1e-4);
    expect(losses[0]).toBeGreaterThan(10);
  });

  it("is plain gradient descent with the learning rate alone", async () => {
    const { state } = await minimize(scaleByLearningRate(), { numSteps: 1, learningRate: () => 0.1 });
    // −0.1 · curvature · (0 − target)
    expect([...state.parameters]).toEqual([0.3, -0.8, 0.0125].map(Math.fround));
  });

  it("collects the state vectors of its parts, which start at 0", () => {
    const optimizer = adamW({ ...adam, weightDecay: 0.1, maxGradientNorm: 1 });
    expect(optimizer.slots).toEqual(["firstMoment", "secondMoment"]);
    expect(startTraining(new Float32Array(2), optimizer).slots).toEqual({
      firstMoment: new Float32Array(2),
      secondMoment: new Float32Array(2),
    });
  });

  it("applies its parts in their order", async () => {
    const double: Transformation = {
      slots: [],
      apply: ({ update }) => ({ update: op.multiply(update, 2), slots: {} }),
    };
    const clip = clipByGlobalNorm(1);
    expect((await transform(chain(clip, double), { update: [3, 0, 4] }))[0]).toBeCloseTo(1.2, 5);
    expect((await transform(chain(double, clip), { update: [3, 0, 4] }))[0]).toBeCloseTo(0.6, 5);
  });
});

describe("scaleByAdam()", () => {
  it("moves by the learning rate at first, whatever the size of the gradient", async () => {
    const optimizer = chain(scaleByAdam(adam), scaleByLearningRate());
    const { state } = await minimize(optimizer, { numSteps: 1, learningRate: () => 0.01 });
    for (const [index, value] of target.entries())
      expect(state.parameters[index]).toBeCloseTo(0.01 * Math.sign(value), 6);
  });
});

describe("clipByGlobalNorm()", () => {
  it("leaves small gradients alone", async () => {
    const update = [0.25, -0.5, 0.125];
    expect(await transform(clipByGlobalNorm(1), { update })).toEqual(update);
    expect(await transform(clipByGlobalNorm(1), { update: [0, 0, 0] })).toEqual([0, 0, 0]);
  });

  it("scales big gradients to the norm in their direction", async () => {
    const [x, y, z] = await transform(clipByGlobalNorm(2), { update: [30, 0, -40] });
    expect(Math.hypot(x!, y!, z!)).toBeCloseTo(2, 5);
    expect(z! / x!).toBeCloseTo(-4 / 3, 5);
  });
});

describe("addDecayedWeights()", () => {
  it("adds a share of the parameters", async () => {
    const decayed = await transform(addDecayedWeights(0.5), { update: [1, 2, 3], parameters: [2, -4, 0] });
    expect(decayed).toEqual([2, 0, 3]);
    expect(await transform(addDecayedWeights(0), { update: [1, 2, 3], parameters: [2, -4, 0] })).toEqual([
      1, 2, 3,
    ]);
  });
});
