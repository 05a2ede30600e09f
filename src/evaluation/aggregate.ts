/** Counts over evaluated items; never a percentage without its count. */
import type { Split } from "../environment/index.ts";
import type { Tally } from "../statistics/index.ts";
import type { EvaluatedItem } from "./evaluate.ts";

/** What a checkpoint got right on one split. */
export interface SplitResult {
  readonly solved: Tally;
  /** Answers of the right shape, and answers whose values were read right: what is forgotten shows here. */
  readonly format: Tally;
  readonly values: Tally;
  /** Mean cross-entropy of the reference answers' tokens, in nats. */
  readonly loss: number;
  /** Answers by outcome. */
  readonly outcomes: Readonly<Record<string, number>>;
}

/** Counts over the items of one split. */
export function aggregate(items: readonly EvaluatedItem[], split: Split): SplitResult {
  const chosen = items.filter((item) => item.split === split);
  const count = (isHit: (item: EvaluatedItem) => boolean): Tally => ({
    correct: chosen.filter(isHit).length,
    total: chosen.length,
  });
  const outcomes: Record<string, number> = {};
  for (const { outcome } of chosen) outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  const nats = chosen.reduce((sum, { reference }) => sum + reference.negativeLogLikelihood, 0);
  const numTokens = chosen.reduce((sum, { reference }) => sum + reference.numTokens, 0);
  return {
    solved: count(({ parts }) => parts.solved),
    format: count(({ parts }) => parts.format),
    values: count(({ parts }) => parts.values),
    loss: nats / Math.max(1, numTokens),
    outcomes,
  };
}
