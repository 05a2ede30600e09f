/** Cleans up after writes that a crash interrupted. */
import { readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { folderExists, pathExists } from "./folder.ts";
import { parseTemporaryName } from "./temporary-name.ts";

/**
 * Deletes the leftovers of interrupted atomic writes in `folder` and below; a folder that was moved aside and
 * never replaced gets its name back. Links are not followed; a missing folder has no leftovers. Call it only
 * while nothing writes there.
 */
export async function removeTemporaries(folder: string): Promise<void> {
  if (!(await folderExists(folder))) return;
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    const temporary = parseTemporaryName(entry.name);
    if (temporary !== undefined) await settle(path, temporary.replaced && join(folder, temporary.replaced));
    else if (entry.isDirectory()) await removeTemporaries(path);
  }
}

/** Folders that were cleared: once is enough for a process, which leaves nothing itself. */
const cleared = new Set<string>();

/**
 * Does the same directly in `folder`, for what processes of this machine left that are no more; others may be writing there.
 * It is a courtesy: what cannot be cleared stays.
 */
export async function removeDeadTemporaries(folder: string): Promise<void> {
  if (cleared.has(folder)) return;
  cleared.add(folder);
  const names = await readdir(folder).catch(() => []);
  for (const name of names) {
    const temporary = parseTemporaryName(name);
    if (temporary?.isDead !== true) continue;
    const original = temporary.replaced && join(folder, temporary.replaced);
    await settle(join(folder, name), original).catch(() => undefined);
  }
}

/** Moves content that was put aside back to its `original` path when that is free, and deletes it otherwise. */
async function settle(path: string, original: string | undefined): Promise<void> {
  if (original !== undefined && !(await pathExists(original))) await rename(path, original);
  else await rm(path, { recursive: true, force: true });
}
