/** One process at a time works on a run. */
import { takeLock } from "../file/index.ts";
import type { RunFolder } from "../run/index.ts";

/** Does `work` while no other process may work on the run. Throws `UsageError` where one does. */
export async function withLock<Result>(
  folder: Pick<RunFolder, "path" | "locate">,
  work: () => Promise<Result>,
): Promise<Result> {
  const lock = await takeLock(folder.locate("run.lock"), `the run "${folder.path}"`);
  try {
    return await work();
  } finally {
    await lock.release();
  }
}
