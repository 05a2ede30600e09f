/** run: the run folder and the recipe in it: schemas, reading, atomic writing; knows not how things are computed. */
export { parsePlan } from "./edit-plan.ts";
export {
  type FollowRecipe,
  followDefaults,
  type LineageFile,
  parseLineageFile,
} from "./follow-recipe.ts";
export { listRuns } from "./list-runs.ts";
export {
  type AskedTasks,
  type BranchRecipe,
  findTasks,
  importedEnvironment,
  importedTasksName,
  isFollowed,
  listBranches,
  listCheckpointSteps,
  type NewBaseRecipe,
  type OptimizerRecipe,
  parseRecipe,
  type Recipe,
  type RecipeChange,
  type RlRecipe,
  type RunRecipe,
} from "./recipe.ts";
export { evaluationSchema } from "./recipe-fields.ts";
export {
  type CheckpointResult,
  type ItemRecord,
  itemSchema,
  type LineageEntry,
  type RepairAnswers,
  type RunRecord,
  type SpectraRecord,
  type Summary,
  type SummaryHead,
  type SweepRecord,
  schemaVersion,
  type TrajectoryRecord,
} from "./records.ts";
export {
  clearLeftovers,
  createRunFolder,
  isRunFolder,
  type MetricsWriter,
  openRunFolder,
  type RunFolder,
  readSummaryHead,
  watchLockName,
} from "./run-folder.ts";
export { type Grid, milestones, parseSweep, type SweepPlan, sweepSchema } from "./sweep-plan.ts";
