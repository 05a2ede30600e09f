/** Folders of checkpoints as trainers leave them: which are complete, in which order, and the logs. */
export {
  type FolderWords,
  type FoundCheckpoint,
  type FoundTraining,
  findTrainings,
  NothingToFollowError,
  type UnusedCheckpoint,
} from "./find-trainings.ts";
export { mergeTrainings } from "./merge-trainings.ts";
export { hashWeights, stampFiles, stampWeights } from "./stamp.ts";
export { toMetrics } from "./trainer-log.ts";
