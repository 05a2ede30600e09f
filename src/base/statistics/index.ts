/** Intervals, paired tests and summaries of plain numbers. */
export { binomialUpperTail } from "./binomial.ts";
export { formatPoints, formatPValue, formatShare } from "./format.ts";
export { histogram } from "./histogram.ts";
export { holm } from "./holm.ts";
export { mcnemarExact } from "./mcnemar-exact.ts";
export { findDetectableLoss } from "./mcnemar-power.ts";
export { moments } from "./moments.ts";
export { type BootstrapOptions, pairedBootstrap } from "./paired-bootstrap.ts";
export { quantile } from "./quantile.ts";
export { shannonEntropy } from "./shannon-entropy.ts";
export { type Tally, toShare, wilsonInterval } from "./wilson-interval.ts";
