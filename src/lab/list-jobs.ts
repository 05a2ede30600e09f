/** Jobs of this user: listed, cancelled, and tried again. */
import { join } from "node:path";
import { quoteForShell, UsageError } from "../base/index.ts";
import { BusyError, takeLock } from "../file/index.ts";
import {
  closeJob,
  type Executor,
  forgiveJob,
  isOpen,
  type JobFolder,
  type JobOrigin,
  listJobs,
  listPlacedPacks,
  openJob,
  type PackState,
  type PlacedSubmission,
  placeSubmission,
} from "../job/index.ts";
import { chooseJobsFolder, followLockName, openExecutor } from "./carry-out-job.ts";
import type { Effects } from "./effects.ts";

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

/** All jobs, the newest first, by one question to each scheduler; one that does not answer is told of. */
export async function listJobStatus(effects: Pick<Effects, "report">): Promise<readonly JobStatus[]> {
  const jobs = await listJobs(chooseJobsFolder());
  const hosts = [...new Set(jobs.map(({ origin }) => origin.host))];
  const byHost = await Promise.all(
    hosts.map((host) =>
      pollAll(
        jobs.filter(({ origin }) => origin.host === host),
        effects,
      ),
    ),
  );
  const states = new Map(byHost.flatMap((found) => [...found]));
  return await Promise.all(jobs.map((job) => describeStatus(job, states.get(job.id) ?? [])));
}

/** States of what is open at one scheduler, by job. */
async function pollAll(
  jobs: readonly JobFolder[],
  { report }: Pick<Effects, "report">,
): Promise<ReadonlyMap<string, readonly PackState[]>> {
  const open = (await Promise.all(jobs.map(listOpen))).flat();
  const [first] = jobs;
  if (first === undefined || open.length === 0) return new Map();
  let states: Awaited<ReturnType<Executor["poll"]>>;
  try {
    states = await openSlurm(first).poll(open);
  } catch (error) {
    // What is known without the scheduler is worth seeing.
    if (!(error instanceof UsageError)) throw error;
    report({ kind: "notice", text: `${error.message}; what runs and waits there is not known` });
    return new Map();
  }
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
    // Processes of a command that waits here.
    if (await isFollowed(job)) return "running";
    const missing = [...plan.pieces.keys()].filter((piece) => !results.has(piece));
    const failures = await Promise.all(missing.map((piece) => job.readFailure(piece)));
    return failures.some((failure) => failure !== undefined) ? "failed" : "left";
  };
  return {
    id,
    command: ["untwist", ...origin.args.map(quoteForShell)].join(" "),
    at: origin.at,
    numDone: results.size,
    numPieces: plan.pieces.length,
    state: await describe(),
    numRunning,
    numWaiting,
  };
}

async function isFollowed(job: JobFolder): Promise<boolean> {
  try {
    const lock = await takeLock(job.locate(followLockName), "");
    await lock.release();
    return false;
  } catch (error) {
    if (error instanceof BusyError) return true;
    throw error;
  }
}

/** The command that made a job. Throws `UsageError` where there is no such job. */
export async function readJobOrigin(id: string): Promise<JobOrigin> {
  return (await requireJob(id)).origin;
}

/**
 * Cancels a job: nothing of it goes on, and what is done is kept. Gives whether there was anything to cancel. Throws `UsageError`,
 * `UnreachableError`; whoever follows the job ends all the same.
 */
export async function cancelJob(id: string): Promise<boolean> {
  const job = await requireJob(id);
  if ((await job.listResults()).size === job.plan.pieces.length) return false;
  await job.setCancelled(true);
  const open = await listOpen(job);
  if (open.length > 0) await openSlurm(job).cancel(listPlacedPacks(open));
  await closeJob(job);
  return true;
}

/** Forgets why a job failed or was cancelled; the command that made it, which this gives, then does what is missing. */
export async function retryJob(id: string): Promise<JobOrigin> {
  const job = await requireJob(id);
  await forgiveJob(job);
  return job.origin;
}

async function requireJob(id: string): Promise<JobFolder> {
  if (!/^[0-9a-f]{12}$/.test(id))
    throw new UsageError(`Cannot open the job "${id}": give its 12 characters, as untwist jobs lists them`);
  return await openJob(join(chooseJobsFolder(), id));
}

/** Submissions to a scheduler of which not every pack is known to have ended. */
async function listOpen(job: JobFolder): Promise<readonly PlacedSubmission[]> {
  if ((await job.listResults()).size === job.plan.pieces.length) return [];
  const kept = await job.readSubmissions();
  return kept
    .filter((one) => one.executor === "slurm" && isOpen(one))
    .map((one) => placeSubmission(job, one));
}

function openSlurm({ origin: { host } }: JobFolder): Executor {
  return openExecutor({ executor: "slurm", profile: { host, sbatch: [], before: [] } });
}
