/** lab: recipes carried out; the only room that knows all the others below it. Knows neither terminals nor HTTP. */

export { showAddress } from "./alert-hooks.ts";
export { askServed } from "./ask-checkpoint.ts";
export {
  askEndpoint,
  countSplits,
  type EndpointChoice,
  type EndpointEvaluation,
  type Usage,
} from "./ask-endpoint.ts";
export { openBackend } from "./backend.ts";
export { defaultRecipe, listBuiltinRecipes, loadRecipe, locateModel } from "./builtin.ts";
export { chooseCacheFolder } from "./cache-folder.ts";
export { type CacheUse, cacheKinds, measureCache, pruneCache } from "./cache-use.ts";
export { HandedOverError } from "./carry-out-job.ts";
export { chooseTasks } from "./choose-tasks.ts";
export { type ModelOutline, outlineModel } from "./describe-model.ts";
export {
  type EditForm,
  type EditReport,
  editCheckpoint,
  editForms,
  type TensorReport,
} from "./edit-checkpoint.ts";
export { type Effects, type LabEvent, type StageOutline, StoppedError } from "./effects.ts";
export { createEstimator, type Estimator } from "./estimate.ts";
export { evaluateModel, type ModelEvaluation } from "./evaluate-model.ts";
export { type EvaluatedRun, type EvaluationWay, evaluateRun, type TaskChoice } from "./evaluate-run.ts";
export { exportForms, exportResults } from "./export-results.ts";
export { compareWithBase, type FollowedDifference } from "./follow-differences.ts";
export { describeLineageFile, type FollowedTraining, resolveLineage } from "./follow-plan.ts";
export { type FollowReport, followTrainings } from "./follow-run.ts";
export { type ImportSource, importResults } from "./import-results.ts";
export type { JobPlace } from "./job-place.ts";
export { cancelJob, type JobStatus, listJobStatus, readJobOrigin, retryJob } from "./list-jobs.ts";
export { readOverlaps } from "./overlaps.ts";
export { type EditPreview, previewEdit } from "./preview-edit.ts";
export { examineRun, type FinishedRun, renewSpectra, resumeRun, startRun, sweepRun } from "./run-recipe.ts";
export { compareCheckpoints, defaultRanks, type SpectraChoice, writeSpectra } from "./run-spectra.ts";
export { rankRunSignals } from "./signals.ts";
export { summarize } from "./summarize.ts";
export { chooseNumThreads } from "./threads.ts";
export { listVersions } from "./versions.ts";
export { watchRun } from "./watch-run.ts";
export type { WatchedTraining, WatchState } from "./watch-state.ts";
export { workOnPack } from "./work-on-pack.ts";
