/** Training of adapters: what it starts from, what it leaves alone, and what it ends with. */
import { afterAll, describe, expect, it } from "vitest";
import { readGoldenModel } from "../../test/golden-model.ts";
import { createRandom } from "../base/core/index.ts";
import { initializeParameters, type ModelConfig, type Sequence } from "../engine/model/index.ts";
import { openCores } from "../engine/parallel/index.ts";
import { adamW, type TrainingState } from "./optimizer.ts";
import { constantSchedule } from "./schedule.ts";
import { createSupervisedTrainer } from "./supervised-trainer.ts";
import type { AdaptedOptions } from "./trained-model.ts";
import type { Trainer } from "./trainer.ts";

const config: ModelConfig = readGoldenModel("gqa-untied").config;
const parameters = initializeParameters({ ...config, initializerRange: 0.3 }, createRandom(1, "adapted"));
const cores = openCores(2);
const trainers: Trainer[] = [];
afterAll(async () => {
  for (const trainer of trainers) await trainer.release();
  await cores.close();
});

const limitMs = 120_000;

function drawSequences(step: number): readonly Sequence[] {
  return Array.from({ length: 16 }, (_, row): Sequence => {
    const random = createRandom(step, "toy", row);
    const [first, second] = [random.integer(3, 7), random.integer(3, 7)];
    return { tokens: [first, second, 2, second, first, 1], numPromptTokens: 3 };
  });
}

function createTrainer(lora?: AdaptedOptions, learningRate = 0.02): Trainer {
  const trainer = createSupervisedTrainer(config, {
    cores,
    lora,
    optimizer: adamW({ beta1: 0.9, beta2: 0.98, epsilon: 1e-8, weightDecay: 0, maxGradientNorm: 1 }),
    schedule: constantSchedule(learningRate),
    batchSize: 16,
    drawSequences,
  });
  trainers.push(trainer);
  return trainer;
}

const lora: AdaptedOptions = { rank: 4, alpha: 8, parameters, seed: 3 };

async function train(
  trainer: Trainer,
  from: TrainingState,
  steps: readonly number[],
): Promise<{ readonly state: TrainingState; readonly losses: readonly number[] }> {
  let state = from;
  const losses: number[] = [];
  for (const step of steps) {
    const result = await trainer.step(state, step);
    state = result.state;
    losses.push(result.metrics.loss);
  }
  return { state, losses };
}

const range = (from: number, to: number): readonly number[] =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index);

describe("training of adapters", () => {
  it(
    "starts from the model, learns, and leaves all but the matrices of layers as they were",
    async () => {
      const kept = parameters.slice();
      const [whole, adapted] = [createTrainer(), createTrainer(lora)];
      const { losses: wholeLosses } = await train(whole, whole.start(parameters), [1]);
      const start = adapted.start(parameters);
      expect(await adapted.parameters(start)).toEqual(parameters);
      const { state, losses } = await train(adapted, start, range(1, 60));
      expect(Math.abs(losses[0]! - wholeLosses[0]!)).toBeLessThan(1e-5);
      expect(losses.at(-1)).toBeLessThan(0.5 * losses[0]!);
      const merged = await adapted.parameters(state);
      expect(parameters).toEqual(kept);
      expect(merged.subarray(0, config.hiddenSize)).toEqual(kept.subarray(0, config.hiddenSize));
      expect(merged).not.toEqual(kept);
      // The model with its adapters added in goes on with the loss that they had.
      const { losses: next } = await train(whole, whole.start(merged), [61]);
      const { losses: same } = await train(adapted, state, [61]);
      expect(Math.abs(next[0]! - same[0]!)).toBeLessThan(1e-4);
    },
    limitMs,
  );

  it(
    "goes on from a copy of its state to the bit",
    async () => {
      const trainer = createTrainer(lora);
      const straight = await train(trainer, trainer.start(parameters), range(1, 12));
      const first = await train(trainer, trainer.start(parameters), range(1, 5));
      const copy = structuredClone(first.state);
      const second = createTrainer(lora);
      const resumed = await train(second, copy, range(6, 12));
      expect(resumed.state).toEqual(straight.state);
      expect([...first.losses, ...resumed.losses]).toEqual(straight.losses);
      expect(await second.parameters(resumed.state)).toEqual(await trainer.parameters(straight.state));
    },
    limitMs,
  );

  it("draws another start for another seed", () => {
    const starts = [3, 3, 4].map((seed) => createTrainer({ ...lora, seed }).start(parameters).parameters);
    expect(starts[1]).toEqual(starts[0]);
    expect(starts[2]).not.toEqual(starts[0]);
  });
});
