/** statistics: intervals, paired tests and summaries of plain numbers. Knows nothing of models or tasks. */
export { binomialUpperTail } from "./binomial.ts";
export { formatPoints, formatPValue, formatShare } from "./format.ts";
export { type Histogram, type HistogramOptions, histogram } from "./histogram.ts";
export { holm } from "./holm.ts";
export { type DiscordantCounts, mcnemarExact } from "./mcnemar-exact.ts";
export { findDetectableLoss, type LossSearch } from "./mcnemar-power.ts";
export { type Moments, moments } from "./moments.ts";
export {
  type BootstrapInterval,
  type BootstrapOptions,
  type BootstrapStatistic,
  pairedBootstrap,
} from "./paired-bootstrap.ts";
export { quantile } from "./quantile.ts";
export { shannonEntropy } from "./shannon-entropy.ts";
export { type Interval, type Tally, toShare, wilsonInterval } from "./wilson-interval.ts";
