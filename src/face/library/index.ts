/** The laboratory from code: the package's exports. */

export { UsageError } from "../../base/core/index.ts";
export { StoppedError } from "../../base/progress/index.ts";
export { openRunFolder, type RunFolder, type Summary } from "../../run/index.ts";
export { CheckpointError } from "../../weights/checkpoint/index.ts";
export type { CallOptions } from "./call-options.ts";
export {
  type ComparisonOptions,
  compareCheckpoints,
  type EditOptions,
  type EvaluationOptions,
  editCheckpoint,
  evaluateRun,
  type GradeRequest,
  gradeAnswer,
  type WatchOptions,
  watchRun,
} from "./functions.ts";
