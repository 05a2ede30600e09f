/** job: independent pieces of work carried out by other processes, on this machine or a cluster, and followed; knows not what they do. */
export { adoptResults } from "./adopt-results.ts";
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
  createSubmission,
  findJob,
  forgiveJob,
  isOpen,
  type JobFolder,
  type JobOrigin,
  listJobs,
  obtainJob,
  openJob,
  placeSubmission,
  renewJob,
} from "./job-folder.ts";
export { computeJobId, computePieceKey, type JobPlan, type Piece } from "./job-plan.ts";
export { createKubernetesExecutor } from "./kubernetes-executor.ts";
export { createLocalExecutor } from "./local-executor.ts";
export { countWorkBytes } from "./pack-pieces.ts";
export { listHistory, type PlainRule, planGroups } from "./plan-groups.ts";
export { type Profile, parseProfile, parseSize, profileKeys } from "./profile.ts";
export { createSlurmExecutor } from "./slurm-executor.ts";
export { closeJob, settleLeftovers } from "./submit-missing.ts";
