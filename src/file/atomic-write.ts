/**
 * Writes that happen completely or not at all: content goes to a temporary sibling, is forced to the disk, and
 * takes its name in one rename. A crash leaves the old content and a leftover that `removeTemporaries` deletes.
 */
import { type FileHandle, open, readdir, rename, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { readText } from "./byte-source.ts";
import { createFolder, fileExists } from "./folder.ts";
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
  const temporary = createTemporaryPath(path);
  try {
    await createFolder(dirname(path));
    await writeSynced(temporary, content);
    await rename(temporary, path);
  } catch (error) {
    // A failed clean-up must not hide why the write failed.
    await rm(temporary, { force: true }).catch(() => undefined);
    throw describePathProblem(`Cannot write "${path}"`, error);
  }
  await syncFolder(dirname(path));
}

/** As `writeFileAtomic`, but a file that says the same already stays as it is: those who watch it see no change. */
export async function writeFileIfChanged(path: string, text: string): Promise<void> {
  if ((await fileExists(path)) && (await readText(path)) === text) return;
  await writeFileAtomic(path, text);
}

/**
 * Makes a folder so that `path` holds either its old content or all of the new: `fill` gets an empty temporary
 * sibling to write into, which then takes the name. An existing folder is moved aside, replaced and deleted;
 * if a crash falls between, `removeTemporaries` moves it back. `UsageError` when the path cannot be written.
 */
export async function writeFolderAtomic(
  path: string,
  fill: (temporaryPath: string) => Promise<void>,
): Promise<void> {
  // An empty path would mean, and replace, the folder that the process stands in.
  if (path.trim() === "") throw new RangeError("Cannot write a folder without a path");
  const target = resolve(path);
  const temporary = createTemporaryPath(target);
  const explain = (error: unknown): never => {
    throw describePathProblem(`Cannot write folder "${path}"`, error);
  };
  await createFolder(temporary).catch(explain);
  try {
    await fill(temporary);
    await syncTree(temporary);
    await takeName(temporary, target).catch(explain);
  } catch (error) {
    // A failed clean-up must not hide why the write failed.
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    throw nameFullDisk(error, path);
  }
}

/** A full disk is told of the folder that was asked for, not of a file in its temporary place. */
function nameFullDisk(error: unknown, path: string): unknown {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  return hasCode(cause, ["ENOSPC", "EDQUOT"]) ? describePathProblem(`Cannot write "${path}"`, cause) : error;
}

/** Renames folder `temporary` to `target`; an existing non-empty folder there is deleted only afterwards. */
async function takeName(temporary: string, target: string): Promise<void> {
  const replaced = createReplacedPath(target);
  try {
    await rename(temporary, target);
    await syncFolder(dirname(target));
    return;
  } catch (error) {
    if (!hasCode(error, ["ENOTEMPTY", "EEXIST"])) throw error;
  }
  await rename(target, replaced);
  try {
    await rename(temporary, target);
  } catch (error) {
    await rename(replaced, target);
    throw error;
  }
  await syncFolder(dirname(target));
  await rm(replaced, { recursive: true, force: true });
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
