/** The run folder: its recipe, records, reading, writing and resuming. */
export { baseCheckpoint, checkpointPath } from "./checkpoint-name.ts";
export { isPresent } from "./is-present.ts";
export { listRuns } from "./list-runs.ts";
export { operationSchema, parsePlan } from "./recipe/edit-plan.ts";
export {
  type FollowRecipe,
  followDefaults,
  type LineageFile,
  parseLineageFile,
} from "./recipe/follow-recipe.ts";
export {
  type AskedTasks,
  type BranchRecipe,
  findTasks,
  importedEnvironment,
  importedTasksName,
  isFollowed,
  listBranches,
  listCheckpointSteps,
  type OptimizerRecipe,
  parseRecipe,
  type Recipe,
  type RecipeChange,
  type RlRecipe,
} from "./recipe/recipe.ts";
export { evaluationLimits, evaluationSchema } from "./recipe/recipe-fields.ts";
export { type Grid, milestones, parseRepairGrid, type RepairGrid } from "./recipe/repair-grid.ts";
export {
  type CheckpointResult,
  type ItemRecord,
  itemSchema,
  type LineageEntry,
  type RepairAnswers,
  type RepairRecord,
  type SpectraRecord,
  type Summary,
  schemaVersion,
  type TrajectoryRecord,
} from "./records.ts";
export { requireNewBase, requireTasks, requireTrained } from "./require-recipe.ts";
export {
  clearLeftovers,
  createRunFolder,
  openRunFolder,
  type RunFolder,
  watchLockName,
} from "./run-folder.ts";
export { withLock } from "./run-lock.ts";
export { isRunFolder, readRunOutline, readSummaryOutline, type SummaryOutline } from "./run-outline.ts";
export { statisticsVersion } from "./statistics-version.ts";
