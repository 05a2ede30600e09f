/** Jobs of this user: listed, cancelled, and tried again. */
import { join } from "node:path";
import { UsageError } from "../base/index.ts";
import {
  type Executor,
  forgiveJob,
  type JobFolder,
  type JobOrigin,
  listJobs,
  listPlacedPacks,
  openJob,
  type PackState,
  type PlacedSubmission,
  placeSubmission,
} from "../job/index.ts";
import { chooseJobsFolder, openExecutor } from "./carry-out-job.ts";

/** What there is to know of a job at a glance. */
export interface JobStatus {
  readonly id: string;
  /** The command that made it. */
  readonly command: string;
  /** When it was given, in ISO 8601. */
  readonly at: string;
  readonly numDone: number;
  readonly numPieces: number;
  /** `left`: nothing runs or waits any more, and not all is done. */
  readonly state: "done" | "cancelled" | "running" | "waiting" | "failed" | "left";
  readonly numRunning: number;
  readonly numWaiting: number;
}

/** All jobs, the newest first, by one question to each scheduler. Throws `UnreachableError`. */
export async function listJobStatus(): Promise<readonly JobStatus[]> {
  const jobs = await listJobs(chooseJobsFolder());
  const hosts = [...new Set(jobs.map(({ origin }) => origin.host))];
  const byHost = await Promise.all(
    hosts.map((host) => pollAll(jobs.filter(({ origin }) => origin.host === host))),
  );
  const states = new Map(byHost.flatMap((found) => [...found]));
  return await Promise.all(jobs.map((job) => describeStatus(job, states.get(job.id) ?? [])));
}

/** States of what is open at one scheduler, by job. */
async function pollAll(jobs: readonly JobFolder[]): Promise<ReadonlyMap<string, readonly PackState[]>> {
  const open = (await Promise.all(jobs.map(listOpen))).flat();
  const [first] = jobs;
  if (first === undefined || open.length === 0) return new Map();
  const states = await openSlurm(first).poll(open);
  return new Map(
    jobs.map(({ id }) => [id, states.flatMap((found, index) => (open[index]?.job === id ? found : []))]),
  );
}

async function describeStatus(job: JobFolder, states: readonly PackState[]): Promise<JobStatus> {
  const { id, origin, plan } = job;
  const results = await job.listResults();
  const count = (kind: PackState["kind"]): number => states.filter((state) => state.kind === kind).length;
  const [numRunning, numWaiting] = [count("running"), count("waiting")];
  const describe = async (): Promise<JobStatus["state"]> => {
    if (results.size === plan.pieces.length) return "done";
    if (await job.isCancelled()) return "cancelled";
    if (numRunning > 0) return "running";
    if (numWaiting > 0) return "waiting";
    const missing = [...plan.pieces.keys()].filter((piece) => !results.has(piece));
    const failures = await Promise.all(missing.map((piece) => job.readFailure(piece)));
    return failures.some((failure) => failure !== undefined) ? "failed" : "left";
  };
  return {
    id,
    command: ["untwist", ...origin.args].join(" "),
    at: origin.at,
    numDone: results.size,
    numPieces: plan.pieces.length,
    state: await describe(),
    numRunning,
    numWaiting,
  };
}

/** The command that made a job. Throws `UsageError` where there is no such job. */
export async function readJobOrigin(id: string): Promise<JobOrigin> {
  return (await findJob(id)).origin;
}

/** Cancels a job: nothing of it goes on, and what is done is kept. Throws `UsageError`, `UnreachableError`. */
export async function cancelJob(id: string): Promise<void> {
  const job = await findJob(id);
  await job.setCancelled(true);
  const open = await listOpen(job);
  if (open.length > 0) await openSlurm(job).cancel(listPlacedPacks(open));
}

/** Forgets why a job failed or was cancelled; the command that made it, which this gives, then does what is missing. */
export async function retryJob(id: string): Promise<JobOrigin> {
  const job = await findJob(id);
  await forgiveJob(job);
  return job.origin;
}

async function findJob(id: string): Promise<JobFolder> {
  if (!/^[0-9a-f]{12}$/.test(id))
    throw new UsageError(`Cannot open the job "${id}": give its 12 characters, as untwist jobs lists them`);
  return await openJob(join(chooseJobsFolder(), id));
}

/** Submissions to a scheduler of which not every pack is known to have ended. */
async function listOpen(job: JobFolder): Promise<readonly PlacedSubmission[]> {
  const kept = await job.readSubmissions();
  return kept
    .filter(({ executor, packs, ended }) => executor === "slurm" && Object.keys(ended).length < packs.length)
    .map((one) => placeSubmission(job, one));
}

function openSlurm({ origin: { host } }: JobFolder): Executor {
  return openExecutor({ executor: "slurm", profile: { host, sbatch: [], before: [] } });
}
