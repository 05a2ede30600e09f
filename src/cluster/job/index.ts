/** Independent pieces of work that other processes carry out, followed to the last result. */
export { adoptResults } from "./adopt-results.ts";
export { carryOutPack, type OpenHandler, type PieceHandler } from "./carry-out-pack.ts";
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
export { computeJobId, computePieceKey, type JobPlan, type Piece, parseJobInput } from "./job-plan.ts";
export { countWorkBytes } from "./pack-pieces.ts";
export { listHistory, type PlainRule, planGroups } from "./plan-groups.ts";
export { closeJob, settleLeftovers } from "./submit-missing.ts";
