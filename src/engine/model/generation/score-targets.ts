/** How a policy scores given tokens, as tensor expressions. Axes: B sequences, T tokens, V vocabulary, E hidden. */

import { op, type RowChoice, type Tensor } from "../../tensor/index.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { runSequences } from "../decoder/decoder.ts";
import { applyHead, scale } from "../decoder/graph.ts";
import type { Weights } from "../parameters.ts";

/** Size of a batch of padded sequences. */
export interface BatchSize {
  readonly B: number;
  readonly T: number;
}

/** Size of a batch of padded sequences, of which R tokens are scored, wherever they stand. */
export interface ScoredSize extends BatchSize {
  readonly R: number;
}

/** Which tokens are scored: graph inputs "rows" [R] and "places" [B·T], int32. */
export function inputRows({ B, T, R }: ScoredSize): RowChoice {
  return { rows: op.input("rows", [R], "int32"), places: op.input("places", [B * T], "int32") };
}

/** A policy's scores of R tokens. */
export interface Scores {
  /** log π(target | before), [R]. */
  readonly logProbs_R: Tensor;
  /** Entropy of the next-token distribution in nats, [R]. */
  readonly entropy_R: Tensor;
  /** Final hidden states, [R, E]. */
  readonly hidden_RE: Tensor;
}

/**
 * Scores of "targets" [R] at the places of "tokens" [B, T] that `inputRows` says (graph inputs, int32), at a sampling temperature above 0. Only those
 * places go through the end of the last layer and through the head.
 */
export function scoreTargets(
  config: ModelConfig,
  weights: Weights,
  { temperature = 1, ...size }: ScoredSize & { readonly temperature?: number },
): Scores {
  const { B, T, R } = size;
  const choice = inputRows(size);
  const tokens = op.input("tokens", [B, T], "int32");
  const { hidden_NE: hidden_RE } = runSequences(config, weights, tokens, {
    pick: (x) => op.pickRows(x, choice),
  });
  const logits = scale(applyHead(config, weights, hidden_RE), 1 / temperature);
  const logProbs_RV = op.logSoftmax(logits);
  const entropy = op.negate(op.sum(op.multiply(op.exp(logProbs_RV), logProbs_RV), [-1]));
  return {
    logProbs_R: op.reshape(op.takeLast(logProbs_RV, op.input("targets", [R], "int32")), [R]),
    entropy_R: op.reshape(entropy, [R]),
    hidden_RE,
  };
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
