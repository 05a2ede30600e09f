/** The objective of supervised fine-tuning: cross-entropy of the answer's tokens. */
import { type BatchSize, type ModelConfig, scoreTargets, type Weights } from "../engine/model/index.ts";
import { op } from "../engine/tensor/index.ts";
import type { Objective } from "./training-step.ts";

/**
 * −Σ w log π(target) over "weights" [B, T] (graph input), which hold 1 / count on answer tokens and 0 elsewhere:
 * the mean in nats over answer tokens.
 */
export function crossEntropyObjective(config: ModelConfig, weights: Weights, size: BatchSize): Objective {
  const { logProbs_BT } = scoreTargets(config, weights, size);
  const tokenWeights = op.input("weights", [size.B, size.T]);
  return { loss: op.negate(op.sum(op.multiply(logProbs_BT, tokenWeights))), metrics: {} };
}
