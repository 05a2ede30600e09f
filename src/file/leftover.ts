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

/** Moves content that was put aside back to its `original` path when that is free, and deletes it otherwise. */
async function settle(path: string, original: string | undefined): Promise<void> {
  if (original !== undefined && !(await pathExists(original))) await rename(path, original);
  else await rm(path, { recursive: true, force: true });
}
