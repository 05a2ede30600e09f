/** Questions about files and folders, and the check that a folder can be written before work starts. */
import type { Dirent } from "node:fs";
import { lstat, mkdir, readdir, stat, unlink, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { toExpressionSource } from "../core/index.ts";
import { describePathProblem, hasCode } from "./path-problem.ts";
import { createTemporaryPath } from "./temporary-name.ts";

const ABSENT = ["ENOENT", "ENOTDIR"];

/** Whether `path` is a folder (or a link to one). */
export async function folderExists(path: string): Promise<boolean> {
  const stats = await lookAt(path, stat);
  return stats?.isDirectory() ?? false;
}

/** Whether `path` is a regular file (or a link to one). */
export async function fileExists(path: string): Promise<boolean> {
  const stats = await lookAt(path, stat);
  return stats?.isFile() ?? false;
}

/** Size and time of change of a file, as one text. Throws the system's error where there is none. */
export async function readFileTime(path: string): Promise<string> {
  const { size, mtimeMs } = await stat(path);
  return `${size} ${Math.floor(mtimeMs)}`;
}

/** Whether anything, a broken link included, has this path. */
export async function pathExists(path: string): Promise<boolean> {
  return (await lookAt(path, lstat)) !== undefined;
}

/** Whether `path` is a folder without entries; false when it is missing or a file. */
export async function isEmptyFolder(path: string): Promise<boolean> {
  const names = await lookAt(path, readNames);
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

/**
 * Tries a write where a result is to appear, and makes nothing: in the folder at `path` where it is there, else in the nearest
 * one above it. Throws as `ensureWritableFolder`.
 */
export async function requireWritable(path: string): Promise<void> {
  let place = resolve(path);
  while (!(await pathExists(place)) && dirname(place) !== place) place = dirname(place);
  await ensureWritableFolder(place);
}

/**
 * Names of the folders directly in `path`, links to folders included, in alphabetical order. A link that cannot be followed for
 * want of permission is among them: whoever opens it is told. Throws `UsageError` where `path` is not a folder.
 */
export async function listFolders(path: string): Promise<readonly string[]> {
  const names: string[] = [];
  for (const entry of await listEntries(path, (one) => one.isDirectory() || one.isSymbolicLink()))
    if (entry.isDirectory() || (await leadsTo("isDirectory", join(path, entry.name)))) names.push(entry.name);
  return names;
}

/** Whether a link leads to such a thing, as far as can be told; not where it leads nowhere, or round in a circle. */
async function leadsTo(kind: "isFile" | "isDirectory", link: string): Promise<boolean> {
  try {
    return (await stat(link))[kind]();
  } catch (error) {
    return !hasCode(error, [...ABSENT, "ELOOP", "ENAMETOOLONG"]);
  }
}

/** Names of everything directly in `path`, in no order: one question to the file system, whatever it holds. */
export async function listNames(path: string): Promise<readonly string[]> {
  return (await lookAt(path, readNames)) ?? [];
}

/**
 * Names of the files directly in `path`, links to files included (a model cache is full of them), in alphabetical order.
 * Throws `UsageError` where it is not a folder.
 */
export async function listFiles(path: string): Promise<readonly string[]> {
  const entries = await listEntries(path, (entry) => entry.isFile() || entry.isSymbolicLink());
  const areFiles = await Promise.all(
    entries.map(async (entry) => entry.isFile() || (await leadsTo("isFile", join(path, entry.name)))),
  );
  return entries.filter((_, index) => areFiles[index]).map(({ name }) => name);
}

async function listEntries(path: string, isWanted: (entry: Dirent) => boolean): Promise<readonly Dirent[]> {
  try {
    const entries = await readdir(path, { withFileTypes: true });
    // In the order of their code units, which is the same in every language.
    return entries.filter(isWanted).sort((a, b) => (a.name < b.name ? -1 : 1));
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
        ? (await listEntries(place, () => true)).map(({ name }) => name).filter(matching(part))
        : [part];
      next.push(...names.map((name) => join(place, name)));
    }
    const isThere = await Promise.all(next.map(isLast ? fileExists : folderExists));
    places = next.filter((_, position) => isThere[position]);
  }
  return [...places].sort();
}

function matching(pattern: string): (name: string) => boolean {
  const expression = new RegExp(`^${toExpressionSource(pattern)}$`);
  return (name) => expression.test(name);
}

/** Deletes a file; one that is not there is as good as deleted. */
export async function removeFile(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (!hasCode(error, ABSENT)) throw describePathProblem(`Cannot delete "${path}"`, error);
  }
}

/** What is found at a path, `undefined` where nothing is. Throws `UsageError` where that cannot be told. */
async function lookAt<Found>(
  path: string,
  look: (path: string) => Promise<Found>,
): Promise<Found | undefined> {
  try {
    return await look(path);
  } catch (error) {
    if (hasCode(error, ABSENT)) return undefined;
    throw describePathProblem(`Cannot read "${path}"`, error);
  }
}

const readNames = (path: string): Promise<string[]> => readdir(path);
