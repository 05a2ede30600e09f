/** Intervals, paired tests and summaries of plain numbers. */
export { binomialUpperTail } from "./binomial.ts";
export { normalTail, studentQuantile } from "./distributions.ts";
export { formatInterval, formatPoints, formatPValue, formatShare } from "./format.ts";
export { fiellerInterval, groupedMean } from "./grouped-mean.ts";
export { histogram } from "./histogram.ts";
export { mcnemarExact, mcnemarMidP } from "./mcnemar.ts";
export { findDetectableLoss, findNumItems } from "./mcnemar-power.ts";
export { moments } from "./moments.ts";
export { normalQuantile } from "./normal-quantile.ts";
export { quantile } from "./quantile.ts";
export { shannonEntropy } from "./shannon-entropy.ts";
export { flipSigns, type LargestByChance, type SignDraws, scoreStatistic } from "./sign-flips.ts";
export { tangoInterval } from "./tango-interval.ts";
export { type Interval, type Tally, toShare, wilsonInterval } from "./wilson-interval.ts";
