/** Supervised training on answers: base training and supervised fine-tuning alike. */
import {
  chooseRows,
  createLayout,
  createProgramCache,
  createWeights,
  type ModelConfig,
  normalize,
  packSequences,
  type ScoredSize,
  type Sequence,
} from "../engine/model/index.ts";
import type { CompileOptions } from "../engine/tensor/index.ts";
import { crossEntropyObjective } from "./cross-entropy.ts";
import { type Optimizer, startTraining } from "./optimizer.ts";
import type { Schedule } from "./schedule.ts";
import type { Trainer } from "./trainer.ts";
import { compileTrainingStep, createGradientBuffer } from "./training-step.ts";

/** What supervised training is made of. */
export interface SupervisedOptions extends CompileOptions {
  readonly optimizer: Optimizer;
  readonly schedule: Schedule;
  readonly batchSize: number;
  /** The sequences of a step, `batchSize` of them. */
  drawSequences(step: number): readonly Sequence[];
}

/** A trainer that minimizes the cross-entropy of the answers' tokens. */
export function createSupervisedTrainer(config: ModelConfig, options: SupervisedOptions): Trainer {
  const { optimizer, schedule, batchSize, drawSequences } = options;
  const layout = createLayout(config);
  const weights = createWeights(layout);
  const buffer = createGradientBuffer(layout);
  const programs = createProgramCache((size: ScoredSize) =>
    compileTrainingStep(
      { layout, weights, optimizer, buffer, objective: crossEntropyObjective(config, weights, size) },
      options,
    ),
  );
  return {
    start: (parameters) => startTraining(parameters, optimizer),
    step: async (before, step) => {
      const sequences = drawSequences(step);
      const batch = packSequences(sequences, { numRows: batchSize, config });
      const { size, tokens, positions } = batch;
      const { R, ...rows } = chooseRows(batch.targets, normalize(batch.answerMask));
      const learningRate = schedule(step);
      const program = await programs.find({ ...size, R });
      const feeds = { tokens, ...positions, ...rows };
      const { state, loss, gradientNorm } = await program.run(before, feeds, learningRate);
      const numTokens = sequences.reduce((sum, sequence) => sum + sequence.tokens.length - 1, 0);
      return { state, metrics: { loss, gradientNorm, learningRate, numTokens } };
    },
    parameters: (state) => state.parameters,
    release: () => programs.release(),
  };
}
