/** Checkpoints and results of other trainers and tools brought into a run folder. */
export { compareWithBase, type FollowedDifference } from "./follow-differences.ts";
export type { FollowRequest } from "./follow-look.ts";
export { describeLineageFile, type FollowedTraining, resolveLineage } from "./follow-plan.ts";
export { type FollowReport, followTrainings } from "./follow-run.ts";
export { type ImportSource, importResults } from "./import-results.ts";
