/** GRPO and PPO on a toy environment: "a" is to be answered by "x", "b" by "y". */
import { afterAll, describe, expect, it } from "vitest";
import { createRandom, UsageError } from "../base/core/index.ts";
import {
  createLayout,
  createWordTokenizer,
  initializeParameters,
  listParameters,
  type ModelConfig,
  parseModelConfig,
} from "../engine/model/index.ts";
import { createPolicyEngine } from "../engine/parallel/index.ts";
import type { Environment } from "../tasks/environment/index.ts";
import { collectEpisodes, type Episode, type RolloutOptions } from "../tasks/rollout/index.ts";
import { createGrpoTrainer, type GrpoOptions } from "./grpo-trainer.ts";
import { adamW } from "./optimizer.ts";
import type { PolicyOptions } from "./policy-trainer.ts";
import { createPpoTrainer, type PpoOptions } from "./ppo-trainer.ts";
import { constantSchedule } from "./schedule.ts";
import type { Trainer, TrainerResult } from "./trainer.ts";

type Letter = "a" | "b";

function parseLetter(value: unknown): Letter {
  if (value === "a" || value === "b") return value;
  throw new UsageError("Cannot read the task: it is neither a nor b");
}

const answers: Readonly<Record<Letter, string>> = { a: "x", b: "y" };

const toy: Environment = {
  name: "toy",
  promptFormats: ["compact"],
  outcomes: ["right", "wrong"],
  numAttempts: { compact: 2, chat: 1 },
  vocabulary: ["a", "b", "x", "y", "again"],
  skills: {},
  createTask: ({ seed, index }) => ((seed + index) % 2 === 0 ? "a" : "b"),
  parseTask: parseLetter,
  describeTask: parseLetter,
  prompt: parseLetter,
  retryPrompt: (task) => `${parseLetter(task)} again`,
  referenceAnswer: (task) => answers[parseLetter(task)],
  grade: (task, answer) => {
    const isRight = answer.split(" ")[0] === answers[parseLetter(task)];
    return {
      outcome: isRight ? "right" : "wrong",
      reward: isRight ? 1 : -1,
      parts: { format: true, values: isRight, solved: isRight },
      feedback: "it is the one word or not",
    };
  },
};

/** No answer at all is worth as much as the right one, so that answers which are cut off after one word differ in worth. */
const impatient: Environment = {
  ...toy,
  grade: (task, answer, options) =>
    toy.grade(task, answer === "" ? answers[parseLetter(task)] : answer, options),
};

/** No answer is ever right. */
const hopeless: Environment = {
  ...toy,
  grade: () => toy.grade("a", "nothing", { promptFormat: "compact" }),
};

const config: ModelConfig = parseModelConfig(
  {
    model_type: "llama",
    vocab_size: 8,
    hidden_size: 16,
    intermediate_size: 24,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    max_position_embeddings: 32,
    eos_token_id: 1,
    pad_token_id: 0,
    initializer_range: 0.1,
  },
  "",
);
const parameters = initializeParameters(config, createRandom(5, "toy"));
const policies = createPolicyEngine(config, { batchSize: 64, numThreads: 1, numBytes: 0 });
const trainers: Trainer[] = [];
afterAll(async () => {
  for (const trainer of trainers) await trainer.release();
  await policies.release();
});

const rollout: Omit<RolloutOptions, "path" | "policy"> = {
  environment: toy,
  promptFormat: "compact",
  tokenizer: createWordTokenizer(toy.vocabulary),
  sampling: { temperature: 0.8 },
  maxNewTokens: 2,
  numAttempts: 1,
  seed: 3,
};

/** Half of the tasks "a", half of them "b". */
function drawTasks(step: number, numTasks: number): readonly unknown[] {
  return Array.from({ length: numTasks }, (_, index) =>
    toy.createTask({ split: "id", seed: step, index, promptFormat: "compact" }),
  );
}

const shared: Omit<PolicyOptions, "drawTasks"> = {
  optimizer: adamW({ beta1: 0.9, beta2: 0.98, epsilon: 1e-8, weightDecay: 0, maxGradientNorm: 1 }),
  schedule: constantSchedule(0.01),
  numEpochs: 2,
  minibatchSize: 16,
  start: parameters,
  policies,
  rollout,
};

function createGrpo(change: Partial<GrpoOptions> = {}): Trainer {
  const trainer = createGrpoTrainer(config, {
    ...shared,
    groupSize: 8,
    clipRange: 0.2,
    klWeight: 0.001,
    drawTasks: (step) => drawTasks(step, 4),
    ...change,
  });
  trainers.push(trainer);
  return trainer;
}

function createPpo(change: Partial<PpoOptions> = {}): Trainer {
  const trainer = createPpoTrainer(config, {
    ...shared,
    clipRange: 0.2,
    valueWeight: 0.5,
    entropyWeight: 0.001,
    discount: 0.9,
    traceDecay: 0.95,
    valueClipRange: 0.2,
    valueRateFactor: 1,
    drawTasks: (step) => drawTasks(step, 32),
    ...change,
  });
  trainers.push(trainer);
  return trainer;
}

async function train(trainer: Trainer, numUpdates: number): Promise<TrainerResult> {
  let result = await trainer.step(trainer.start(parameters), 1);
  for (let step = 2; step <= numUpdates; step++) result = await trainer.step(result.state, step);
  return result;
}

async function play(
  trained: Float32Array,
  change: Partial<RolloutOptions> = {},
): Promise<readonly Episode[]> {
  const policy = await policies.open(listParameters(config, trained));
  const options = { ...rollout, policy, seed: 99, path: ["test"], ...change };
  return await collectEpisodes(drawTasks(1, 64), options);
}

/** The mean reward of 64 first answers, sampled from streams that training does not use. */
async function meanReward(policy: Float32Array): Promise<number> {
  const episodes = await play(policy);
  return episodes.reduce((sum, turns) => sum + turns[0]!.grade.reward, 0) / episodes.length;
}

async function expectLearning(trainer: Trainer, numUpdates: number): Promise<void> {
  expect(await meanReward(parameters)).toBeLessThan(-0.4);
  const { state } = await train(trainer, numUpdates);
  expect(await meanReward(await trainer.parameters(state))).toBeGreaterThan(0.8);
}

/** A number that describes the raw advantages of an update. */
function readAdvantage(
  { metrics: { advantage } }: TrainerResult,
  name: "mean" | "standardDeviation",
): number {
  const described = typeof advantage === "object" && advantage !== null ? Object.entries(advantage) : [];
  return Number(described.find(([key]) => key === name)?.[1]);
}

async function expectRepeatable(create: () => Trainer): Promise<void> {
  const [whole, resumed] = [create(), create()];
  const second = await train(whole, 2);
  const copy = structuredClone(second.state);
  const third = await whole.step(second.state, 3);
  expect(await resumed.step(copy, 3)).toEqual(third);
}

describe("the toy environment", () => {
  it("lets a policy answer until it is right or has used its attempts, and keeps texts and tokens together", async () => {
    const maxNewTokens = 12;
    const episodes = await play(parameters, { numAttempts: 2, maxNewTokens });
    const { tokenizer } = rollout;
    for (const [index, task] of drawTasks(1, 64).entries()) {
      const turns = episodes[index]!;
      expect(turns.length === 1).toBe(turns[0]!.grade.parts.solved);
      expect(turns.length).toBeLessThanOrEqual(2);
      for (const [attempt, { sequence, logProbs, text, grade }] of turns.entries()) {
        const prompt = sequence.tokens.slice(0, sequence.numPromptTokens);
        const answer = sequence.tokens.slice(sequence.numPromptTokens);
        expect(tokenizer.decode(prompt)).toBe(attempt === 0 ? task : `${task} again`);
        expect(tokenizer.decode(answer)).toBe(text);
        expect(logProbs).toHaveLength(answer.length);
        expect(answer.length === maxNewTokens || answer.at(-1) === config.endToken).toBe(true);
        const isComplete = answer.at(-1) === config.endToken && text !== "";
        if (isComplete) expect(grade).toEqual(toy.grade(task, text, { promptFormat: "compact" }));
        else expect(grade.parts.solved).toBe(false);
      }
    }
    expect(new Set(episodes.map(({ length }) => length))).toEqual(new Set([1, 2]));
  });
});

describe("createGrpoTrainer()", () => {
  it("raises the mean reward of a random policy within 40 updates", async () => {
    await expectLearning(createGrpo(), 40);
  });

  it("gives the same update for the same state and step, also in a trainer made anew", async () => {
    await expectRepeatable(createGrpo);
  });

  it("starts each stage at ratio 1 and divergence 0, at any temperature", async () => {
    // Answers of one token: a ratio of 1 makes the loss the mean of advantages that sum to 0.
    const trainer = createGrpo({
      numEpochs: 1,
      minibatchSize: 32,
      rollout: { ...rollout, environment: impatient, maxNewTokens: 1, sampling: { temperature: 0.6 } },
    });
    const { metrics } = await trainer.step(trainer.start(parameters), 1);
    expect(metrics).toMatchObject({ clipShare: 0, klToStart: expect.closeTo(0, 6) });
    expect(metrics.klToReference).toBeCloseTo(0, 6);
    expect(metrics.loss).toBeCloseTo(0, 5);
    expect(metrics.gradientNorm).toBeGreaterThan(0.01);
  });

  it("answers each task as often as a group is large, once each time, and learns from every answer in every epoch", async () => {
    const trainer = createGrpo({ rollout: { ...rollout, numAttempts: 2 } });
    const { state, metrics } = await trainer.step(trainer.start(parameters), 1);
    // Two epochs of 32 turns, 16 a step.
    expect(state.step).toBe(4);
    expect(metrics).toMatchObject({ episodes: { total: 32 }, learningRate: 0.01 });
    expect(metrics.reward).toMatchObject({ mean: expect.any(Number), byOutcome: { wrong: { mean: -1 } } });
    expect(metrics.advantage).toMatchObject({ mean: expect.closeTo(0, 9) });
  });

  it("samples other answers at every step, also of the same policy to the same tasks", async () => {
    const trainer = createGrpo({
      numEpochs: 1,
      minibatchSize: 32,
      schedule: constantSchedule(0),
      drawTasks: () => drawTasks(1, 4),
    });
    const first = await trainer.step(trainer.start(parameters), 1);
    const second = await trainer.step(first.state, 2);
    expect(await trainer.parameters(second.state)).toEqual(parameters);
    expect(second.metrics.gradientNorm).not.toBeCloseTo(first.metrics.gradientNorm, 4);
  });

  it("moves nothing where every answer of a group earns the same", async () => {
    const trainer = createGrpo({ klWeight: 0, rollout: { ...rollout, environment: hopeless } });
    const { state, metrics } = await trainer.step(trainer.start(parameters), 1);
    expect(metrics.gradientNorm).toBe(0);
    expect(state.parameters).toEqual(parameters);
  });

  it("is pulled toward the reference, and away from the start, where nothing else pulls", async () => {
    const reference = initializeParameters(
      { ...config, initializerRange: 0.2 },
      createRandom(6, "reference"),
    );
    const options = { numEpochs: 1, minibatchSize: 32, rollout: { ...rollout, environment: hopeless } };
    const trainer = createGrpo({ ...options, klWeight: 1, reference, schedule: constantSchedule(0.003) });
    const first = await trainer.step(trainer.start(parameters), 1);
    const last = await train(trainer, 40);
    expect(first.metrics.klToStart).toBeCloseTo(0, 6);
    expect(first.metrics.klToReference).toBeGreaterThan(0.05);
    expect(last.metrics.klToReference).toBeLessThan(Number(first.metrics.klToReference) / 3);
    expect(last.metrics.klToStart).toBeGreaterThan(0.02);
  });
});

describe("createPpoTrainer()", () => {
  it("raises the mean reward of a random policy within 40 updates", async () => {
    await expectLearning(createPpo(), 40);
  });

  it("raises the mean reward when every task allows two attempts", async () => {
    await expectLearning(createPpo({ rollout: { ...rollout, numAttempts: 2 } }), 50);
  });

  it("gives the same update for the same state and step, also in a trainer made anew", async () => {
    await expectRepeatable(() => createPpo({ rollout: { ...rollout, numAttempts: 2 } }));
  });

  it("starts each stage at ratio 1 and divergence 0, with values of 0", async () => {
    const tasks = drawTasks(1, 32);
    const trainer = createPpo({
      numEpochs: 1,
      minibatchSize: 32,
      entropyWeight: 0,
      rollout: { ...rollout, sampling: { temperature: 0.6 } },
      drawTasks: () => tasks,
    });
    const { metrics } = await trainer.step(trainer.start(parameters), 1);
    expect(metrics).toMatchObject({ clipShare: 0, klToStart: expect.closeTo(0, 6) });
    // Every value is 0 and every return ±1, and advantages have mean 0: half of 1 remains, weighed by a half.
    expect(metrics.valueLoss).toBeCloseTo(0.5, 6);
    expect(metrics.loss).toBeCloseTo(0.25, 5);
  });

  it("keeps the value head out of the model's parameters", async () => {
    const trainer = createPpo();
    const start = trainer.start(parameters);
    expect(await trainer.parameters(start)).toEqual(parameters);
    expect(start.parameters.length).toBeGreaterThan(createLayout(config).size);
    const before = start.parameters.slice(parameters.length);
    const { state } = await trainer.step(start, 1);
    expect(state.parameters).toHaveLength(start.parameters.length);
    expect(state.parameters.subarray(parameters.length)).not.toEqual(before);
  });

  it("teaches the value head what a hopeless task is worth", async () => {
    const trainer = createPpo({ rollout: { ...rollout, environment: hopeless } });
    const first = await trainer.step(trainer.start(parameters), 1);
    const last = await train(trainer, 30);
    expect(first.metrics.valueLoss).toBeGreaterThan(0.3);
    expect(last.metrics.valueLoss).toBeLessThan(0.02);
    expect(readAdvantage(first, "mean")).toBeCloseTo(-1, 6);
    expect(Math.abs(readAdvantage(last, "mean"))).toBeLessThan(0.2);
  });

  it("gives no advantage to answers of tasks whose reward is certain, once the critic knows them", async () => {
    // "a" is never right, "b" always: values that were mixed up between episodes would be wrong by 2.
    const environment: Environment = {
      ...toy,
      grade: (task, _, options) => toy.grade(task, task === "a" ? "nothing" : "y", options),
    };
    const trainer = createPpo({ rollout: { ...rollout, environment, numAttempts: 2 } });
    const first = await trainer.step(trainer.start(parameters), 1);
    const last = await train(trainer, 60);
    expect(readAdvantage(first, "standardDeviation")).toBeGreaterThan(1);
    expect(readAdvantage(last, "standardDeviation")).toBeLessThan(0.7);
  });
});
