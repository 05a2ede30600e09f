/** The study's PPO: a whole answer is one action, a value head on the last prompt token is the critic. */

import { createRandom, requireItem } from "../base/core/index.ts";
import {
  createLayout,
  createProgramCache,
  createValueHeadLayout,
  createWeights,
  feedParameters,
  initializeValueHead,
  joinLayouts,
  type ModelConfig,
  type ParameterLayout,
  runSequences,
  type ScoredSize,
} from "../engine/model/index.ts";
import { compile, op } from "../engine/tensor/index.ts";
import type { Episode, Turn } from "../tasks/rollout/index.ts";
import { type AdvantageDecay, generalizedAdvantages, standardize } from "./advantage.ts";
import { lastPromptRows, packTurns } from "./policy-batch.ts";
import { estimateValues, type PpoObjectiveOptions, ppoObjective } from "./policy-objective.ts";
import { type Credit, createPolicyTrainer, type PolicyOptions } from "./policy-trainer.ts";
import type { Trainer } from "./trainer.ts";
import { compileTrainingStep, createGradientBuffer } from "./training-step.ts";

/** What PPO is made of; the temperature of its objective and the seed of its value head are the rollout's. */
export interface PpoOptions extends PolicyOptions, AdvantageDecay, Omit<PpoObjectiveOptions, "temperature"> {
  /**
   * The value head's learning rate as a multiple of the policy's. A new head starts at 0 and has to reach the scale of
   * the rewards within few updates; until it does, advantages are hardly more than rewards.
   */
  readonly valueRateFactor: number;
}

/** A trainer that lets the policy answer each task up to the allowed attempts and updates policy and critic together. */
export function createPpoTrainer(config: ModelConfig, options: PpoOptions): Trainer {
  const { optimizer } = options;
  const { temperature } = options.rollout.sampling;
  const policyLayout = createLayout(config);
  const layout = joinLayouts(policyLayout, createValueHeadLayout(config));
  const weights = createWeights(layout);
  const buffer = createGradientBuffer(layout);
  const { cores } = options.policies;
  const model = { layout, trained: weights.tensors, frozen: {}, numParameters: layout.size };
  const numPolicyBlocks = policyLayout.entries.length;
  const updateFactors = layout.entries.map((_, index) =>
    index < numPolicyBlocks ? 1 : options.valueRateFactor,
  );
  const programs = createProgramCache((size: ScoredSize) => {
    const objective = ppoObjective(config, weights, { ...size, ...options, temperature });
    return compileTrainingStep({ model, optimizer, objective, buffer, updateFactors }, cores);
  });
  const critic = createCritic(config, layout, options);
  return createPolicyTrainer(config, options, {
    programs,
    numParameters: layout.size,
    merge: async (vector) => vector.subarray(0, policyLayout.size),
    start: (parameters) =>
      join(parameters, initializeValueHead(config, createRandom(options.rollout.seed, "value head"))),
    assignCredit: async (state, episodes) => {
      const values = await critic.estimate(state.parameters, episodes.flat());
      return assignCredit(episodes, values, options);
    },
    release: async () => {
      await programs.release();
      await critic.release();
    },
  });
}

function join(first: Float32Array, second: Float32Array): Float32Array {
  const joined = new Float32Array(first.length + second.length);
  joined.set(first);
  joined.set(second, first.length);
  return joined;
}

/** Advantages within each episode, standardized over the rollout; returns are advantage + value. */
function assignCredit(
  episodes: readonly Episode[],
  values: readonly number[],
  decay: AdvantageDecay,
): Credit {
  let first = 0;
  const raw = episodes.flatMap((turns) => {
    const steps = turns.map(({ grade }, index) => ({
      reward: grade.reward,
      value: requireItem(values, first + index),
    }));
    first += turns.length;
    return generalizedAdvantages(steps, decay);
  });
  return {
    raw,
    used: standardize(raw),
    values,
    returns: raw.map((advantage, index) => advantage + requireItem(values, index)),
  };
}

interface Critic {
  /** V(s) of every turn's prompt. */
  estimate(parameters: Float32Array, turns: readonly Turn[]): Promise<readonly number[]>;
  release(): Promise<void>;
}

function createCritic(
  config: ModelConfig,
  layout: ParameterLayout,
  { policies: { cores }, minibatchSize: numRows }: Pick<PpoOptions, "policies" | "minibatchSize">,
): Critic {
  const weights = createWeights(layout);
  const programs = createProgramCache(({ B, T }) => {
    const { hidden_NE } = runSequences(config, weights, op.input("tokens", [B, T], "int32"));
    return compile({ values: estimateValues(weights, hidden_NE, B) }, { numThreads: cores.count });
  });
  return {
    estimate: async (parameters, turns) => {
      const values: number[] = [];
      for (let start = 0; start < turns.length; start += numRows) {
        const part = turns.slice(start, start + numRows);
        const batch = packTurns(part, { numRows, config });
        const program = await programs.find(batch.size);
        const results = await program.run({
          ...feedParameters(layout, parameters),
          tokens: batch.tokens,
          ...batch.positions,
          lastPromptRows: lastPromptRows(batch, part),
        });
        values.push(...results.values.subarray(0, part.length));
      }
      return values;
    },
    release: () => programs.release(),
  };
}
