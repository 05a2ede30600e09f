/** The difference in accuracy of two checkpoints on the same items. */
import {
  flipSigns,
  groupedMean,
  type Interval,
  mcnemarMidP,
  normalQuantile,
  normalTail,
  type SignDraws,
  scoreStatistic,
  studentQuantile,
  tangoInterval,
} from "../../base/statistics/index.ts";
import type { Answers, Solved } from "./checkpoint-outcome.ts";

/** A paired difference in accuracy, first − second, in [−1, 1]. */
export interface Contrast {
  readonly estimate: number;
  /** Ends of the 95 % interval, which holds 0 just where `pValue` is not below 0.05. */
  readonly low: number;
  readonly high: number;
  /** Two-sided p-value of "no difference". */
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
  /** What each item belongs to; absent: itself. */
  readonly keys?: readonly string[] | undefined;
}

/** The pair of two checkpoints' answers to the same items. */
export function pairAnswers(first: Answers, second: Answers): SolvedPair {
  return { first: first.solved, second: second.solved, keys: first.keys };
}

/** Differences with a p-value from here on are called not significant. */
export const significanceLevel = 0.05;

/** What |z| exceeds by chance with that probability. */
export const criticalValue: number = normalQuantile(1 - significanceLevel / 2);

/** Differences of a pair, item by item and by group. */
export interface Differences {
  readonly items: readonly number[];
  readonly groups: { readonly sums: readonly number[]; readonly sizes: readonly number[] };
  /** Whether every item stands for itself and was answered once. */
  readonly isPlain: boolean;
}

/** The differences first − second. */
export function takeDifferences({ first, second, keys }: SolvedPair): Differences {
  const items = first.map((isSolved, item) => Number(isSolved) - Number(second[item] ?? false));
  const groups = keys === undefined ? aloneOf(items) : sumByKey(items, keys);
  const isPlain = groups.sums.length === items.length && items.every(Number.isInteger);
  return { items, groups, isPlain };
}

function aloneOf(items: readonly number[]): Differences["groups"] {
  return { sums: items, sizes: items.map(() => 1) };
}

/** Sums and sizes by key, in the order in which keys come first. */
export function sumByKey(items: readonly number[], keys: readonly string[]): Differences["groups"] {
  const groups = new Map<string, { sum: number; size: number }>();
  for (const [item, value] of items.entries()) {
    const key = keys[item] ?? "";
    const group = groups.get(key) ?? { sum: 0, size: 0 };
    groups.set(key, { sum: group.sum + value, size: group.size + 1 });
  }
  const all = [...groups.values()];
  return { sums: all.map(({ sum }) => sum), sizes: all.map(({ size }) => size) };
}

/** The mean differences that a test with that critical value of |z| does not reject. */
export function boundDifference({ items, groups, isPlain }: Differences, critical: number): Interval {
  if (isPlain) return tangoInterval({ ...countSigns(items), numItems: items.length }, critical);
  const { bound, degrees } = groupedMean(groups);
  return bound(studentQuantile(Math.min(1 - normalTail(critical), largestProbability), degrees));
}

/** Beyond it, a quantile is as good as infinite. */
const largestProbability = 1 - 1e-12;

function countSigns(items: readonly number[]): { readonly onlyFirst: number; readonly onlySecond: number } {
  return {
    onlyFirst: items.filter((difference) => difference > 0).length,
    onlySecond: items.filter((difference) => difference < 0).length,
  };
}

/**
 * The mean difference of a pair of equally long tables. Items that stand for themselves and were answered once: Tango's score interval
 * (1998) and the mid-p McNemar test. Items in groups, or answered several times: the mean over groups with half a group added on
 * each side, by Student's t. Interval and p-value never disagree: where they would, each is given its more careful value.
 */
export function computeContrast(pair: SolvedPair): Contrast {
  const differences = takeDifferences(pair);
  return describeContrast(differences, {
    ...boundDifference(differences, criticalValue),
    pValue: testDifference(differences),
  });
}

function testDifference({ items, groups, isPlain }: Differences): number {
  return isPlain ? mcnemarMidP(countSigns(items)) : groupedMean(groups).pValue;
}

/** The contrast with that interval and p-value, once these agree. */
export function describeContrast(
  { items }: Pick<Differences, "items">,
  { low, high, pValue }: Interval & { readonly pValue: number },
): Contrast {
  const isFound = pValue < significanceLevel && (low > 0 || high < 0);
  return {
    estimate: items.reduce((sum, difference) => sum + difference, 0) / items.length,
    ...(isFound
      ? { low, high, pValue }
      : { low: Math.min(low, 0), high: Math.max(high, 0), pValue: Math.max(pValue, significanceLevel) }),
    numItems: items.length,
    ...countSigns(items),
  };
}

/**
 * Contrasts of one family, over the same items and keys: the chance of any false finding among them is below 5 %, and all intervals
 * hold at once with 95 % (single-step max-T over random signs, the critical value put into each interval).
 */
export function computeFamily(pairs: readonly SolvedPair[], draws: SignDraws): readonly Contrast[] {
  const all = pairs.map(takeDifferences);
  const columns = all.map(({ groups }) => groups.sums);
  const byChance = flipSigns(columns, { ...draws, isOneSided: false });
  const critical = Math.max(criticalValue, byChance.critical(significanceLevel));
  return all.map((differences) =>
    describeContrast(differences, {
      ...boundDifference(differences, critical),
      pValue: Math.max(
        testDifference(differences),
        byChance.pValue(Math.abs(scoreStatistic(differences.groups.sums))),
      ),
    }),
  );
}
