/** The objectives of reinforcement learning: GRPO a token at a time, the study's PPO a whole answer at a time. */
import {
  type BatchSize,
  type ModelConfig,
  type Scores,
  scoreTargets,
  type Weights,
} from "../engine/model/index.ts";
import { op, type Tensor } from "../engine/tensor/index.ts";
import type { Objective } from "./training-step.ts";

/** Names of the arrays both objectives are fed with, beside tokens and targets; see `policyInputs`. */
interface PolicyInputs {
  /** [B, T], 1 / count on answer tokens: sums over it are means over answer tokens. */
  readonly tokenWeights: Tensor;
  /** [B, T], log-probabilities under the policy that sampled. */
  readonly oldLogProbs: Tensor;
  /** [B, T], log-probabilities under the checkpoint that this stage started from. */
  readonly startLogProbs: Tensor;
  /** [B, T], log-probabilities under the policy that the KL term pulls toward. */
  readonly referenceLogProbs: Tensor;
  /** [B, 1] */
  readonly advantages: Tensor;
}

function policyInputs({ B, T }: BatchSize): PolicyInputs {
  return {
    tokenWeights: op.input("tokenWeights", [B, T]),
    oldLogProbs: op.input("oldLogProbs", [B, T]),
    startLogProbs: op.input("startLogProbs", [B, T]),
    referenceLogProbs: op.input("referenceLogProbs", [B, T]),
    advantages: op.input("advantages", [B, 1]),
  };
}

/** Mean over answer tokens of e^d − d − 1 with d = log π_other − log π: an unbiased KL estimate (Schulman 2020, "k3"). */
function meanDivergence(logProbs: Tensor, other: Tensor, tokenWeights: Tensor): Tensor {
  // Outside the answer both are unrelated; weighting d first keeps e^d from overflowing there.
  const isAnswer = op.subtract(1, op.lessOrEqual(tokenWeights, 0));
  const difference = op.multiply(op.subtract(other, logProbs), isAnswer);
  const estimate = op.subtract(op.subtract(op.exp(difference), difference), 1);
  return op.sum(op.multiply(estimate, tokenWeights));
}

/** The clipped surrogate min(ρA, clip(ρ, 1 ± range) A) (Schulman et al. 2017), and 1 where the clip binds. */
function clippedSurrogate(
  ratio: Tensor,
  advantages: Tensor,
  range: number,
): { readonly surrogate: Tensor; readonly isClipped: Tensor } {
  const clipped = op.multiply(op.minimum(op.maximum(ratio, 1 - range), 1 + range), advantages);
  const plain = op.multiply(ratio, advantages);
  return {
    surrogate: op.minimum(plain, clipped),
    isClipped: op.subtract(1, op.lessOrEqual(plain, clipped)),
  };
}

function divergences(scores: Scores, inputs: PolicyInputs): { toStart: Tensor; toReference: Tensor } {
  const { tokenWeights, startLogProbs, referenceLogProbs } = inputs;
  return {
    toStart: meanDivergence(scores.logProbs_BT, startLogProbs, tokenWeights),
    toReference: meanDivergence(scores.logProbs_BT, referenceLogProbs, tokenWeights),
  };
}

/** Settings of the GRPO objective. */
export interface GrpoObjectiveOptions {
  readonly temperature: number;
  /** ε of the clip 1 ± ε. */
  readonly clipRange: number;
  /** Weight β of the KL divergence to the reference policy. */
  readonly klWeight: number;
}

/**
 * −mean over answer tokens of min(ρA, clip(ρ)A) + β KL(π ‖ reference), with a ratio ρ for each token
 * (GRPO, Shao et al. 2024; token mean over the whole batch).
 */
export function grpoObjective(
  config: ModelConfig,
  weights: Weights,
  { B, T, temperature, clipRange, klWeight }: GrpoObjectiveOptions & BatchSize,
): Objective {
  const scores = scoreTargets(config, weights, { B, T, temperature });
  const inputs = policyInputs({ B, T });
  const { tokenWeights, oldLogProbs, advantages } = inputs;
  const isAnswer = op.subtract(1, op.lessOrEqual(tokenWeights, 0));
  const ratio = op.exp(op.multiply(op.subtract(scores.logProbs_BT, oldLogProbs), isAnswer));
  const { surrogate, isClipped } = clippedSurrogate(ratio, advantages, clipRange);
  const gain = op.sum(op.multiply(surrogate, tokenWeights));
  const { toStart, toReference } = divergences(scores, inputs);
  const penalty = op.multiply(toReference, klWeight);
  return {
    loss: op.subtract(penalty, gain),
    metrics: {
      klToStart: toStart,
      klToReference: toReference,
      entropy: op.sum(op.multiply(scores.entropy_BT, tokenWeights)),
      clipShare: op.sum(op.multiply(isClipped, tokenWeights)),
    },
  };
}

/** Settings of the PPO objective. */
export interface PpoObjectiveOptions {
  readonly temperature: number;
  /** ε of the clip 1 ± ε of the ratio. */
  readonly clipRange: number;
  /** How far the value may move from its old one before the loss stops pulling, in units of reward. */
  readonly valueClipRange: number;
  readonly valueWeight: number;
  readonly entropyWeight: number;
}

/** Values [B, 1] of states: the value head on the final hidden state of each row's last prompt token. */
export function estimateValues(weights: Weights, hidden_NE: Tensor, B: number): Tensor {
  let x = op.gatherRows(hidden_NE, op.input("lastPromptRows", [B], "int32"));
  for (const depth of [0, 1, 2]) {
    const weight = weights.get(`value_head.${depth}.weight`);
    x = op.add(op.matmul(x, weight, { transposeRight: true }), weights.get(`value_head.${depth}.bias`));
    if (depth < 2) x = op.relu(x);
  }
  return x;
}

/**
 * The study's turn-level PPO: an answer is one action, ρ = exp(Σ_t log π − Σ_t log π_old). Loss = −mean min(ρA,
 * clip(ρ)A) + valueWeight · ½ mean max((V − R)², (V_clipped − R)²) − entropyWeight · mean token entropy; means over
 * rows go by "rowWeights" [B, 1], which hold 1 / count and 0 for padding.
 */
export function ppoObjective(
  config: ModelConfig,
  weights: Weights,
  {
    B,
    T,
    temperature,
    clipRange,
    valueClipRange,
    valueWeight,
    entropyWeight,
  }: PpoObjectiveOptions & BatchSize,
): Objective {
  const scores = scoreTargets(config, weights, { B, T, temperature });
  const inputs = policyInputs({ B, T });
  const rowWeights = op.input("rowWeights", [B, 1]);
  const isAnswer = op.subtract(1, op.lessOrEqual(inputs.tokenWeights, 0));
  const change = op.multiply(op.subtract(scores.logProbs_BT, inputs.oldLogProbs), isAnswer);
  const ratio = op.exp(op.sum(change, [1]));
  const { surrogate, isClipped } = clippedSurrogate(ratio, inputs.advantages, clipRange);
  const gain = op.sum(op.multiply(surrogate, rowWeights));
  const valueLoss = clippedValueLoss(estimateValues(weights, scores.hidden_NE, B), {
    B,
    clipRange: valueClipRange,
    rowWeights,
  });
  const entropy = op.sum(op.multiply(scores.entropy_BT, inputs.tokenWeights));
  const policyAndValue = op.subtract(op.multiply(valueLoss, valueWeight), gain);
  const { toStart, toReference } = divergences(scores, inputs);
  return {
    loss: op.subtract(policyAndValue, op.multiply(entropy, entropyWeight)),
    metrics: {
      klToStart: toStart,
      klToReference: toReference,
      entropy,
      clipShare: op.sum(op.multiply(isClipped, rowWeights)),
      valueLoss,
    },
  };
}

function clippedValueLoss(
  values: Tensor,
  {
    B,
    clipRange,
    rowWeights,
  }: { readonly B: number; readonly clipRange: number; readonly rowWeights: Tensor },
): Tensor {
  const oldValues = op.input("oldValues", [B, 1]);
  const returns = op.input("returns", [B, 1]);
  const move = op.minimum(op.maximum(op.subtract(values, oldValues), -clipRange), clipRange);
  const square = (x: Tensor): Tensor => op.multiply(x, x);
  const plain = square(op.subtract(values, returns));
  const clipped = square(op.subtract(op.add(oldValues, move), returns));
  return op.multiply(op.sum(op.multiply(op.maximum(plain, clipped), rowWeights)), 0.5);
}
