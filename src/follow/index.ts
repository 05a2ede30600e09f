/** follow: folders of checkpoints as trainers leave them: what is whole, in which order, and what was logged. */
export { encodeEvents, type ScalarEvent } from "./events.ts";
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
