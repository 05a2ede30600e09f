/** One process at a time works on a run. */
import { takeLock } from "../base/file/index.ts";
import type { RunFolder } from "./run-folder.ts";

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
