/** The share of a loss that came back, or the reason why there is none to speak of. */
import {
  type BootstrapOptions,
  formatPoints,
  formatPValue,
  pairedBootstrap,
} from "../../base/statistics/index.ts";
import { type CheckpointOutcome, heldOutHalf } from "./checkpoint-outcome.ts";
import { computeContrast, significanceLevel } from "./contrast.ts";

/** A share: 0 when nothing came back, 1 when all did; below 0 or above 1 when it fell further or rose past the peak. */
export interface Ratio {
  readonly estimate: number;
  /** Ends of the percentile interval. */
  readonly low: number;
  readonly high: number;
  readonly numItems: number;
}

/** A ratio, or in plain words why it is undefined. */
export type Recovery =
  | { readonly recovery: Ratio; readonly reason?: never }
  | { readonly recovery: undefined; readonly reason: string };

/** The three checkpoints of a recovery. */
export interface RecoveryPath {
  readonly peak: CheckpointOutcome;
  readonly start: CheckpointOutcome;
  readonly end: CheckpointOutcome;
}

/**
 * (end − start) / (peak − start), OOD accuracies on the held-out half, with a percentile bootstrap interval that
 * resamples items jointly for all three; resamples with peak ≤ start are undefined. The ratio is not given at all
 * unless the start comes after the peak and lies clearly below it, that is by a significant difference (exact
 * McNemar p < 0.05): a share of a loss that may be none means nothing.
 */
export function computeRecovery(path: RecoveryPath, options: BootstrapOptions): Recovery {
  const { peak, start } = path;
  if (start.id === peak.id) return { recovery: undefined, reason: "the start is the peak itself" };
  if (precedes(start, peak))
    return { recovery: undefined, reason: "the start comes before the peak, so nothing was forgotten yet" };
  return computeShare(path, { peak: "the peak", start: "the start" }, options);
}

/** The same for any three checkpoints, wherever they come from; `names` are what reasons call the first two. */
export function computeShare(
  { peak, start, end }: RecoveryPath,
  names: { readonly peak: string; readonly start: string },
  options: BootstrapOptions,
): Recovery {
  const table = { peak: heldOutHalf(peak), start: heldOutHalf(start), end: heldOutHalf(end) };
  const loss = computeContrast({ first: table.peak, second: table.start }, options);
  if (loss.estimate <= 0 || loss.pValue >= significanceLevel) {
    const difference = `${formatPoints(loss.estimate)} points, ${formatPValue(loss.pValue)}`;
    return {
      recovery: undefined,
      reason: `${names.start} is not clearly below ${names.peak} (${difference})`,
    };
  }
  const rows = table.end.map((isSolved, item) => [
    Number(isSolved) - Number(table.start[item]),
    Number(table.peak[item]) - Number(table.start[item]),
  ]);
  const interval = pairedBootstrap(
    rows,
    ([gain = 0, lost = 0]) => (lost > 0 ? gain / lost : undefined),
    options,
  );
  if (interval.low === undefined) {
    const fraction = `${interval.numUndefined} of the resamples`;
    return { recovery: undefined, reason: `the loss to recover from is too uncertain (none in ${fraction})` };
  }
  const sums = rows.reduce<readonly [number, number]>(
    ([gain, lost], [itemGain = 0, itemLost = 0]) => [gain + itemGain, lost + itemLost],
    [0, 0],
  );
  const { low, high } = interval;
  return { recovery: { estimate: sums[0] / sums[1], low, high, numItems: rows.length } };
}

/** Whether a checkpoint of the SFT chain was made before another one. */
function precedes(earlier: CheckpointOutcome, later: CheckpointOutcome): boolean {
  if (earlier.stage === "base") return later.stage === "sft";
  return earlier.stage === "sft" && later.stage === "sft" && earlier.step < later.step;
}
