/** The share of a loss that came back, or the reason why there is none to speak of. */
import {
  fiellerInterval,
  formatPoints,
  formatPValue,
  type Interval,
  type SignDraws,
} from "../../base/statistics/index.ts";
import { type Answers, allAnswers, type CheckpointOutcome } from "./checkpoint-outcome.ts";
import {
  type Contrast,
  computeContrast,
  pairAnswers,
  significanceLevel,
  takeDifferences,
} from "./contrast.ts";
import { type CrossFittedPeak, measureForgetting } from "./peak.ts";

/** A share: 0 when nothing came back, 1 when all did; below 0 or above 1 when it fell further or rose past the peak. */
export interface Ratio {
  readonly estimate: number;
  /** Ends of the 95 % interval (Fieller). */
  readonly low: number;
  readonly high: number;
  readonly numItems: number;
  /** Accuracy that came back, and that was lost before: what the share is made of, in [−1, 1]. */
  readonly gained: number;
  readonly lost: number;
}

/** A ratio, or in plain words why it is undefined. */
export type Recovery =
  | { readonly recovery: Ratio; readonly reason?: never }
  | { readonly recovery: undefined; readonly reason: string };

/** The same items as three checkpoints answered them. */
export interface AnswerPath {
  readonly peak: Answers;
  readonly start: Answers;
  readonly end: Answers;
}

/**
 * (end − start) / (peak − start) in OOD accuracy, the peak cross-fitted. Not given unless the start comes after the peak and lies
 * clearly below it, by `measureForgetting`: a share of a loss that may be none means nothing.
 */
export function computeRecovery(
  peak: CrossFittedPeak,
  { start, end }: { readonly start: CheckpointOutcome; readonly end: CheckpointOutcome },
  draws: SignDraws,
): Recovery {
  if (start.id === peak.peak.id) return { recovery: undefined, reason: "the start is the peak itself" };
  if (precedes(start, peak.peak))
    return { recovery: undefined, reason: "the start comes before the peak, so nothing was forgotten yet" };
  const after = allAnswers(end, "ood");
  const path = { peak: { ...after, solved: peak.solved }, start: allAnswers(start, "ood"), end: after };
  const { forgetting: loss } = measureForgetting(peak, start, draws);
  return computeShare(path, { peak: "the peak", start: "the start" }, { loss });
}

/**
 * The same of any three checkpoints, wherever they come from. `names` are what reasons call the first two, `loss` is peak − start and `gain`
 * end − start, where they were tested otherwise than by themselves. Where the gain is not significant, the interval holds 0.
 */
export function computeShare(
  { peak, start, end }: AnswerPath,
  names: { readonly peak: string; readonly start: string },
  {
    loss = computeContrast(pairAnswers(peak, start)),
    gain = computeContrast(pairAnswers(end, start)),
  }: { readonly loss?: Contrast; readonly gain?: Contrast | undefined } = {},
): Recovery {
  const { estimate: lost, pValue, numItems } = loss;
  if (lost <= 0 || pValue >= significanceLevel) {
    const difference = `${formatPoints(lost)} points, ${formatPValue(pValue)}`;
    return {
      recovery: undefined,
      reason: `${names.start} is not clearly below ${names.peak} (${difference})`,
    };
  }
  const { sums: numerators } = takeDifferences(pairAnswers(end, start)).groups;
  const { sums: denominators, sizes } = takeDifferences(pairAnswers(peak, start)).groups;
  const interval = fiellerInterval({ numerators, denominators, sizes }, 1 - significanceLevel);
  if (interval === undefined)
    return {
      recovery: undefined,
      reason: `the loss to recover from, ${formatPoints(lost)} points, is too uncertain for a share of it`,
    };
  const { estimate: gained } = gain;
  const { low, high } = gain.pValue < significanceLevel ? interval : withZero(interval);
  return { recovery: { estimate: gained / lost, low, high, numItems, gained, lost } };
}

function withZero({ low, high }: Interval): Interval {
  return { low: Math.min(low, 0), high: Math.max(high, 0) };
}

/** Whether a checkpoint of the SFT chain was made before another one. */
function precedes(earlier: CheckpointOutcome, later: CheckpointOutcome): boolean {
  if (earlier.stage === "base") return later.stage === "sft";
  return earlier.stage === "sft" && later.stage === "sft" && earlier.step < later.step;
}
