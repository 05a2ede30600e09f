import { afterAll, describe, expect, it } from "vitest";
import { createRandom } from "../base/core/index.ts";
import {
  initializeParameters,
  type ModelConfig,
  parseModelConfig,
  type Sequence,
} from "../engine/model/index.ts";
import { openCores } from "../engine/parallel/index.ts";
import type { TrainingState } from "./optimizer.ts";
import { adamW } from "./optimizer.ts";
import { constantSchedule, cosineSchedule } from "./schedule.ts";
import { createSupervisedTrainer } from "./supervised-trainer.ts";
import type { Trainer } from "./trainer.ts";

const config: ModelConfig = parseModelConfig(
  {
    model_type: "llama",
    vocab_size: 8,
    hidden_size: 16,
    intermediate_size: 24,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    eos_token_id: 1,
    pad_token_id: 0,
    initializer_range: 0.2,
  },
  "",
);
const parameters = initializeParameters(config, createRandom(1, "toy"));
const optimizer = adamW({ beta1: 0.9, beta2: 0.98, epsilon: 1e-8, weightDecay: 0.01, maxGradientNorm: 1 });
const batchSize = 16;
const cores = openCores(1);

/** Two tokens to be given back in reverse, and the end. */
function drawSequences(step: number): readonly Sequence[] {
  return Array.from({ length: batchSize }, (_, row): Sequence => {
    const random = createRandom(step, "toy", row);
    const [first, second] = [random.integer(3, 7), random.integer(3, 7)];
    return { tokens: [first, second, 2, second, first, 1], numPromptTokens: 3 };
  });
}

const trainers: Trainer[] = [];
afterAll(async () => {
  for (const trainer of trainers) await trainer.release();
});

function createTrainer(schedule = cosineSchedule({ from: 0.02, to: 0.002, numSteps: 20 })): Trainer {
  const trainer = createSupervisedTrainer(config, {
    cores,
    optimizer,
    schedule,
    batchSize,
    drawSequences,
  });
  trainers.push(trainer);
  return trainer;
}

async function train(
  trainer: Trainer,
  state: TrainingState,
  { from, to }: { readonly from: number; readonly to: number },
): Promise<{ readonly state: TrainingState; readonly losses: readonly number[] }> {
  let current = state;
  const losses: number[] = [];
  for (let step = from; step <= to; step++) {
    const result = await trainer.step(current, step);
    current = result.state;
    losses.push(result.metrics.loss);
  }
  return { state: current, losses };
}

describe("createSupervisedTrainer()", () => {
  it("learns a toy task from a random model", async () => {
    const trainer = createTrainer(cosineSchedule({ from: 0.03, to: 0.001, numSteps: 200 }));
    const { losses } = await train(trainer, trainer.start(parameters), { from: 1, to: 200 });
    expect(losses[0]).toBeGreaterThan(1.5);
    // Guessing the two tokens and knowing the end would cost (2/3) ln 5 = 1.07.
    expect(Math.max(...losses.slice(-5))).toBeLessThan(0.1);
  });

  it("takes 10 steps, is copied, takes 10 more: to the bit what 20 steps give", async () => {
    const whole = createTrainer();
    const straight = await train(whole, whole.start(parameters), { from: 1, to: 20 });
    const before = createTrainer();
    const first = await train(before, before.start(parameters), { from: 1, to: 10 });
    const copy: TrainingState = {
      step: first.state.step,
      parameters: first.state.parameters.slice(),
      slots: Object.fromEntries(
        Object.entries(first.state.slots).map(([name, values]) => [name, values.slice()]),
      ),
    };
    const after = createTrainer();
    const second = await train(after, copy, { from: 11, to: 20 });
    expect(second.state).toEqual(straight.state);
    expect([...first.losses, ...second.losses]).toEqual(straight.losses);
  });

  it("counts the tokens it trained on and reports the learning rate", async () => {
    const trainer = createTrainer(constantSchedule(0.125));
    const { state, metrics } = await trainer.step(trainer.start(parameters), 1);
    expect(metrics).toMatchObject({ learningRate: 0.125, numTokens: 5 * batchSize });
    expect(metrics.gradientNorm).toBeGreaterThan(0);
    expect(state.step).toBe(1);
    expect(await trainer.parameters(state)).toEqual(state.parameters);
  });

  it("counts answer tokens alike, whichever sequence they belong to", async () => {
    const long: Sequence = { tokens: [3, 4, 5, 6, 7, 1], numPromptTokens: 1 };
    const short: Sequence = { tokens: [6, 1], numPromptTokens: 1 };
    const lossOf = async (sequences: readonly Sequence[]): Promise<number> => {
      const trainer = createSupervisedTrainer(config, {
        cores,
        optimizer,
        schedule: constantSchedule(0),
        batchSize: 2,
        drawSequences: () => sequences,
      });
      trainers.push(trainer);
      return (await trainer.step(trainer.start(parameters), 1)).metrics.loss;
    };
    const [both, first, second] = [await lossOf([long, short]), await lossOf([long]), await lossOf([short])];
    expect(both).toBeCloseTo((5 * first + second) / 6, 5);
  });
});
