/** What is minimised, as tensor expressions over token log-probabilities. Axes: B sequences, T tokens, V vocabulary. */
import { applyHead, type ModelConfig, runSequences, type Weights } from "../model/index.ts";
import { op, type Tensor } from "../tensor/index.ts";
import type { Objective } from "./training-step.ts";

/** Size of a batch of padded sequences. */
export interface BatchSize {
  readonly B: number;
  readonly T: number;
}

/** How the policy scores given tokens. */
export interface Scores {
  /** log π(target | before), [B, T]. */
  readonly logProbs_BT: Tensor;
  /** Entropy of the next-token distribution in nats, [B, T]. */
  readonly entropy_BT: Tensor;
  /** Final hidden states, [B·T, E]. */
  readonly hidden_NE: Tensor;
}

/**
 * Scores of "targets" [B, T] (int32) after "tokens" [B, T] (int32), both graph inputs, at a sampling temperature.
 */
export function scoreTargets(
  config: ModelConfig,
  weights: Weights,
  { B, T, temperature = 1 }: BatchSize & { readonly temperature?: number },
): Scores {
  const tokens = op.input("tokens", [B, T], "int32");
  const targets = op.input("targets", [B * T], "int32");
  const { hidden_NE } = runSequences(config, weights, tokens);
  const logits = applyHead(config, weights, hidden_NE);
  const logProbs_NV = op.logSoftmax(temperature === 1 ? logits : op.multiply(logits, 1 / temperature));
  const entropy = op.negate(op.sum(op.multiply(op.exp(logProbs_NV), logProbs_NV), [-1]));
  return {
    logProbs_BT: op.reshape(op.takeLast(logProbs_NV, targets), [B, T]),
    entropy_BT: op.reshape(entropy, [B, T]),
    hidden_NE,
  };
}

/**
 * Mean cross-entropy in nats of the target tokens under "weights" [B, T], which hold 1 / count on answer tokens
 * and 0 elsewhere: the loss of supervised fine-tuning on answers only.
 */
export function crossEntropyObjective(config: ModelConfig, weights: Weights, size: BatchSize): Objective {
  const { logProbs_BT } = scoreTargets(config, weights, size);
  const tokenWeights = op.input("weights", [size.B, size.T]);
  return { loss: op.negate(op.sum(op.multiply(logProbs_BT, tokenWeights))), metrics: {} };
}
