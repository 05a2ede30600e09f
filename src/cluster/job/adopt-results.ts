/** Results of other jobs taken over: what a job has in common with an earlier one is not done again. */
import { z } from "zod";
import { type JobFolder, listJobs } from "./job-folder.ts";

/** Keeps, for pieces without a result, those that other jobs of `home` have under the same kind and key. Returns how many. */
export async function adoptResults(home: string, job: JobFolder): Promise<number> {
  const results = await job.listResults();
  const wanted = new Map(
    job.plan.pieces.flatMap(({ key }, piece) =>
      key === undefined || results.has(piece) ? [] : [[key, piece] as const],
    ),
  );
  const numWanted = wanted.size;
  if (numWanted === 0) return 0;
  // One that cannot be read has nothing to adopt; the list of jobs says so.
  for (const other of await listJobs(home, () => undefined)) {
    if (other.id === job.id || other.plan.kind !== job.plan.kind) continue;
    for (const piece of await other.listResults()) {
      const key = other.plan.pieces[piece]?.key ?? "";
      const own = wanted.get(key);
      if (own === undefined) continue;
      await job.keepResult(own, await other.readResult(piece, z.unknown()));
      wanted.delete(key);
    }
  }
  return numWanted - wanted.size;
}
