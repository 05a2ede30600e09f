/** Reinforcement learning: roll out, weigh answers by their advantages, update. GRPO and PPO differ in a few parts only. */

import { createRandom, type Random, requireItem } from "../base/core/index.ts";
import {
  countAnswerTokens,
  listParameters,
  type ModelConfig,
  measureLength,
  type ProgramCache,
  type ScoredSize,
} from "../engine/model/index.ts";
import {
  type Asker,
  choosePartRows,
  createAsker,
  type PolicyEngine,
  splitList,
} from "../engine/parallel/index.ts";
import { collectEpisodes, type Episode, type RolloutOptions, type Turn } from "../tasks/rollout/index.ts";
import { type Optimizer, startTraining, type TrainingState } from "./optimizer.ts";
import { drawMinibatches, feedTurns, type ScoredTurn } from "./policy-batch.ts";
import { averageMetrics, describeAdvantages, describeRewards } from "./policy-metrics.ts";
import type { Schedule } from "./schedule.ts";
import type { StepMetrics, Trainer } from "./trainer.ts";
import type { StepResult, TrainingStep } from "./training-step.ts";

/** What both kinds of reinforcement learning share. */
export interface PolicyOptions {
  readonly optimizer: Optimizer;
  readonly schedule: Schedule;
  /** How often the turns of a rollout are gone through. */
  readonly numEpochs: number;
  /** Turns of one optimizer step. */
  readonly minibatchSize: number;
  /** The parameters of the checkpoint that this stage starts from: KL to it is logged. */
  readonly start: Float32Array;
  /** The parameters that the KL term pulls toward, where they are not those of `start`. */
  readonly reference?: Float32Array;
  readonly rollout: Omit<RolloutOptions, "path" | "policy">;
  /** Opens the policy that answers with the parameters of a step, on the cores that train it. */
  readonly policies: Pick<PolicyEngine, "open" | "cores">;
  /** The tasks of an update. */
  drawTasks(step: number): readonly unknown[];
}

/** Raw advantages (logged), the advantages that the objective uses, and for PPO values and returns; one a turn. */
export interface Credit {
  /** One per turn, as all of these. */
  readonly raw: readonly number[];
  readonly used: readonly number[];
  readonly values: readonly number[];
  readonly returns: readonly number[];
}

/** The parts in which GRPO and PPO differ. */
export interface PolicyMethod {
  /** The vector that training of a model with these parameters starts from. */
  start(parameters: Float32Array): Float32Array;
  /** The model's parameters. */
  merge(vector: Float32Array): Promise<Float32Array>;
  /** Parameters of a step in all. */
  readonly numParameters: number;
  assignCredit(state: TrainingState, episodes: readonly Episode[]): Promise<Credit>;
  readonly programs: ProgramCache<TrainingStep, ScoredSize>;
  release(): Promise<void>;
}

/** A trainer whose every step is one rollout and its update. */
export function createPolicyTrainer(
  config: ModelConfig,
  options: PolicyOptions,
  method: PolicyMethod,
): Trainer {
  const references = createReferences(config, options);
  return {
    start: (parameters) => startTraining(method.start(parameters), options.optimizer),
    step: async (before, step) => {
      const episodes = await rollOut(config, await method.merge(before.parameters), { options, step });
      const credit = await method.assignCredit(before, episodes);
      const scored = await scoreEpisodes(episodes.flat(), credit, references);
      const random = createRandom(options.rollout.seed, "minibatches", step);
      const learningRate = options.schedule(step);
      const result = await update({ config, options, method }, before, { scored, random, learningRate });
      return {
        state: result.state,
        metrics: { ...result.metrics, learningRate, ...describeRollout(episodes, credit) },
      };
    },
    parameters: (state) => method.merge(state.parameters),
    release: () => method.release(),
  };
}

/** The answers to the tasks of a step, under those parameters. */
async function rollOut(
  config: ModelConfig,
  parameters: Float32Array,
  { options, step }: { readonly options: PolicyOptions; readonly step: number },
): Promise<readonly Episode[]> {
  const policy = await options.policies.open(listParameters(config, parameters));
  try {
    const rollout = { ...options.rollout, policy, path: ["rollout", step] };
    return await collectEpisodes(options.drawTasks(step), rollout);
  } finally {
    policy.close();
  }
}

/** What answers are scored by: log π of the same tokens under other parameters. */
interface References {
  readonly start: Asker;
  /** Absent where it is the start. */
  readonly reference: Asker | undefined;
  readonly temperature: number;
}

function createReferences(config: ModelConfig, options: PolicyOptions): References {
  const { policies, minibatchSize: batchSize, start, reference, rollout } = options;
  const open = (parameters: Float32Array): Asker =>
    createAsker(policies.cores, { config, batchSize, parameters });
  return {
    start: open(start),
    reference: reference === undefined ? undefined : open(reference),
    temperature: rollout.sampling.temperature,
  };
}

async function scoreEpisodes(
  turns: readonly Turn[],
  credit: Credit,
  references: References,
): Promise<readonly ScoredTurn[]> {
  const { temperature } = references;
  const sequences = turns.map(({ sequence }) => sequence);
  const start = await references.start.score(sequences, temperature);
  const reference = (await references.reference?.score(sequences, temperature)) ?? start;
  return turns.map((turn, index) => ({
    turn,
    startLogProbs: requireItem(start, index),
    referenceLogProbs: requireItem(reference, index),
    advantage: requireItem(credit.used, index),
    value: requireItem(credit.values, index),
    return: requireItem(credit.returns, index),
  }));
}

interface UpdateContext {
  readonly config: ModelConfig;
  readonly options: PolicyOptions;
  readonly method: PolicyMethod;
}

interface Update {
  readonly scored: readonly ScoredTurn[];
  readonly random: Random;
  readonly learningRate: number;
}

type UpdateMetrics = Pick<StepMetrics, "loss" | "gradientNorm" | "numTokens">;

/** Goes through the turns `numEpochs` times, one optimizer step a minibatch; metrics are means over those steps. */
async function update(
  { config, options, method }: UpdateContext,
  before: TrainingState,
  { scored, random, learningRate }: Update,
): Promise<{ readonly state: TrainingState; readonly metrics: UpdateMetrics }> {
  const { minibatchSize: numRows, numEpochs } = options;
  let state = before;
  const steps: { numRows: number; metrics: Record<string, number> }[] = [];
  for (let epoch = 0; epoch < numEpochs; epoch++)
    for (const minibatch of drawMinibatches(scored, numRows, random)) {
      const sequences = minibatch.map(({ turn }) => turn.sequence);
      const T = measureLength(sequences);
      const B = choosePartRows({ B: numRows, T }, method.numParameters);
      const mostTokens = Math.max(...splitList(sequences, B).map(countAnswerTokens));
      const parts = splitList(minibatch, B).map((part) =>
        feedTurns(part, { numRows: B, T, config, whole: minibatch, mostTokens }),
      );
      const program = await method.programs.find(requireItem(parts, 0).size);
      const result = await program.run(
        state,
        parts.map(({ feeds }) => feeds),
        learningRate,
      );
      state = result.state;
      steps.push({ numRows: minibatch.length, metrics: flattenMetrics(result) });
    }
  const { loss = 0, gradientNorm = 0, ...others } = averageMetrics(steps);
  const numTokens = scored.reduce((sum, { turn }) => sum + turn.sequence.tokens.length - 1, 0) * numEpochs;
  return { state, metrics: { loss, gradientNorm, numTokens, ...others } };
}

function flattenMetrics({ loss, gradientNorm, metrics }: StepResult): Record<string, number> {
  const scalars = Object.entries(metrics).map(([name, values]) => [name, requireItem(values, 0)]);
  return { loss, gradientNorm, ...Object.fromEntries(scalars) };
}

function describeRollout(episodes: readonly Episode[], credit: Credit): Record<string, unknown> {
  const solved = episodes.filter((turns) => turns.at(-1)?.grade.parts.solved).length;
  return {
    episodes: { solved, total: episodes.length },
    reward: describeRewards(episodes.flat()),
    advantage: describeAdvantages(credit.raw),
  };
}
