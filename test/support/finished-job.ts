/** Jobs of spectra that are finished: what others would have left in the cache, computed in this thread. */
import { join } from "node:path";
import type { Effects } from "../../src/base/progress/index.ts";
import { createInlineWorkers } from "../../src/base/threads/workers.ts";
import type { JobOptions } from "../../src/cluster/dispatch/index.ts";
import { parseProfile } from "../../src/cluster/executor/index.ts";
import { type JobFolder, obtainJob } from "../../src/cluster/job/index.ts";
import { compareMatched, type SpectraRequest } from "../../src/lab/comparison/compute-spectra.ts";
import { planSpectraJob } from "../../src/lab/comparison/spectra-job.ts";
import { requirePairs } from "../../src/lab/comparison/spectra-pairs.ts";
import { createSpectraHandler } from "../../src/lab/factor/spectra-task.ts";

const origin = { args: ["spectra"], folder: "/", at: "2026-01-01T00:00:00Z", host: undefined };

/** Where such a job is followed. What is not finished would fail there at once. */
export const finishedPlace: JobOptions = {
  executor: "exec",
  profile: parseProfile(undefined, ["exec=false {command}"]),
  origin,
  mode: "follow",
  intervalMs: 1,
};

type Handler = ReturnType<typeof createSpectraHandler>;

/** One for each cache: they hold open what they have read. */
const handlers = new Map<string, Handler>();

function obtainHandler({ machine }: Effects): Handler {
  const handler = handlers.get(machine.cacheFolder) ?? createSpectraHandler(machine);
  handlers.set(machine.cacheFolder, handler);
  return handler;
}

/** Carries out the job of a request; each piece has the fingerprints of its tensor as its result. */
export async function finishSpectraJob(request: SpectraRequest, effects: Effects): Promise<JobFolder> {
  const plan = await planSpectraJob(request, effects.machine);
  const job = await obtainJob(join(effects.machine.cacheFolder, "jobs"), { plan, origin });
  const workers = createInlineWorkers(obtainHandler(effects));
  const known = await compareMatched(await requirePairs(request), { ...request, effects, workers });
  const { backend, fingerprints, nonFinite } = known;
  for (const [index, { name }] of plan.pieces.entries()) {
    const own = <Value>(all: ReadonlyMap<string, Value>): Readonly<Record<string, Value>> =>
      Object.fromEntries([...all].filter(([key]) => key.split("\n")[1] === name));
    await job.keepResult(index, { backend, fingerprints: own(fingerprints), nonFinite: own(nonFinite) });
  }
  return job;
}
