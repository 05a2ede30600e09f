/** Group relative policy optimization (GRPO, Shao et al. 2024): answers to the same task are each other's baseline. */
import { createLayout, createProgramCache, createWeights, type ModelConfig } from "../engine/model/index.ts";
import { groupAdvantages, scaleByGroup } from "./advantage.ts";
import { type GrpoObjectiveOptions, grpoObjective } from "./policy-objective.ts";
import { createPolicyTrainer, type PolicyOptions } from "./policy-trainer.ts";
import type { Trainer } from "./trainer.ts";
import { compileTrainingStep, createGradientBuffer } from "./training-step.ts";

/** What GRPO is made of; the temperature of its objective is the rollout's. */
export interface GrpoOptions extends PolicyOptions, Omit<GrpoObjectiveOptions, "temperature"> {
  /** Answers to each task; `drawTasks` gives each task once. */
  readonly groupSize: number;
}

/** A trainer that samples `groupSize` single-turn answers to every task of an update. */
export function createGrpoTrainer(config: ModelConfig, options: GrpoOptions): Trainer {
  const { groupSize, optimizer } = options;
  const { temperature } = options.rollout.sampling;
  const layout = createLayout(config);
  const weights = createWeights(layout);
  const buffer = createGradientBuffer(layout);
  const programs = createProgramCache((size) => {
    const objective = grpoObjective(config, weights, { ...size, ...options, temperature });
    return compileTrainingStep({ layout, weights, optimizer, objective, buffer }, options.policies.cores);
  });
  const repeated = {
    ...options,
    rollout: { ...options.rollout, numAttempts: 1 },
    drawTasks: (step: number) =>
      options.drawTasks(step).flatMap((task) => Array.from({ length: groupSize }, () => task)),
  };
  return createPolicyTrainer(config, repeated, {
    programs,
    extend: (parameters) => parameters,
    assignCredit: async (_, episodes) => {
      const raw = groupAdvantages(
        episodes.flat().map(({ grade }) => grade.reward),
        groupSize,
      );
      // There is no value head: its inputs are zeros that the objective does not use.
      const unused = raw.map(() => 0);
      return { raw, used: scaleByGroup(raw, groupSize), values: unused, returns: unused };
    },
    release: () => programs.release(),
  });
}
