/** Supervised training on answers: base training and supervised fine-tuning alike. */
import { requireItem } from "../base/core/index.ts";
import {
  chooseRows,
  countAnswerTokens,
  createProgramCache,
  type ModelConfig,
  measureLength,
  normalize,
  packSequences,
  type ScoredSize,
  type Sequence,
} from "../engine/model/index.ts";
import { type Cores, choosePartRows, type Feeds, splitList } from "../engine/parallel/index.ts";
import { crossEntropyObjective } from "./cross-entropy.ts";
import { type Optimizer, startTraining } from "./optimizer.ts";
import type { Schedule } from "./schedule.ts";
import { type AdaptedOptions, createTrainedModel } from "./trained-model.ts";
import type { Trainer } from "./trainer.ts";
import { compileTrainingStep, createGradientBuffer } from "./training-step.ts";

/** What supervised training is made of. */
export interface SupervisedOptions {
  readonly cores: Cores;
  readonly optimizer: Optimizer;
  readonly schedule: Schedule;
  readonly batchSize: number;
  /** The sequences of a step, `batchSize` of them. */
  drawSequences(step: number): readonly Sequence[];
  /** Trains adapters only. Absent: all parameters. */
  readonly lora?: AdaptedOptions | undefined;
}

/** A trainer that minimizes the cross-entropy of the answers' tokens. */
export function createSupervisedTrainer(config: ModelConfig, options: SupervisedOptions): Trainer {
  const { cores, optimizer, schedule, batchSize, drawSequences } = options;
  const model = createTrainedModel(config, options);
  const { weights, numParameters } = model;
  const buffer = createGradientBuffer(model.layout);
  const programs = createProgramCache((size: ScoredSize) =>
    compileTrainingStep(
      { model, optimizer, buffer, objective: crossEntropyObjective(config, weights, size) },
      cores,
    ),
  );
  return {
    start: (parameters) => startTraining(model.start(parameters), optimizer),
    step: async (before, step) => {
      const sequences = drawSequences(step);
      const { size, parts } = feedSequences(sequences, { config, batchSize, numParameters });
      const learningRate = schedule(step);
      const program = await programs.find(size);
      const { state, loss, gradientNorm } = await program.run(before, parts, learningRate);
      const numTokens = sequences.reduce((sum, sequence) => sum + sequence.tokens.length - 1, 0);
      return { state, metrics: { loss, gradientNorm, learningRate, numTokens } };
    },
    parameters: (state) => model.merge(state.parameters),
    release: async () => {
      await programs.release();
      await model.release();
    },
  };
}

interface FeedOptions {
  readonly config: ModelConfig;
  readonly batchSize: number;
  readonly numParameters: number;
}

/** The sequences of a batch in parts of one size; each answer token weighs 1 / count of all of them. */
function feedSequences(
  sequences: readonly Sequence[],
  { config, batchSize, numParameters }: FeedOptions,
): { readonly size: ScoredSize; readonly parts: readonly Feeds[] } {
  const T = measureLength(sequences);
  const B = choosePartRows({ B: batchSize, T }, numParameters);
  const parts = splitList(sequences, B);
  const [whole, most] = [countAnswerTokens(sequences), Math.max(...parts.map(countAnswerTokens))];
  const chosen = parts.map((part) => {
    const { tokens, targets, positions, answerMask } = packSequences(part, { numRows: B, T, config });
    const { R, ...rows } = chooseRows(targets, normalize(answerMask, whole), most);
    return { R, feeds: { tokens, ...positions, ...rows } };
  });
  return { size: { B, T, R: requireItem(chosen, 0).R }, parts: chosen.map(({ feeds }) => feeds) };
}
