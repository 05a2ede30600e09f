/** Jobs of this user: listed, cancelled, and tried again. */

import { join } from "node:path";
import { action, describeError, quoteForShell, UsageError } from "../../base/core/index.ts";
import { findHolder } from "../../base/file/index.ts";
import type { Machine } from "../../base/machine/index.ts";
import type { Effects } from "../../base/progress/index.ts";
import {
  type Executor,
  isDetached,
  listPlacedPacks,
  type PackState,
  type PlacedSubmission,
  parseProfile,
} from "../executor/index.ts";
import {
  closeJob,
  forgiveJob,
  isOpen,
  type JobFolder,
  type JobOrigin,
  listHistory,
  listJobs,
  openJob,
  placeSubmission,
} from "../job/index.ts";
import { followLockName } from "./carry-out-job.ts";
import { locateJobs } from "./job-options.ts";
import { openExecutor } from "./open-executor.ts";

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
export async function listJobStatus(
  effects: Pick<Effects, "report" | "machine">,
): Promise<readonly JobStatus[]> {
  const jobs = await listJobs(locateJobs(effects.machine), (text) =>
    effects.report({ kind: "notice", text }),
  );
  const asked = await Promise.all(
    (await listOpenWork(jobs, effects.machine)).map((work) => pollWork(work, effects)),
  );
  const states = asked.flat();
  return await Promise.all(
    jobs.map((job) => {
      const own = states.flatMap(({ submission, packs }) => (submission.job === job.id ? packs : []));
      return describeStatus(job, own);
    }),
  );
}

/** How the packs of submissions stand, by one question; nothing where the scheduler does not answer. */
async function pollWork(
  { executor, submissions }: OpenWork,
  { report }: Pick<Effects, "report">,
): Promise<readonly { readonly submission: PlacedSubmission; readonly packs: readonly PackState[] }[]> {
  try {
    const states = await executor.poll(submissions);
    return submissions.map((submission, index) => ({ submission, packs: states[index] ?? [] }));
  } catch (error) {
    // What is known without the scheduler is worth seeing.
    if (!(error instanceof UsageError)) throw error;
    report({ kind: "notice", text: `${describeError(error)}; what runs and waits there is not known` });
    return [];
  }
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
    if ((await findHolder(job.locate(followLockName))) !== undefined) return "running";
    const missing = [...plan.pieces.keys()].filter((piece) => !results.has(piece));
    const history = listHistory(await job.readSubmissions());
    const failures = await Promise.all(missing.map((piece) => job.readFailure(piece)));
    const hasFailed = missing.some((piece) => (history.get(piece)?.counted.length ?? 0) > 0);
    return hasFailed || failures.some((failure) => failure !== undefined) ? "failed" : "left";
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

/** The command that made a job. Throws `UsageError` where there is no such job. */
export async function readJobOrigin(id: string, machine: Machine): Promise<JobOrigin> {
  return (await requireJob(id, machine)).origin;
}

/**
 * Cancels a job: nothing of it goes on, and what is done is kept. Returns the commands that are left to a person, `undefined` where
 * there is nothing to cancel. Whoever follows the job ends. Throws `UsageError` where a scheduler cannot be told: then it goes on.
 */
export async function cancelJob(id: string, machine: Machine): Promise<readonly string[] | undefined> {
  const job = await requireJob(id, machine);
  if ((await job.listResults()).size === job.plan.pieces.length) return undefined;
  const work = await listOpenWork([job], machine);
  // One that does not answer cannot be told: then nothing is said to be cancelled either.
  for (const { executor, submissions } of work) await askOrRefuse(() => executor.poll(submissions));
  await job.setCancelled(true);
  try {
    for (const { executor, submissions } of work)
      await askOrRefuse(() => executor.cancel(listPlacedPacks(submissions)));
  } catch (error) {
    await job.setCancelled(false);
    throw error;
  }
  await closeJob(job);
  return work.flatMap(({ executor, submissions }) =>
    submissions.flatMap((one) => executor.byHand?.end(one) ?? []),
  );
}

async function askOrRefuse(ask: () => Promise<unknown>): Promise<void> {
  try {
    await ask();
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(`${describeError(error)}; the job continues: cancel it again once that is fixed`, {
      cause: error,
    });
  }
}

/** Forgets why a job failed or was cancelled; the command that made it, which this gives, then does what is missing. */
export async function retryJob(id: string, machine: Machine): Promise<JobOrigin> {
  const job = await requireJob(id, machine);
  await forgiveJob(job);
  return job.origin;
}

async function requireJob(id: string, machine: Machine): Promise<JobFolder> {
  if (!/^[0-9a-f]{12}$/.test(id))
    throw new UsageError(
      `Cannot open the job "${id}": give its 12 characters, as ${action("list jobs")} lists them`,
    );
  return await openJob(join(locateJobs(machine), id));
}

/** Submissions to one scheduler of which not every pack is known to have ended. */
interface OpenWork {
  readonly executor: Executor;
  readonly submissions: readonly PlacedSubmission[];
}

/** What of jobs goes on without the process that handed it over, by scheduler. */
async function listOpenWork(jobs: readonly JobFolder[], machine: Machine): Promise<readonly OpenWork[]> {
  const work = new Map<string, OpenWork>();
  for (const job of jobs) {
    if ((await job.listResults()).size === job.plan.pieces.length) continue;
    const { host } = job.origin;
    for (const one of (await job.readSubmissions()).filter(isOpen)) {
      if (!isDetached(one.executor)) continue;
      const key = `${one.executor} ${host}`;
      const profile = { ...parseProfile(undefined, []), host };
      const { executor = openExecutor({ executor: one.executor, profile }, machine), submissions = [] } =
        work.get(key) ?? {};
      work.set(key, { executor, submissions: [...submissions, placeSubmission(job, one)] });
    }
  }
  return [...work.values()];
}
