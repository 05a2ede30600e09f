/** The difference in accuracy of two checkpoints on the same items. */
import { type BootstrapOptions, mcnemarExact, pairedBootstrap } from "../../base/statistics/index.ts";
import type { Solved } from "./checkpoint-outcome.ts";

/** A paired difference in accuracy, first − second, in [−1, 1]. */
export interface Contrast {
  readonly estimate: number;
  /** Ends of the percentile interval. */
  readonly low: number;
  readonly high: number;
  /** Two-sided exact McNemar p-value of "no difference". */
  readonly pValue: number;
  readonly numItems: number;
  /** Items that only the first checkpoint solved, or that it answered right more often. */
  readonly onlyFirst: number;
  /** Items that only the second checkpoint solved, or that it answered right more often. */
  readonly onlySecond: number;
}

/** The same items, solved or not, by the two checkpoints to compare. */
export interface SolvedPair {
  readonly first: readonly Solved[];
  readonly second: readonly Solved[];
}

/** Differences with a p-value from here on are called not significant. */
export const significanceLevel = 0.05;

/**
 * The mean difference of a pair of equally long tables: interval by paired bootstrap over items (Efron 1979), p-value by the exact
 * McNemar test (1947), which for items answered several times is the sign test of their means. The two can disagree at the margin.
 */
export function computeContrast({ first, second }: SolvedPair, options: BootstrapOptions): Contrast {
  const differences = first.map((isSolved, item) => Number(isSolved) - Number(second[item] ?? false));
  const onlyFirst = differences.filter((difference) => difference > 0).length;
  const onlySecond = differences.filter((difference) => difference < 0).length;
  const estimate = differences.reduce((sum, difference) => sum + difference, 0) / differences.length;
  const interval = pairedBootstrap(
    differences.map((difference) => [difference]),
    ([mean]) => mean,
    options,
  );
  const { low = estimate, high = estimate } = interval;
  return {
    estimate,
    low,
    high,
    pValue: mcnemarExact({ onlyFirst, onlySecond }),
    numItems: differences.length,
    onlyFirst,
    onlySecond,
  };
}
