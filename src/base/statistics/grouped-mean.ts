/** Means of numbers that come in groups, whose members may be alike; and the ratio of two such means. */
import { studentQuantile, studentTail } from "./distributions.ts";
import type { Interval } from "./wilson-interval.ts";

/** A mean as a test sees it. */
export interface GroupedMean {
  /** The mean over all items. */
  readonly mean: number;
  /** Differences that a test with that critical value of |t| does not reject: around a mean drawn toward 0 by half a group on each side. */
  bound(critical: number): Interval;
  /** The two-sided p-value of "the mean is 0", in (0, 1]. */
  readonly pValue: number;
  /** Groups − 1, at least 1: the degrees of freedom of t. */
  readonly degrees: number;
}

/** Sums and sizes by group; an item alone is a group of one. */
export interface GroupSums {
  readonly sums: readonly number[];
  readonly sizes: readonly number[];
}

/** Half of a group more on each side, so that no variance is 0: Bonett and Price's adjustment, for numbers in [−1, 1] in groups. */
const addedShare = 0.5;

/** Weight of what is added on each side: a share of the group that an item is in on average. */
function addedWeight(sizes: readonly number[]): number {
  const numItems = total(sizes);
  return (addedShare * total(sizes.map((size) => size ** 2))) / numItems;
}

/**
 * The mean of numbers in [−1, 1], differences in accuracy above all, whose groups are independent while the members of one may be
 * alike: the variance is that of group sums (Liang and Zeger 1986), with half of a group of +1 and half of one of −1 added
 * (Bonett and Price, "Adjusted Wald confidence interval for a difference of binomial proportions based on paired data", Journal of
 * Educational and Behavioral Statistics 2012), by Student's t with groups − 1 degrees of freedom. Throws `RangeError` without groups.
 */
export function groupedMean({ sums, sizes }: GroupSums): GroupedMean {
  const numGroups = sums.length;
  if (numGroups === 0) throw new RangeError("Cannot take the mean of no groups");
  const added = addedWeight(sizes);
  const weight = total(sizes) + 2 * added;
  const center = total(sums) / weight;
  const squares =
    total(sums.map((sum, group) => (sum - (sizes[group] ?? 0) * center) ** 2)) +
    added ** 2 * ((1 - center) ** 2 + (1 + center) ** 2);
  const error = Math.sqrt((squares * (numGroups + 2)) / (numGroups + 1)) / weight;
  const degrees = Math.max(1, numGroups - 1);
  return {
    mean: total(sums) / total(sizes),
    bound: (critical) => ({
      low: Math.max(-1, center - critical * error),
      high: Math.min(1, center + critical * error),
    }),
    pValue: Math.min(1, 2 * studentTail(Math.abs(center) / error, degrees)),
    degrees,
  };
}

/** Two numbers of each item, summed by group. */
export interface RatioSums {
  readonly numerators: readonly number[];
  readonly denominators: readonly number[];
  readonly sizes: readonly number[];
}

/**
 * The ratios of the mean numerator to the mean denominator that a test at `confidence` does not reject, or `undefined` where they are no
 * interval: then the denominator may be 0. With half of a group of ±1 added to either. Throws as `groupedMean`.
 * Fieller, "Some problems in interval estimation", Journal of the Royal Statistical Society B 1954.
 */
export function fiellerInterval(
  { numerators, denominators, sizes }: RatioSums,
  confidence: number,
): Interval | undefined {
  const numGroups = sizes.length;
  if (numGroups === 0) throw new RangeError("Cannot take the ratio of no groups");
  const added = addedWeight(sizes);
  const weight = total(sizes) + 4 * added;
  const [numerator, denominator] = [total(numerators), total(denominators)];
  const covary = (first: readonly number[], second: readonly number[]): number => {
    const [a, b] = [total(first) / weight, total(second) / weight];
    return total(
      sizes.map((size, group) => ((first[group] ?? 0) - size * a) * ((second[group] ?? 0) - size * b)),
    );
  };
  const square = studentQuantile(0.5 + confidence / 2, Math.max(1, numGroups - 1)) ** 2;
  const extra = 2 * added ** 2;
  const a = denominator ** 2 - square * (covary(denominators, denominators) + extra);
  const b = numerator * denominator - square * covary(numerators, denominators);
  const c = numerator ** 2 - square * (covary(numerators, numerators) + extra);
  if (a <= 0) return undefined;
  const root = Math.sqrt(Math.max(0, b * b - a * c));
  return { low: (b - root) / a, high: (b + root) / a };
}

function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}
