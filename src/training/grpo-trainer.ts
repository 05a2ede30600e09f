/** Group relative policy optimization (GRPO, Shao et al. 2024): answers to the same task are each other's baseline. */
import { createProgramCache, type ModelConfig, type ScoredSize } from "../engine/model/index.ts";
import { groupAdvantages, scaleByGroup } from "./advantage.ts";
import { type GrpoObjectiveOptions, grpoObjective } from "./policy-objective.ts";
import { createPolicyTrainer, type PolicyOptions } from "./policy-trainer.ts";
import { type AdaptedOptions, createTrainedModel } from "./trained-model.ts";
import type { Trainer } from "./trainer.ts";
import { compileTrainingStep, createGradientBuffer } from "./training-step.ts";

/** What GRPO is made of; the temperature of its objective is the rollout's. */
export interface GrpoOptions extends PolicyOptions, Omit<GrpoObjectiveOptions, "temperature"> {
  /** Answers to each task; `drawTasks` gives each task once. */
  readonly groupSize: number;
  /** Trains adapters only. Absent: all parameters. */
  readonly lora?: AdaptedOptions | undefined;
}

/** A trainer that samples `groupSize` single-turn answers to every task of an update. */
export function createGrpoTrainer(config: ModelConfig, options: GrpoOptions): Trainer {
  const { groupSize, optimizer } = options;
  const { temperature } = options.rollout.sampling;
  const { cores } = options.policies;
  const model = createTrainedModel(config, { lora: options.lora, cores });
  const buffer = createGradientBuffer(model.layout);
  const programs = createProgramCache((size: ScoredSize) => {
    const objective = grpoObjective(config, model.weights, { ...size, ...options, temperature });
    return compileTrainingStep({ model, optimizer, objective, buffer }, cores);
  });
  const repeated = {
    ...options,
    rollout: { ...options.rollout, numAttempts: 1 },
    drawTasks: (step: number) =>
      options.drawTasks(step).flatMap((task) => Array.from({ length: groupSize }, () => task)),
  };
  return createPolicyTrainer(config, repeated, {
    programs,
    start: model.start,
    merge: model.merge,
    numParameters: model.numParameters,
    assignCredit: async (_, episodes) => {
      const raw = groupAdvantages(
        episodes.flat().map(({ grade }) => grade.reward),
        groupSize,
      );
      // There is no value head: its inputs are zeros that the objective does not use.
      const unused = raw.map(() => 0);
      return { raw, used: scaleByGroup(raw, groupSize), values: unused, returns: unused };
    },
    release: async () => {
      await programs.release();
      await model.release();
    },
  });
}
