/** Locks: a file that says which process is at work in a folder, so that no second one interferes. */
import { link, readFile, unlink, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { UsageError } from "../base/index.ts";
import { createFolder } from "./folder.ts";
import { describePathProblem, hasCode } from "./path-problem.ts";
import { createTemporaryPath } from "./temporary-name.ts";

/** Another process is at work: it may be done in a moment. */
export class BusyError extends UsageError {
  override readonly name = "BusyError";
}

/** A lock that this process holds. */
export interface Lock {
  /** Gives it back. */
  release(): Promise<void>;
}

/**
 * Takes the lock at `path`. Throws `BusyError` naming `what` where a process that is still alive holds it; the lock
 * of one that died is taken over. Processes on other machines are not seen.
 */
export async function takeLock(path: string, what: string): Promise<Lock> {
  if (await placeLock(path)) return { release: () => unlink(path) };
  const holder = Number(await readFile(path, "utf8"));
  if (isAlive(holder) && holder !== process.pid)
    throw new BusyError(
      `Cannot work on ${what}: process ${holder} is at it; wait for it or stop it, or delete ${path} if that process is no untwist`,
    );
  await unlink(path);
  return takeLock(path, what);
}

/** Puts a lock at `path` in one step, name and content together; false where there is one. */
async function placeLock(path: string): Promise<boolean> {
  const temporary = createTemporaryPath(path);
  await createFolder(dirname(path)).catch((error: unknown): never => {
    throw describePathProblem(`Cannot write "${path}"`, error);
  });
  await writeFile(temporary, String(process.pid)).catch((error: unknown): never => {
    throw describePathProblem(`Cannot write "${path}"`, error);
  });
  try {
    await link(temporary, path);
    return true;
  } catch (error) {
    if (hasCode(error, ["EEXIST"])) return false;
    throw error;
  } finally {
    await unlink(temporary);
  }
}

function isAlive(processId: number): boolean {
  if (!Number.isSafeInteger(processId) || processId <= 0) return false;
  try {
    return process.kill(processId, 0);
  } catch (error) {
    // A process of another user answers "not permitted": it is alive all the same.
    return hasCode(error, ["EPERM"]);
  }
}
