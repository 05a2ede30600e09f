/** The trainer of a stage: the recipe's numbers turned into optimizers, schedules, data and objectives. */

import { createRandom } from "../../base/core/index.ts";
import { encodeExample, type ModelConfig, type Sequence, type Tokenizer } from "../../engine/model/index.ts";
import type { PolicyEngine } from "../../engine/parallel/index.ts";
import type { OptimizerRecipe, Recipe, RlRecipe } from "../../run/index.ts";
import { requireNewBase } from "../../run/index.ts";
import type { Environment, Example } from "../../tasks/environment/index.ts";
import {
  adamW,
  constantSchedule,
  cosineSchedule,
  createGrpoTrainer,
  createPpoTrainer,
  createSupervisedTrainer,
  type PolicyOptions,
  type Schedule,
  type Trainer,
  withWarmup,
} from "../../training/index.ts";
import type { StagePlan } from "./stage-plan.ts";

/** What a stage's trainer is built from. */
export interface TrainerContext {
  readonly recipe: Recipe;
  readonly seed: number;
  readonly environment: Environment;
  readonly config: ModelConfig;
  readonly tokenizer: Tokenizer;
  readonly policies: PolicyEngine;
  /** The parameters of the checkpoint that the stage starts from. */
  readonly start: Float32Array;
  /** The parameters of an SFT checkpoint, by its step. */
  loadSftParameters(step: number): Promise<Float32Array>;
}

/** Creates the trainer of a stage. */
export async function createStageTrainer(plan: StagePlan, context: TrainerContext): Promise<Trainer> {
  switch (plan.kind.stage) {
    case "base":
      return createBaseTrainer(plan.kind.phase, context);
    case "sft":
      return createSftTrainer(context);
    case "rl":
      return createRlTrainer(plan.kind, context);
  }
}

function createSchedule(settings: OptimizerRecipe, numSteps: number): Schedule {
  const { learningRate: from, finalFraction, warmupSteps } = settings;
  const schedule =
    settings.schedule === "constant"
      ? constantSchedule(from)
      : cosineSchedule({ from, to: from * finalFraction, numSteps });
  return withWarmup(schedule, warmupSteps);
}

function createBaseTrainer(phase: number, context: TrainerContext): Trainer {
  const { recipe, config, environment, seed } = context;
  const settings = requireNewBase(recipe).phases[phase];
  if (settings === undefined) throw new RangeError(`Cannot find phase ${phase} of the base recipe`);
  const mixture = createMixture(environment, settings.skills);
  return createSupervisedTrainer(config, {
    optimizer: adamW(settings.optimizer),
    schedule: createSchedule(settings.optimizer, settings.numSteps),
    batchSize: settings.batchSize,
    cores: context.policies.cores,
    drawSequences: (step) => {
      const random = createRandom(seed, "base", phase, step);
      return Array.from({ length: settings.batchSize }, () => {
        const skill = mixture(random.uniform());
        return encode(context, skill.draw(random));
      });
    },
  });
}

type Skills = Environment["skills"];

/** Picks a skill by its share for a number in [0, 1). The recipe was checked: its skills exist. */
function createMixture(
  environment: Environment,
  shares: Readonly<Record<string, number>>,
): (point: number) => Skills[string] {
  const entries = Object.entries(shares).map(([name, share]) => {
    const skill = environment.skills[name];
    if (skill === undefined) throw new RangeError(`Cannot find the skill "${name}"`);
    return { skill, share };
  });
  const total = entries.reduce((sum, { share }) => sum + share, 0);
  return (point) => {
    let remaining = point * total;
    for (const { skill, share } of entries) {
      remaining -= share;
      if (remaining < 0) return skill;
    }
    throw new RangeError(`Cannot pick a skill at ${point}: the point must be below 1`);
  };
}

function encode({ tokenizer, config }: TrainerContext, example: Example): Sequence {
  return encodeExample(tokenizer, example, config.endToken);
}

/** Tasks of the ID split by number; `name` keeps the tasks of different purposes apart. */
function createTaskSource(
  { environment, recipe, seed }: TrainerContext,
  name: string,
): (index: number) => unknown {
  const first = createRandom(seed, "tasks", name).integer(0, 2 ** 30);
  return (index) =>
    environment.createTask({ split: "id", seed: first, index, promptFormat: recipe.promptFormat });
}

function createSftTrainer(context: TrainerContext): Trainer {
  const { recipe, environment, seed, config } = context;
  const { sft } = recipe;
  if (sft === undefined) throw new RangeError(`Cannot fine-tune: the recipe ${recipe.name} has no SFT stage`);
  const taskAt = createTaskSource(context, "sft");
  const { batchSize, numTasks, lora } = sft;
  return createSupervisedTrainer(config, {
    lora: lora && { ...lora, parameters: context.start, seed },
    optimizer: adamW(sft.optimizer),
    schedule: createSchedule(sft.optimizer, sft.numSteps),
    batchSize,
    cores: context.policies.cores,
    drawSequences: (step) => {
      const random = createRandom(seed, "sft", step);
      return Array.from({ length: batchSize }, (_, row) => {
        const isNew = numTasks === undefined;
        const task = taskAt(isNew ? (step - 1) * batchSize + row : random.integer(0, numTasks - 1));
        return encode(context, {
          prompt: environment.prompt(task, recipe.promptFormat),
          answer: environment.referenceAnswer(task, recipe.promptFormat),
        });
      });
    },
  });
}

async function createRlTrainer(
  { rl, branch, seed: branchSeed }: Extract<StagePlan["kind"], { stage: "rl" }>,
  context: TrainerContext,
): Promise<Trainer> {
  const taskAt = createTaskSource(context, `rl ${branchSeed}`);
  const shared: PolicyOptions = {
    optimizer: adamW(rl.optimizer),
    schedule: createSchedule(rl.optimizer, rl.numUpdates),
    numEpochs: rl.numEpochs,
    minibatchSize: rl.minibatchSize,
    policies: context.policies,
    start: context.start,
    ...(rl.reference !== undefined && { reference: await context.loadSftParameters(rl.reference) }),
    drawTasks: (step) =>
      Array.from({ length: rl.tasksPerUpdate }, (_, index) => taskAt((step - 1) * rl.tasksPerUpdate + index)),
    rollout: createRollout(rl, context, createRandom(context.seed, branch).integer(0, 2 ** 30)),
  };
  switch (rl.method) {
    case "grpo": {
      const { groupSize, clipRange, klWeight } = rl;
      const lora = rl.lora && { ...rl.lora, parameters: context.start, seed: shared.rollout.seed };
      return createGrpoTrainer(context.config, { ...shared, groupSize, clipRange, klWeight, lora });
    }
    case "ppo": {
      const { clipRange, discount, traceDecay, valueWeight, valueClipRange, valueRateFactor, entropyWeight } =
        rl;
      const settings = {
        clipRange,
        discount,
        traceDecay,
        valueWeight,
        valueClipRange,
        valueRateFactor,
        entropyWeight,
      };
      return createPpoTrainer(context.config, { ...shared, ...settings });
    }
  }
}

function createRollout(rl: RlRecipe, context: TrainerContext, seed: number): PolicyOptions["rollout"] {
  const { environment, recipe, tokenizer } = context;
  return {
    environment,
    promptFormat: recipe.promptFormat,
    tokenizer,
    sampling: { temperature: rl.temperature },
    maxNewTokens: rl.maxNewTokens,
    numAttempts: rl.method === "ppo" ? rl.numAttempts : 1,
    seed,
  };
}
