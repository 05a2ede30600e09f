/** Jobs submitted, followed, listed, canceled and retried. */
export { carryOutJob, HandedOverError } from "./carry-out-job.ts";
export type { JobOptions } from "./job-options.ts";
export { cancelJob, type JobStatus, listJobStatus, readJobOrigin, retryJob } from "./list-jobs.ts";
