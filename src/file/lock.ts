/** Locks: a file that says which process is at work in a folder, so that no second one interferes. */
import { link, readFile, rm, unlink, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
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
 * of one that died is taken over. One on another machine counts as alive: it cannot be seen from here.
 */
export async function takeLock(path: string, what: string): Promise<Lock> {
  if (await placeLock(path)) return { release: () => rm(path, { force: true }) };
  const holder = await findHolder(path);
  if (holder !== undefined)
    throw new BusyError(
      `Cannot work on ${what}: ${holder} is at it; wait for it or stop it, or delete ${path} if that process is no untwist`,
    );
  await rm(path, { force: true });
  return takeLock(path, what);
}

/** Who holds the lock at `path`, in words; `undefined` where nobody does that could still be alive. */
export async function findHolder(path: string): Promise<string | undefined> {
  const text = await readFile(path, "utf8").catch(() => "");
  const [, id = "", host] = /^(\d+) (.+)$/.exec(text) ?? [];
  const isHere = host === hostname();
  if (host === undefined || (isHere && (Number(id) === process.pid || !isAlive(Number(id)))))
    return undefined;
  return `process ${id}${isHere ? "" : ` on ${host}`}`;
}

/** Puts a lock at `path` in one step, name and content together; false where there is one. */
async function placeLock(path: string): Promise<boolean> {
  const temporary = createTemporaryPath(path);
  await createFolder(dirname(path)).catch((error: unknown): never => {
    throw describePathProblem(`Cannot write "${path}"`, error);
  });
  await writeFile(temporary, `${process.pid} ${hostname()}`).catch((error: unknown): never => {
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
