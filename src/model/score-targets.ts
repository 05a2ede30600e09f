/** How a policy scores given tokens, as tensor expressions. Axes: B sequences, T tokens, V vocabulary, E hidden. */

import { op, type Tensor } from "../tensor/index.ts";
import type { ModelConfig } from "./config.ts";
import { applyHead, runSequences } from "./decoder.ts";
import type { Weights } from "./parameters.ts";

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
