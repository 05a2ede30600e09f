/** The objective of supervised fine-tuning: cross-entropy of the answer's tokens. */
import {
  inputRows,
  type ModelConfig,
  runSequences,
  type ScoredSize,
  scoreHidden,
  type Weights,
} from "../engine/model/index.ts";
import { op } from "../engine/tensor/index.ts";
import type { Objective } from "./training-step.ts";

/**
 * −Σ w log π(target) over R tokens of "tokens" [B, T], those of `chooseRows`, with "weights" [R] (graph inputs), which hold 1 / count on answer
 * tokens and 0 elsewhere: the mean in nats over answer tokens. What follows attention in the last layer is done for those only.
 */
export function crossEntropyObjective(config: ModelConfig, weights: Weights, size: ScoredSize): Objective {
  const choice = inputRows(size);
  const tokens = op.input("tokens", [size.B, size.T], "int32");
  const { hidden_NE } = runSequences(config, weights, tokens, { pick: (x) => op.pickRows(x, choice) });
  const logProbs = scoreHidden(config, weights, { hidden_RE: hidden_NE });
  return {
    loss: op.negate(op.sum(op.multiply(logProbs, op.input("weights", [size.R])))),
    metrics: {},
  };
}
