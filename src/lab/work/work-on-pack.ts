/** What a process of an executor does. */
import { hostname } from "node:os";
import { UsageError } from "../../base/core/index.ts";
import type { Effects } from "../../base/progress/index.ts";
import { carryOutPack, type OpenHandler, openJob } from "../../cluster/job/index.ts";
import { jobKinds } from "./job-kinds.ts";

/** Carries out a pack of the job in a folder. Returns the number of pieces that failed. Throws `UsageError` for a kind of another version. */
export async function workOnPack(
  folder: string,
  place: { readonly submission: number; readonly pack: number },
  effects: Effects,
): Promise<number> {
  const open: OpenHandler = async ({ kind, input }) => {
    const handler = new Map(Object.entries(jobKinds)).get(kind);
    if (handler !== undefined) return handler(input, effects);
    throw new UsageError(
      `Cannot carry out a job of kind "${kind}": this version of untwist has none; use the version that made it`,
    );
  };
  const node = effects.machine.variables.SLURMD_NODENAME ?? hostname();
  const log = (text: string): void => effects.report({ kind: "notice", text });
  return await carryOutPack(await openJob(folder), place, { open, log, node });
}
