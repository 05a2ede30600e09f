/** Questions about files and folders, and the check that a folder can be written before work starts. */
import type { Dirent } from "node:fs";
import { lstat, mkdir, readdir, stat, unlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describePathProblem, hasCode } from "./path-problem.ts";
import { createTemporaryPath } from "./temporary-name.ts";

const ABSENT = ["ENOENT", "ENOTDIR"];

/** Whether `path` is a folder (or a link to one). */
export async function folderExists(path: string): Promise<boolean> {
  const stats = await ignoreAbsence(stat(path));
  return stats?.isDirectory() ?? false;
}

/** Whether `path` is a regular file (or a link to one). */
export async function fileExists(path: string): Promise<boolean> {
  const stats = await ignoreAbsence(stat(path));
  return stats?.isFile() ?? false;
}

/** Size and time of change of a file, as one text. Throws the system's error where there is none. */
export async function readFileTime(path: string): Promise<string> {
  const { size, mtimeMs } = await stat(path);
  return `${size} ${Math.floor(mtimeMs)}`;
}

/** Whether anything, a broken link included, has this path. */
export async function pathExists(path: string): Promise<boolean> {
  return (await ignoreAbsence(lstat(path))) !== undefined;
}

/** Whether `path` is a folder without entries; false when it is missing or a file. */
export async function isEmptyFolder(path: string): Promise<boolean> {
  const names = await ignoreAbsence(readdir(path));
  return names?.length === 0;
}

/**
 * Makes the folder and those above it where missing. Unlike `mkdir` with `recursive`, which Node 20 repeats forever
 * where the system denies that the parent exists (in /proc), it throws the system's error.
 */
export async function createFolder(path: string): Promise<void> {
  try {
    await makeUnlessThere(path);
  } catch (error) {
    const parent = dirname(path);
    if (!hasCode(error, ["ENOENT"]) || parent === path) throw error;
    await createFolder(parent);
    await makeUnlessThere(path);
  }
}

async function makeUnlessThere(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    if (!(await folderExists(path))) throw error;
  }
}

/**
 * Makes the folder where it is missing and tries a write in it. Throws `UsageError`, one sentence, when that is
 * impossible: no permission, a read-only or full disk, a file in the way.
 */
export async function ensureWritableFolder(path: string): Promise<void> {
  try {
    await createFolder(path);
    const trial = createTemporaryPath(`${path}/trial`);
    await writeFile(trial, "", { flag: "wx" });
    await unlink(trial);
  } catch (error) {
    throw describePathProblem(`Cannot write to folder "${path}"`, error);
  }
}

/** Names of the folders directly in `path`, links to folders included. Throws `UsageError` where it is no folder. */
export async function listFolders(path: string): Promise<readonly string[]> {
  const names = await listEntries(path, (entry) => entry.isDirectory() || entry.isSymbolicLink());
  const areFolders = await Promise.all(names.map((name) => folderExists(join(path, name))));
  return names.filter((_, index) => areFolders[index]);
}

/** Names of everything directly in `path`, in no order: one question to the file system, whatever it holds. */
export async function listNames(path: string): Promise<readonly string[]> {
  return (await ignoreAbsence(readdir(path))) ?? [];
}

/**
 * Names of the files directly in `path`, links to files included (a model cache is full of them), in alphabetical order.
 * Throws `UsageError` where it is no folder.
 */
export async function listFiles(path: string): Promise<readonly string[]> {
  const names = await listEntries(path, (entry) => entry.isFile() || entry.isSymbolicLink());
  const areFiles = await Promise.all(names.map((name) => fileExists(join(path, name))));
  return names.filter((_, index) => areFiles[index]);
}

async function listEntries(path: string, isWanted: (entry: Dirent) => boolean): Promise<readonly string[]> {
  try {
    const entries = await readdir(path, { withFileTypes: true });
    return entries
      .filter(isWanted)
      .map(({ name }) => name)
      .sort();
  } catch (error) {
    throw describePathProblem(`Cannot list "${path}"`, error);
  }
}

/**
 * Paths of the files that a pattern means, in alphabetical order: in each part between slashes, `*` stands for any characters.
 * None where a folder is not there.
 */
export async function findFiles(pattern: string): Promise<readonly string[]> {
  const parts = pattern.split("/");
  let places: readonly string[] = [parts[0] === "" ? "/" : "."];
  for (const [index, part] of parts.entries()) {
    if (part === "" || part === ".") continue;
    const isLast = index === parts.length - 1;
    const next: string[] = [];
    for (const place of places) {
      if (!(await folderExists(place))) continue;
      const names = part.includes("*")
        ? (await listEntries(place, () => true)).filter(matching(part))
        : [part];
      next.push(...names.map((name) => join(place, name)));
    }
    const isThere = await Promise.all(next.map(isLast ? fileExists : folderExists));
    places = next.filter((_, position) => isThere[position]);
  }
  return [...places].sort();
}

function matching(pattern: string): (name: string) => boolean {
  const escaped = pattern.split("*").map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, "\\$&"));
  const expression = new RegExp(`^${escaped.join(".*")}$`);
  return (name) => expression.test(name);
}

/** Deletes a file; one that is not there is as good as deleted. */
export async function removeFile(path: string): Promise<void> {
  await ignoreAbsence(unlink(path));
}

async function ignoreAbsence<Value>(answer: Promise<Value>): Promise<Value | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (hasCode(error, ABSENT)) return undefined;
    throw error;
  }
}
