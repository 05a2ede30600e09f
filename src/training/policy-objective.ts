/** The objectives of reinforcement learning: GRPO a token at a time, the study's PPO a whole answer at a time. */
import {
  type ModelConfig,
  type ScoredSize,
  type Scores,
  scoreTargets,
  type Weights,
} from "../engine/model/index.ts";
import { op, type Tensor } from "../engine/tensor/index.ts";
import type { Objective } from "./training-step.ts";

/** Names of the arrays both objectives are fed with, beside tokens and the places that are scored; [R] each, one element an answer token. */
interface PolicyInputs {
  /** 1 / count on answer tokens, 0 on what fills up R: sums over it are means over answer tokens. */
  readonly tokenWeights: Tensor;
  /** Log-probabilities under the policy that sampled. */
  readonly oldLogProbs: Tensor;
  /** Log-probabilities under the checkpoint that this stage started from. */
  readonly startLogProbs: Tensor;
  /** Log-probabilities under the policy that the KL term pulls toward. */
  readonly referenceLogProbs: Tensor;
}

function policyInputs({ R }: ScoredSize): PolicyInputs {
  return {
    tokenWeights: op.input("tokenWeights", [R]),
    oldLogProbs: op.input("oldLogProbs", [R]),
    startLogProbs: op.input("startLogProbs", [R]),
    referenceLogProbs: op.input("referenceLogProbs", [R]),
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
    toStart: meanDivergence(scores.logProbs_R, startLogProbs, tokenWeights),
    toReference: meanDivergence(scores.logProbs_R, referenceLogProbs, tokenWeights),
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
 * (GRPO, Shao et al. 2024; token mean over the whole batch). "tokenAdvantages" [R] hold each token's A.
 */
export function grpoObjective(
  config: ModelConfig,
  weights: Weights,
  { clipRange, klWeight, ...scored }: GrpoObjectiveOptions & ScoredSize,
): Objective {
  const scores = scoreTargets(config, weights, scored);
  const inputs = policyInputs(scored);
  const { tokenWeights, oldLogProbs } = inputs;
  const advantages = op.input("tokenAdvantages", [scored.R]);
  const isAnswer = op.subtract(1, op.lessOrEqual(tokenWeights, 0));
  const ratio = op.exp(op.multiply(op.subtract(scores.logProbs_R, oldLogProbs), isAnswer));
  const { surrogate, isClipped } = clippedSurrogate(ratio, advantages, clipRange);
  const gain = op.sum(op.multiply(surrogate, tokenWeights));
  const { toStart, toReference } = divergences(scores, inputs);
  const penalty = op.multiply(toReference, klWeight);
  return {
    loss: op.subtract(penalty, gain),
    metrics: {
      klToStart: toStart,
      klToReference: toReference,
      entropy: op.sum(op.multiply(scores.entropy_R, tokenWeights)),
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

/** Values [B, 1] of states: the value head on the final hidden state of each row's last prompt token, at "lastPromptRows" [B] of those given. */
export function estimateValues(weights: Weights, hidden: Tensor, B: number): Tensor {
  let x = op.gatherRows(hidden, op.input("lastPromptRows", [B], "int32"));
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
 * rows go by "rowWeights" [B, 1], which hold 1 / count and 0 for padding. "rowTokens" [B, R] is 1 where a token is of a row.
 */
export function ppoObjective(
  config: ModelConfig,
  weights: Weights,
  { clipRange, valueClipRange, valueWeight, entropyWeight, ...scored }: PpoObjectiveOptions & ScoredSize,
): Objective {
  const { B, R } = scored;
  const scores = scoreTargets(config, weights, scored);
  const inputs = policyInputs(scored);
  const rowWeights = op.input("rowWeights", [B, 1]);
  const isAnswer = op.subtract(1, op.lessOrEqual(inputs.tokenWeights, 0));
  const change = op.multiply(op.subtract(scores.logProbs_R, inputs.oldLogProbs), isAnswer);
  // The sum of each row's tokens.
  const ratio = op.exp(op.matmul(op.input("rowTokens", [B, R]), op.reshape(change, [R, 1])));
  const advantages = op.input("advantages", [B, 1]);
  const { surrogate, isClipped } = clippedSurrogate(ratio, advantages, clipRange);
  const gain = op.sum(op.multiply(surrogate, rowWeights));
  const valueLoss = clippedValueLoss(estimateValues(weights, scores.hidden_RE, B), {
    B,
    clipRange: valueClipRange,
    rowWeights,
  });
  const entropy = op.sum(op.multiply(scores.entropy_R, inputs.tokenWeights));
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
