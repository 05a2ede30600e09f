/** Log-probabilities of given answers under given parameters: a forward pass only. */

import { type CompileOptions, compile, op, type Tensor } from "../../tensor/index.ts";
import { packSequences, type Sequence } from "../batch.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { runSequences } from "../decoder/decoder.ts";
import { createLayout, createWeights, feedParameters, type Weights } from "../parameters.ts";
import { createProgramCache } from "../program-cache.ts";
import { type BatchSize, fitRows, scoreHidden } from "./score-targets.ts";

/** Scores answers; programs are compiled once a size. */
export interface Scorer {
  /** log π of each answer's tokens, at the temperature the scorer was created for, in the order of the sequences. */
  score(parameters: Float32Array, sequences: readonly Sequence[]): Promise<readonly Float32Array[]>;
  release(): Promise<void>;
}

/** How a scorer runs. */
export interface ScorerOptions extends CompileOptions {
  /** Sequences that are scored together. More are taken in turns. */
  readonly batchSize: number;
  /** Divides the logits; 1 unless given. */
  readonly temperature?: number;
}

/** Size of a scoring program: R answer tokens, wherever they stand in B sequences of T tokens. */
interface ScoringSize extends BatchSize {
  readonly R: number;
}

/** Creates a scorer for models of that config. */
export function createScorer(config: ModelConfig, options: ScorerOptions): Scorer {
  const layout = createLayout(config);
  const programs = createProgramCache(async (size: ScoringSize) =>
    compile({ logProbs: scoreAnswers(config, createWeights(layout), { ...size, ...options }) }, options),
  );
  const scoreBatch = async (
    parameters: Float32Array,
    sequences: readonly Sequence[],
  ): Promise<readonly Float32Array[]> => {
    const numRows = Math.ceil(sequences.length / rowStep) * rowStep;
    const batch = packSequences(sequences, { numRows, config });
    const places = findAnswers(batch.answerMask);
    const R = fitRows(places.length);
    const program = await programs.find({ ...batch.size, R });
    const rows = new Int32Array(R);
    rows.set(places);
    const { tokens, positions } = batch;
    const targets = rows.map((place) => batch.targets[place] ?? config.padToken);
    const feeds = { ...feedParameters(layout, parameters), tokens, ...positions, rows, targets };
    return cutAnswers((await program.run(feeds)).logProbs, sequences);
  };
  return {
    score: async (parameters, sequences) => {
      const scored = new Map<number, Float32Array>();
      for (const batch of planBatches(sequences, options.batchSize)) {
        const scores = await scoreBatch(
          parameters,
          batch.map(([, sequence]) => sequence),
        );
        for (const [row, [place]] of batch.entries()) scored.set(place, requireScore(scores[row]));
      }
      return sequences.map((_, place) => requireScore(scored.get(place)));
    },
    release: () => programs.release(),
  };
}

function requireScore(logProbs: Float32Array | undefined): Float32Array {
  if (logProbs === undefined) throw new RangeError("Cannot score a sequence: it was in no batch");
  return logProbs;
}

/** Batches of sequences with their places, alike in length and number, so that little is padding. */
function planBatches(
  sequences: readonly Sequence[],
  batchSize: number,
): readonly (readonly (readonly [place: number, sequence: Sequence])[])[] {
  const sorted = [...sequences.entries()].sort(([, a], [, b]) => a.tokens.length - b.tokens.length);
  const numBatches = Math.ceil(sorted.length / batchSize);
  const size = Math.ceil(sorted.length / Math.max(1, numBatches));
  return Array.from({ length: numBatches }, (_, index) => sorted.slice(index * size, (index + 1) * size));
}

/** Sequences of a program are a multiple of this: few sizes, so few programs. */
const rowStep = 8;

/** log π [R] of "targets" [R] after the tokens at "rows" [R] of "tokens" [B, T], flattened. */
function scoreAnswers(
  config: ModelConfig,
  weights: Weights,
  { B, T, R, temperature }: ScoringSize & { readonly temperature?: number },
): Tensor {
  const rows = op.input("rows", [R], "int32");
  const tokens = op.input("tokens", [B, T], "int32");
  const { hidden_NE } = runSequences(config, weights, tokens, { pick: (x) => op.gatherRows(x, rows) });
  return scoreHidden(config, weights, { hidden_RE: hidden_NE, temperature });
}

/** Where the mask is set. */
function findAnswers(answerMask: Float32Array): readonly number[] {
  return [...answerMask.keys()].filter((place) => answerMask[place] === 1);
}

/** The log-probabilities of all answers, one after the other, apart. */
function cutAnswers(logProbs: Float32Array, sequences: readonly Sequence[]): readonly Float32Array[] {
  let start = 0;
  return sequences.map(({ tokens, numPromptTokens }) => {
    const end = start + tokens.length - numPromptTokens;
    const answer = logProbs.slice(start, end);
    start = end;
    return answer;
  });
}
