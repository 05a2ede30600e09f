/** Stages of a recipe on a toy environment: "a" is to be answered by "x", "b" by "y". */
import { afterAll, describe, expect, it } from "vitest";
import { createRandom, toObject, UsageError } from "../../base/core/index.ts";
import {
  createWordTokenizer,
  greedy,
  initializeParameters,
  listParameters,
  type ModelConfig,
  parseModelConfig,
} from "../../engine/model/index.ts";
import { createPolicyEngine } from "../../engine/parallel/index.ts";
import { parseRecipe, type Recipe, type RecipeChange } from "../../run/index.ts";
import type { Environment, Example } from "../../tasks/environment/index.ts";
import type { Trainer } from "../../training/index.ts";
import { planStages } from "./stage-plan.ts";
import { createStageTrainer, type TrainerContext } from "./stage-trainer.ts";

const text = `name: small
summary: Every kind of stage
environment: toy
evaluation: { numTasks: 2 }
base:
  model: { hiddenSize: 8, intermediateSize: 8, numLayers: 1, numHeads: 2 }
  phases:
    - { numSteps: 4, batchSize: 256, skills: { often: 3, seldom: 1 }, optimizer: { learningRate: 0.25 } }
    - { numSteps: 4, batchSize: 256, skills: { seldom: 1 }, optimizer: { learningRate: 0.5 } }
sft:
  numSteps: 5
  batchSize: 4
  checkpoints: [2]
  optimizer: { learningRate: 0.1, schedule: cosine, finalFraction: 0.1, warmupSteps: 2 }
rl:
  - method: grpo
    from: [2]
    seeds: [0, 1]
    numUpdates: 3
    tasksPerUpdate: 4
    groupSize: 2
    minibatchSize: 8
    maxNewTokens: 2
    optimizer: { learningRate: 0.01, warmupSteps: 4 }
    checkpoints: [3]
  - method: ppo
    from: [2, 5]
    numUpdates: 3
    tasksPerUpdate: 4
    numAttempts: 2
    minibatchSize: 8
    maxNewTokens: 2
    optimizer: { learningRate: 0.01 }
    checkpoints: [3]
`;

type Request = Parameters<Environment["createTask"]>[0];
const requests: Request[] = [];
const taught: string[] = [];
const teach = (name: string): Environment["skills"][string] => ({
  summary: `The skill ${name}`,
  draw: (random): Example => {
    taught.push(`${name} ${random.integer(0, 2 ** 30)}`);
    return { prompt: "a", answer: "x" };
  },
});

function parseLetter(value: unknown): "a" | "b" {
  if (value === "a" || value === "b") return value;
  throw new UsageError("Cannot read the task: it is neither a nor b");
}

/** No answer ever solves a task, so that there are as many as are allowed. */
const toy: Environment = {
  name: "toy",
  promptFormats: ["compact", "chat"],
  outcomes: ["liked", "disliked"],
  numAttempts: { compact: 5, chat: 5 },
  vocabulary: ["a", "b", "x", "y", "again"],
  skills: { often: teach("often"), seldom: teach("seldom"), unused: teach("unused") },
  createTask: (request) => {
    requests.push(request);
    return request.index % 2 === 0 ? "a" : "b";
  },
  parseTask: parseLetter,
  describeTask: parseLetter,
  prompt: parseLetter,
  retryPrompt: (task) => `${parseLetter(task)} again`,
  referenceAnswer: (task) => (task === "a" ? "x" : "y"),
  grade: (_, answer) => ({
    outcome: answer.includes("x") ? "liked" : "disliked",
    reward: answer.includes("x") ? 1 : -1,
    parts: { format: true, values: false, solved: false },
    feedback: "it holds an x or not",
  }),
};

const config: ModelConfig = parseModelConfig(
  {
    ...{ model_type: "llama", vocab_size: 8, hidden_size: 8, intermediate_size: 8, num_hidden_layers: 1 },
    ...{ num_attention_heads: 2, max_position_embeddings: 32, eos_token_id: 1, pad_token_id: 0 },
    initializer_range: 0.3,
  },
  "",
);
const parameters = initializeParameters(config, createRandom(1, "toy"));
const tokenizer = createWordTokenizer(toy.vocabulary);
const policies = createPolicyEngine(config, { batchSize: 16, numThreads: 1, numBytes: 0 });
const trainers: Trainer[] = [];
afterAll(async () => {
  for (const trainer of trainers) await trainer.release();
  await policies.release();
});

interface Opened {
  readonly trainer: Trainer;
  readonly recipe: Recipe;
  /** The SFT steps whose parameters were loaded. */
  readonly loaded: readonly number[];
}

/** The trainer of a stage of the recipe. */
async function open(
  id: string,
  { changes = [], seed = 1 }: { readonly changes?: readonly RecipeChange[]; readonly seed?: number } = {},
): Promise<Opened> {
  const recipe = parseRecipe(text, "small.yaml", changes);
  const plan = planStages(recipe).find((stage) => stage.id === id);
  if (plan === undefined) throw new Error(`The recipe has no stage ${id}`);
  const loaded: number[] = [];
  const context: TrainerContext = {
    ...{ recipe, seed, environment: toy, config, tokenizer, policies, start: parameters },
    loadSftParameters: async (step) => {
      loaded.push(step);
      return initializeParameters(config, createRandom(step, "other"));
    },
  };
  const trainer = await createStageTrainer(plan, context);
  trainers.push(trainer);
  return { trainer, recipe, loaded };
}

/** A step from the start: what came of it, and the tasks that were made for it. */
interface Taken extends Awaited<ReturnType<Trainer["step"]>> {
  readonly tasks: readonly Request[];
  readonly indices: readonly number[];
}

async function takeStep({ trainer }: Opened, step: number): Promise<Taken> {
  requests.length = 0;
  const { state, metrics } = await trainer.step(trainer.start(parameters), step);
  return { state, metrics, tasks: [...requests], indices: requests.map(({ index }) => index) };
}

describe("createStageTrainer() of SFT", () => {
  it("warms up, and goes down half a cosine to the fraction of the learning rate that the recipe says", async () => {
    const sft = await open("sft");
    const rates: number[] = [];
    for (const step of [1, 3, 5]) rates.push((await takeStep(sft, step)).metrics.learningRate);
    // Half of 0.1 while it warms up; midway between 0.1 and 0.01; 0.01.
    expect(rates.map((rate) => Number(rate.toFixed(12)))).toEqual([0.05, 0.055, 0.01]);
    const steady = await open("sft", {
      changes: [{ path: "sft.optimizer", value: "{ learningRate: 0.2 }" }],
    });
    expect((await takeStep(steady, 4)).metrics.learningRate).toBe(0.2);
  });

  it("gives every step new ID tasks in the recipe's promptFormat, the same to whoever takes that step", async () => {
    const sft = await open("sft", { changes: [{ path: "promptFormat", value: "chat" }] });
    const second = await takeStep(sft, 2);
    expect(second.indices).toEqual([4, 5, 6, 7]);
    expect((await takeStep(sft, 1)).indices).toEqual([0, 1, 2, 3]);
    const described = second.tasks.map(({ split, promptFormat }) => `${split} ${promptFormat}`);
    expect(new Set(described)).toEqual(new Set(["id chat"]));
    expect(new Set(second.tasks.map(({ seed }) => seed)).size).toBe(1);
    expect((await takeStep(await open("sft"), 2)).tasks[0]?.seed).toBe(second.tasks[0]?.seed);
    const other = await takeStep(await open("sft", { seed: 2 }), 2);
    expect(other.tasks[0]?.seed).not.toBe(second.tasks[0]?.seed);
    // A prompt, an answer and the end, of which all but the first are predicted.
    expect(second.metrics.numTokens).toBe(4 * 2);
  });

  it("repeats a number of tasks where the recipe says how many", async () => {
    const changes = [
      { path: "sft.numTasks", value: "3" },
      { path: "sft.batchSize", value: "32" },
    ];
    const sft = await open("sft", { changes });
    const [first, second] = [await takeStep(sft, 1), await takeStep(sft, 2)];
    expect([...new Set(first.indices)].sort()).toEqual([0, 1, 2]);
    expect([...new Set(second.indices)].sort()).toEqual([0, 1, 2]);
    expect(second.indices).not.toEqual(first.indices);
    expect((await takeStep(await open("sft", { changes }), 1)).indices).toEqual(first.indices);
  });

  it("teaches the answers of the environment, and to end them", async () => {
    const { trainer } = await open("sft", {
      changes: [{ path: "sft.optimizer", value: "{ learningRate: 0.05 }" }],
    });
    let state = trainer.start(parameters);
    for (let step = 1; step <= 60; step++) state = (await trainer.step(state, step)).state;
    const asked = ["a", "b"].map((prompt) => ({
      prompt: tokenizer.encodePrompt(prompt),
      random: createRandom(1),
    }));
    const options = { maxNewTokens: 4, sampling: greedy };
    const policy = await policies.open(listParameters(config, await trainer.parameters(state)));
    const answers = await policy.generate(asked, options);
    expect(answers.map(({ tokens, isFinished }) => [tokenizer.decode(tokens), isFinished])).toEqual([
      ["x", true],
      ["y", true],
    ]);
  });
});

describe("createStageTrainer() of a phase of the base", () => {
  it("mixes the phase's skills by their shares, and draws the same for the same step", async () => {
    const teachStep = async (stage: Opened, step: number): Promise<readonly string[]> => {
      taught.length = 0;
      await takeStep(stage, step);
      return [...taught];
    };
    const first = await open("base-phase-1");
    const skills = await teachStep(first, 1);
    expect(skills).toHaveLength(256);
    // Three in four are 192; the standard deviation is 7.
    const numOften = skills.filter((skill) => skill.startsWith("often")).length;
    expect(Math.abs(numOften - 192)).toBeLessThan(28);
    expect(skills.filter((skill) => skill.startsWith("unused"))).toEqual([]);
    expect(await teachStep(await open("base-phase-1"), 1)).toEqual(skills);
    expect(await teachStep(first, 2)).not.toEqual(skills);
    const second = await open("base");
    const others = await teachStep(second, 1);
    expect(others.filter((skill) => skill.startsWith("seldom"))).toHaveLength(256);
    const numbersOf = (drawn: readonly string[]): readonly unknown[] => drawn.map((one) => one.split(" ")[1]);
    expect(numbersOf(others)).not.toEqual(numbersOf(skills));
    expect((await takeStep(second, 1)).metrics.learningRate).toBe(0.5);
  });

  it("refuses skills that the environment does not have", async () => {
    const changes = [{ path: "base.phases.0.skills", value: "{ song: 1 }" }];
    await expect(open("base-phase-1", { changes })).rejects.toThrow('Cannot find the skill "song"');
  });
});

describe("createStageTrainer() of RL", () => {
  it("gives every update new tasks, each to a group of GRPO, other tasks for another seed", async () => {
    const grpo = await open("grpo-from-2-seed-0");
    const second = await takeStep(grpo, 2);
    expect(second.indices).toEqual([4, 5, 6, 7]);
    expect(new Set(second.tasks.map(({ split }) => split))).toEqual(new Set(["id"]));
    expect(second.metrics).toMatchObject({ learningRate: 0.005, episodes: { solved: 0, total: 4 * 2 } });
    const seedOf = async (id: string): Promise<unknown> => (await takeStep(await open(id), 2)).tasks[0]?.seed;
    const seeds = [
      await seedOf("sft"),
      await seedOf("grpo-from-2-seed-0"),
      await seedOf("grpo-from-2-seed-1"),
    ];
    expect(new Set(seeds).size).toBe(3);
    expect(seeds[1]).toBe(second.tasks[0]?.seed);
  });

  it("lets PPO answer each task as often as the recipe says, and GRPO once", async () => {
    const countTurns = ({ metrics }: Taken): number => {
      const outcomes = Object.values(toObject(toObject(metrics.reward).byOutcome));
      return outcomes.reduce((sum: number, outcome) => sum + Number(toObject(outcome).count), 0);
    };
    const ppo = await takeStep(await open("ppo-from-2-seed-0"), 1);
    expect(ppo.metrics).toMatchObject({ episodes: { total: 4 } });
    expect(countTurns(ppo)).toBe(4 * 2);
    expect(countTurns(await takeStep(await open("grpo-from-2-seed-0"), 1))).toBe(4 * 2);
  });

  it("measures KL to the start, and to another SFT checkpoint where the recipe names one", async () => {
    const plain = await open("grpo-from-2-seed-0");
    const { metrics } = await takeStep(plain, 1);
    expect(plain.loaded).toEqual([]);
    expect(metrics.klToReference).toBeCloseTo(0, 6);
    const pulled = await open("grpo-from-2-seed-0", { changes: [{ path: "rl.0.reference", value: "5" }] });
    const other = await takeStep(pulled, 1);
    expect(pulled.loaded).toEqual([5]);
    expect(other.metrics.klToStart).toBeCloseTo(0, 6);
    expect(other.metrics.klToReference).toBeGreaterThan(0.01);
  });

  it("gives two branches of one seed the same tasks and other answers, and each the same again", async () => {
    const [first, again, other] = [
      await takeStep(await open("ppo-from-2-seed-0"), 1),
      await takeStep(await open("ppo-from-2-seed-0"), 1),
      await takeStep(await open("ppo-from-5-seed-0"), 1),
    ];
    expect(again.state).toEqual(first.state);
    expect(other.tasks).toEqual(first.tasks);
    expect(other.state.parameters).not.toEqual(first.state.parameters);
  });

  it("leaves PPO's value head out of the model", async () => {
    const ppo = await open("ppo-from-2-seed-0");
    const { state } = await takeStep(ppo, 1);
    expect(state.parameters.length).toBeGreaterThan(parameters.length);
    expect(await ppo.trainer.parameters(state)).toEqual(state.parameters.slice(0, parameters.length));
    expect(await ppo.trainer.parameters(state)).not.toEqual(parameters);
  });
});

describe("createStageTrainer() with adapters", () => {
  it.each([
    ["sft", "sft.lora", ["sft"]],
    ["GRPO", "rl.0.lora", ["grpo-from-2-seed-0", "grpo-from-2-seed-1"]],
  ])("trains them alone, in %s, and gives the model with them added in", async (_, path, ids) => {
    const changes = [{ path, value: "{ rank: 2, alpha: 4 }" }];
    const kept = parameters.slice();
    const starts: Float32Array[] = [];
    for (const id of ids) {
      const { trainer } = await open(id, { changes });
      const start = trainer.start(parameters);
      // Seven matrices of 8 × 8, an A and a B of rank 2 for each.
      expect(start.parameters.length).toBe(7 * 2 * 2 * 8);
      expect(await trainer.parameters(start)).toEqual(parameters);
      starts.push(start.parameters.slice());
      let state = start;
      // Answers to a task may all be worth the same, for a step or two.
      for (let step = 1; step <= 8; step++) state = (await trainer.step(state, step)).state;
      expect(await trainer.parameters(state)).not.toEqual(parameters);
    }
    expect(parameters).toEqual(kept);
    if (starts.length > 1) expect(starts[1]).not.toEqual(starts[0]);
  });

  it("knows none for PPO", () => {
    expect(() =>
      parseRecipe(text, "small.yaml", [{ path: "rl.1.lora", value: "{ rank: 2, alpha: 4 }" }]),
    ).toThrow(/lora/);
  });
});
