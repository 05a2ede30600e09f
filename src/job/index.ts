/** job: independent pieces of work carried out by other processes, on this machine or a cluster, and followed; knows not what they do. */
export { carryOutPack, type OpenHandler, type PieceHandler, type PieceShare } from "./carry-out-pack.ts";
export { createExecExecutor } from "./exec-executor.ts";
export {
  type Executor,
  type ExecutorName,
  executorNames,
  isDetached,
  listPlacedPacks,
  type PackState,
  type PlacedSubmission,
} from "./executor.ts";
export { DetachedError, followJob, type JobProgress } from "./follow-job.ts";
export {
  findJob,
  forgiveJob,
  isOpen,
  type JobFolder,
  type JobOrigin,
  listJobs,
  obtainJob,
  openJob,
  placeSubmission,
} from "./job-folder.ts";
export { computeJobId, type JobPlan, type Piece } from "./job-plan.ts";
export { createKubernetesExecutor } from "./kubernetes-executor.ts";
export { createLocalExecutor } from "./local-executor.ts";
export { countWorkBytes, type Learned, type PackRule, packPieces } from "./pack-pieces.ts";
export { type Profile, parseProfile, parseSize, profileKeys } from "./profile.ts";
export { createSlurmExecutor } from "./slurm-executor.ts";
export { closeJob } from "./submit-missing.ts";
