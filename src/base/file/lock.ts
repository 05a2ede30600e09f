/**
 * Locks: a file that says which process is at work in a folder, so that no second one interferes. The lock of a dead
 * process is taken over by one process at a time, which holds a lock on just that: named after what the dead one had written.
 */
import { randomBytes } from "node:crypto";
import { closeSync, openSync, writeSync } from "node:fs";
import { link, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { UsageError } from "../core/index.ts";
import { createFolder } from "./folder.ts";
import { describePathProblem, hasCode } from "./path-problem.ts";
import { hashShortly, identifyProcess, judgeProcess } from "./process-identity.ts";
import { createTemporaryPath } from "./temporary-name.ts";

/** Another process is at work: it may be done in a moment. */
export class BusyError extends UsageError {
  override readonly name = "BusyError";
}

/** A lock that this process holds. */
export interface Lock {
  /** Releases it. */
  release(): Promise<void>;
}

/** What the locks say that this process holds. */
const held = new Set<string>();

/**
 * Takes the lock at `path`. Throws `BusyError` naming `what` where a process that is still alive holds it; the lock
 * of one that died is taken over. One on another machine or in another container counts as alive: it cannot be seen from here.
 */
export async function takeLock(path: string, what: string): Promise<Lock> {
  const { id, host, boot, namespace } = identifyProcess();
  const text = `${[id, host, boot || "-", namespace || "-", randomBytes(6).toString("hex")].join(" ")}\n`;
  try {
    await createFolder(dirname(path));
    while (!(await placeLock(path, text)))
      if (await takeOver(path, { text, what, found: await readLock(path) })) break;
  } catch (error) {
    throw describePathProblem(`Cannot write "${path}"`, error);
  }
  held.add(text);
  return { release: () => release(path, text) };
}

async function release(path: string, text: string): Promise<void> {
  held.delete(text);
  // Whoever deleted the lock by hand has let others in: theirs stays.
  if ((await readLock(path)) === text) await rm(path, { force: true });
}

/** Who holds the lock at `path`, in words; `undefined` where nobody does that could still be alive. */
export async function findHolder(path: string): Promise<string | undefined> {
  return describeHolder((await readLock(path)) ?? "");
}

function describeHolder(text: string): string | undefined {
  const [, digits, host, boot = "-", namespace = "-"] =
    /^(\d+) (\S+)(?: (\S+) (\S+) \S+)?\s*$/.exec(text) ?? [];
  if (digits === undefined || host === undefined) return undefined;
  const id = Number(digits);
  const known = (part: string): string => (part === "-" ? "" : part);
  const fate = judgeProcess({ id, host, boot: known(boot), namespace: known(namespace) });
  // Of this very number and not ours: of an earlier process, or of this one before it was started again in its place.
  if (fate === "dead" || (fate === "alive" && id === process.pid && !held.has(text))) return undefined;
  if (fate === "alive") return `process ${id}`;
  return `process ${id} ${fate === "on another machine" ? `on ${host}` : `in another container of ${host}`}`;
}

/**
 * Replaces a dead process's lock by ours; false where another process was faster. Throws `BusyError` where the holder may live,
 * or another process is just taking over.
 */
async function takeOver(
  path: string,
  { text, what, found }: { readonly text: string; readonly what: string; readonly found: string | undefined },
): Promise<boolean> {
  if (found === undefined) return false;
  const holder = describeHolder(found);
  if (holder !== undefined)
    throw new BusyError(
      `Cannot work on ${what}: ${holder} is at it; wait for it or stop it, or delete ${path} if that process is not untwist`,
    );
  const claim = await takeLock(`${path}.${hashShortly(found)}`, what);
  try {
    if ((await readLock(path)) !== found) return false;
    const temporary = await writeTemporary(path, text);
    await rename(temporary, path);
    return (await readLock(path)) === text;
  } finally {
    await claim.release();
  }
}

/** How long a lock may be empty: it is, for an instant, where name and content cannot appear together. */
const mostEmptyMs = 300;

/** What a lock says; `undefined` where there is none. */
async function readLock(path: string): Promise<string | undefined> {
  const read = async (): Promise<string | undefined> => {
    try {
      return await readFile(path, "utf8");
    } catch (error) {
      if (hasCode(error, ["ENOENT", "ENOTDIR"])) return undefined;
      throw describePathProblem(`Cannot read "${path}"`, error);
    }
  };
  const text = await read();
  if (text !== "") return text;
  await wait(mostEmptyMs);
  return await read();
}

/** What `link` says on file systems without hard links: exFAT, SMB, many a FUSE. */
const noLinks = ["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"];

/** Puts a lock at `path`, name and content together where the file system can; false where there is one. */
async function placeLock(path: string, text: string): Promise<boolean> {
  const temporary = await writeTemporary(path, text);
  try {
    await link(temporary, path);
    return true;
  } catch (error) {
    if (hasCode(error, ["EEXIST"])) return false;
    if (!hasCode(error, noLinks)) throw error;
  } finally {
    await rm(temporary, { force: true });
  }
  return await placeAlone(path, text);
}

/** Puts a lock at `path`, first its name and at once its content; false where there is one. */
async function placeAlone(path: string, text: string): Promise<boolean> {
  try {
    const file = openSync(path, "wx");
    try {
      writeSync(file, text);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    if (hasCode(error, ["EEXIST"])) return false;
    throw error;
  }
  // Who was stopped in between may have been taken for dead.
  return (await readLock(path)) === text;
}

async function writeTemporary(path: string, text: string): Promise<string> {
  const temporary = createTemporaryPath(path);
  try {
    await writeFile(temporary, text);
    return temporary;
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
