/** How a policy scores given tokens, as tensor expressions. Axes: B sequences, T tokens, V vocabulary, E hidden. */

import { op, type RowChoice, type Tensor } from "../../tensor/index.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { runSequences } from "../decoder/decoder.ts";
import { applyHead } from "../decoder/graph.ts";
import type { Weights } from "../parameters.ts";

/** Size of a batch of padded sequences. */
export interface BatchSize {
  readonly B: number;
  readonly T: number;
}

/** A policy's scores. */
export interface Scores {
  /** log π(target | before), [B, T]. */
  readonly logProbs_BT: Tensor;
  /** Entropy of the next-token distribution in nats, [B, T]. */
  readonly entropy_BT: Tensor;
  /** Final hidden states, [B·T, E]. */
  readonly hidden_NE: Tensor;
}

/** Scores of "targets" after "tokens" (graph inputs, int32, [B, T]) at a sampling temperature above 0. */
export function scoreTargets(
  config: ModelConfig,
  weights: Weights,
  { B, T, temperature = 1 }: BatchSize & { readonly temperature?: number },
): Scores {
  const tokens = op.input("tokens", [B, T], "int32");
  const targets = op.input("targets", [B, T], "int32");
  const { hidden_NE } = runSequences(config, weights, tokens);
  const logits = applyHead(config, weights, hidden_NE);
  const scaled = temperature === 1 ? logits : op.multiply(logits, 1 / temperature);
  const logProbs_BTV = op.reshape(op.logSoftmax(scaled), [B, T, config.vocabularySize]);
  const entropy = op.negate(op.sum(op.multiply(op.exp(logProbs_BTV), logProbs_BTV), [-1]));
  return {
    logProbs_BT: op.reshape(op.takeLast(logProbs_BTV, targets), [B, T]),
    entropy_BT: op.reshape(entropy, [B, T]),
    hidden_NE,
  };
}

/** Size of a batch of padded sequences, of which R tokens are scored, wherever they stand. */
export interface ScoredSize extends BatchSize {
  readonly R: number;
}

/** Which tokens are scored: graph inputs "rows" [R] and "places" [B·T], int32. */
export function inputRows({ B, T, R }: ScoredSize): RowChoice {
  return { rows: op.input("rows", [R], "int32"), places: op.input("places", [B * T], "int32") };
}

/**
 * log π [R] of "targets" [R] (graph input, int32) after hidden states [R, E] at a temperature. Vocabularies are large, and most tokens
 * belong to prompts: only rows that are scored go through the head.
 */
export function scoreHidden(
  config: ModelConfig,
  weights: Weights,
  { hidden_RE, temperature = 1 }: { readonly hidden_RE: Tensor; readonly temperature?: number | undefined },
): Tensor {
  const R = hidden_RE.shape[0] ?? 0;
  const logits_RV = applyHead(config, weights, hidden_RE);
  const scaled = temperature === 1 ? logits_RV : op.multiply(logits_RV, 1 / temperature);
  return op.reshape(op.takeLast(op.logSoftmax(scaled), op.input("targets", [R], "int32")), [R]);
}

/** Rows that a scoring program takes at the least. */
const smallestRows = 32;

/** Rows of the program for so many: 32 times 1, 1.5, 2, 3, 4, 6, 8, …, so that few are compiled. */
export function fitRows(count: number): number {
  let size = smallestRows;
  while (size < count) size = size * 1.5 >= count ? size * 1.5 : size * 2;
  return size;
}
