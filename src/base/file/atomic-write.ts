/**
 * Writes that happen completely or not at all: content goes to a temporary sibling, is forced to the disk, and
 * takes its name in one rename. A crash leaves the old content and a leftover that `removeTemporaries` deletes.
 */
import { type FileHandle, mkdir, open, readdir, realpath, rename, rm, rmdir, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { requireItem, UsageError } from "../core/index.ts";
import { readText } from "./byte-source.ts";
import { createFolder, fileExists, folderExists, isEmptyFolder, pathExists } from "./folder.ts";
import { removeDeadTemporaries } from "./leftover.ts";
import { describePathProblem, hasCode } from "./path-problem.ts";
import { createReplacedPath, createTemporaryPath } from "./temporary-name.ts";

/** The content of a file: text (written as UTF-8), bytes, or chunks of bytes written in order. */
export type FileContent = string | Uint8Array | AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/**
 * Writes a file so that `path` holds either its old content or all of the new, even after a power cut. Missing
 * parent folders are made. On failure the temporary file is removed; `UsageError` when the path cannot be
 * written, the error of the chunks when they throw.
 */
export async function writeFileAtomic(path: string, content: FileContent): Promise<void> {
  await requireReplaceable(path);
  const temporary = createTemporaryPath(path);
  try {
    await createFolder(dirname(path));
    await removeDeadTemporaries(dirname(path));
    await writeSynced(temporary, content);
    await rename(temporary, path);
  } catch (error) {
    // A failed clean-up must not hide why the write failed.
    await rm(temporary, { force: true }).catch(() => undefined);
    throw describePathProblem(`Cannot write "${path}"`, error);
  }
  await syncFolder(dirname(path));
}

/** Throws `UsageError` where a device or a pipe lies, as `/dev/null`: a file would take its place. */
async function requireReplaceable(path: string): Promise<void> {
  const stats = await stat(path).catch(() => undefined);
  if (stats === undefined || stats.isFile() || stats.isDirectory()) return;
  throw new UsageError(`Cannot write "${path}": it is a device or a pipe; give the path of a file`);
}

/** As `writeFileAtomic`, but a file that says the same already stays as it is: those who watch it see no change. */
export async function writeFileIfChanged(path: string, text: string): Promise<void> {
  if ((await fileExists(path)) && (await readText(path)) === text) return;
  await writeFileAtomic(path, text);
}

/** What `writeFolderAtomic` does where something else has come to lie at the path meanwhile. */
export interface FolderRule {
  /**
   * `keep`: what was made keeps another name beside it, which is told; `refuse`: it is deleted; `replace`: the other is
   * moved aside and deleted, and if a crash falls between, `removeTemporaries` moves it back.
   */
  readonly whenTaken: "keep" | "refuse" | "replace";
}

/** Something else has come to lie where a folder was to be. */
export class TakenError extends UsageError {
  override readonly name = "TakenError";
}

/**
 * Makes a folder so that `path` holds either what it held or all of the new: `fill` gets an empty temporary folder to
 * write into, which then takes the name; what it returns is returned. Only an absent or empty folder is taken, unless `whenTaken` asks for more. An empty folder
 * that no other can take the place of (a mounted volume, where the process stands) gets the content, entry by entry. Throws
 * `TakenError`, and `UsageError` when the path cannot be written.
 */
export async function writeFolderAtomic<Result>(
  path: string,
  fill: (temporaryPath: string) => Promise<Result>,
  { whenTaken }: FolderRule = { whenTaken: "keep" },
): Promise<Result> {
  // An empty path would mean, and replace, the folder that the process stands in.
  if (path.trim() === "") throw new RangeError("Cannot write a folder without a path");
  const explain = (error: unknown): never => {
    throw describePathProblem(`Cannot write folder "${path}"`, error);
  };
  // What a link leads to is made; the link stays.
  const target = await realpath(path).catch(() => resolve(path));
  await removeDeadTemporaries(dirname(target));
  await requireRoom(target, { path, whenTaken });
  const isInside = (await isEmptyFolder(target)) && !(await canBeReplaced(target));
  const temporary = createTemporaryPath(isInside ? join(target, "inside") : target);
  await createFolder(temporary).catch(explain);
  try {
    const result = await fill(temporary);
    await syncTree(temporary);
    const take = isInside ? moveInside : whenTaken === "replace" ? replaceFolder : takeName;
    if (!(await take(temporary, target).catch(explain)))
      await handOver(
        { temporary, path, beside: isInside ? join(target, basename(target)) : target },
        whenTaken,
      );
    return result;
  } catch (error) {
    // A failed clean-up must not hide why the write failed.
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    throw nameFullDisk(error, path);
  }
}

/** Throws `UsageError` where it is known before the work that there is no place for its result. */
async function requireRoom(
  target: string,
  { path, whenTaken }: FolderRule & { readonly path: string },
): Promise<void> {
  if (!(await pathExists(target)) || (await isEmptyFolder(target))) return;
  const isFolder = await folderExists(target);
  if (isFolder && whenTaken === "replace") return;
  const problem = isFolder
    ? "the folder is not empty; give another path"
    : "a file stands where a folder is needed; remove it or give another path";
  throw new TakenError(`Cannot write folder "${path}": ${problem}`);
}

/** A full disk is told of the folder that was asked for, not of a file in its temporary place. */
function nameFullDisk(error: unknown, path: string): unknown {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  return hasCode(cause, ["ENOSPC", "EDQUOT"]) ? describePathProblem(`Cannot write "${path}"`, cause) : error;
}

/** Whether another folder can take the place of this empty one: not of a mounted volume, nor where the process stands. */
async function canBeReplaced(target: string): Promise<boolean> {
  if (target === (await realpath(".").catch(() => ""))) return false;
  const trial = createTemporaryPath(target);
  try {
    await mkdir(trial);
    await rename(trial, target);
    return true;
  } catch {
    await rm(trial, { recursive: true, force: true }).catch(() => undefined);
    return false;
  }
}

/** Renames folder `temporary` to `target`; false where anything but an empty folder is there. */
async function takeName(temporary: string, target: string): Promise<boolean> {
  try {
    await rename(temporary, target);
  } catch (error) {
    if (hasCode(error, ["ENOTEMPTY", "EEXIST", "ENOTDIR"])) return false;
    throw error;
  }
  await syncFolder(dirname(target));
  return true;
}

/** The same, whatever folder is there: it is deleted afterwards. */
async function replaceFolder(temporary: string, target: string): Promise<boolean> {
  if (!(await folderExists(target)) || (await isEmptyFolder(target)))
    return await takeName(temporary, target);
  const replaced = createReplacedPath(target);
  await rename(target, replaced);
  try {
    await rename(temporary, target);
  } catch (error) {
    await rename(replaced, target);
    throw error;
  }
  await syncFolder(dirname(target));
  await rm(replaced, { recursive: true, force: true });
  return true;
}

/** Moves the entries of folder `temporary` into `target`, in which it lies, the last written last; false where there is more. */
async function moveInside(temporary: string, target: string): Promise<boolean> {
  if ((await readdir(target)).length > 1) return false;
  const names = await readdir(temporary);
  const times = await Promise.all(names.map(async (name) => (await stat(join(temporary, name))).mtimeMs));
  const order = [...names.keys()].sort((a, b) => requireItem(times, a) - requireItem(times, b));
  for (const index of order) {
    const name = requireItem(names, index);
    await rename(join(temporary, name), join(target, name));
  }
  await rmdir(temporary);
  await syncFolder(target);
  return true;
}

/** Gives what was made another name, so that it is not lost, unless it is to be refused. Always throws. */
async function handOver(
  { temporary, path, beside }: { readonly temporary: string; readonly path: string; readonly beside: string },
  whenTaken: FolderRule["whenTaken"],
): Promise<never> {
  const problem = `Cannot write folder "${path}": something else has come to lie there meanwhile, and is not replaced`;
  if (whenTaken !== "keep") throw new TakenError(`${problem}; give another path`);
  // Never a name that counts as a leftover.
  for (let number = 2; ; number++) {
    const kept = `${beside}-${number}`;
    if ((await pathExists(kept)) || !(await takeName(temporary, kept))) continue;
    throw new TakenError(`${problem}; what was made is kept in "${kept}"`);
  }
}

async function writeSynced(path: string, content: FileContent): Promise<void> {
  const handle = await open(path, "wx");
  try {
    await writeContent(handle, content);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function writeContent(handle: FileHandle, content: FileContent): Promise<void> {
  if (typeof content === "string" || content instanceof Uint8Array) {
    await handle.writeFile(content);
    return;
  }
  for await (const chunk of content) await handle.writeFile(chunk);
}

/** Forces every file and folder below `path` to the disk. */
async function syncTree(path: string): Promise<void> {
  for (const entry of await readdir(path, { withFileTypes: true })) {
    const child = join(path, entry.name);
    if (entry.isDirectory()) await syncTree(child);
    else if (entry.isFile()) await syncPath(child);
  }
  await syncFolder(path);
}

async function syncPath(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Forces a folder's entries to the disk, where the file system knows such a thing. */
async function syncFolder(path: string): Promise<void> {
  try {
    await syncPath(path);
  } catch (error) {
    if (!hasCode(error, ["EINVAL", "EISDIR", "EPERM", "ENOTSUP"])) throw error;
  }
}
