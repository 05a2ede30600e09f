/** What is logged of a rollout: rewards by outcome, and how the raw advantages are distributed. */

import { histogram, moments, shannonEntropy } from "../base/statistics/index.ts";
import type { Turn } from "../tasks/rollout/index.ts";

/** Bins of the logged advantage histogram: fixed, so that updates and runs can be compared. */
const advantageBins = { low: -8, high: 8, numBins: 32 } as const;

/** Mean and spread of the rewards, and per outcome how often it occurred and what it earned on average. */
export function describeRewards(turns: readonly Turn[]): Record<string, unknown> {
  const rewards = turns.map(({ grade }) => grade.reward);
  const { mean, standardDeviation } = moments(rewards);
  const byOutcome: Record<string, { count: number; mean: number | undefined }> = {};
  for (const outcome of new Set(turns.map(({ grade }) => grade.outcome))) {
    const earned = turns.filter(({ grade }) => grade.outcome === outcome).map(({ grade }) => grade.reward);
    byOutcome[outcome] = { count: earned.length, mean: moments(earned).mean };
  }
  return { mean, standardDeviation, byOutcome };
}

/**
 * The raw advantages (before any scaling) of one rollout: moments, a histogram over −8…8 in 32 bins, the entropy
 * of its counts, tails included, in nats, and the share above 0. The study reads from these whether RL can still heal.
 */
export function describeAdvantages(advantages: readonly number[]): Record<string, unknown> {
  const bins = histogram(advantages, advantageBins);
  const numPositive = advantages.filter((advantage) => advantage > 0).length;
  return {
    ...moments(advantages),
    entropy: shannonEntropy([bins.numUnderflow, ...bins.counts, bins.numOverflow]),
    positiveShare: advantages.length === 0 ? undefined : numPositive / advantages.length,
    histogram: bins,
  };
}

/** The mean of each metric over the minibatches of an update, weighted by their rows. */
export function averageMetrics(
  parts: readonly { readonly numRows: number; readonly metrics: Readonly<Record<string, number>> }[],
): Record<string, number> {
  const total = parts.reduce((sum, { numRows }) => sum + numRows, 0);
  const means: Record<string, number> = {};
  for (const { numRows, metrics } of parts)
    for (const [name, value] of Object.entries(metrics))
      means[name] = (means[name] ?? 0) + (value * numRows) / total;
  return means;
}
