/** The runs in a folder. */
import { join } from "node:path";
import { describeError, UsageError } from "../base/core/index.ts";
import { listFolders } from "../base/file/index.ts";
import { isRunFolder } from "./run-outline.ts";

/** The runs of a folder, and why others of its folders could not be looked into. */
export interface RunList {
  /** Paths, by name. */
  readonly runs: readonly string[];
  /** A sentence each. */
  readonly problems: readonly string[];
}

/** The runs that lie directly in `folder`; the folder itself where it is a run. */
export async function listRuns(folder: string): Promise<RunList> {
  if (await isRunFolder(folder)) return { runs: [folder], problems: [] };
  const runs: string[] = [];
  const problems: string[] = [];
  for (const name of await listFolders(folder)) {
    // Hidden folders may be runs that were never put in their place.
    if (name.startsWith(".")) continue;
    const path = join(folder, name);
    try {
      if (await isRunFolder(path)) runs.push(path);
    } catch (error) {
      // A folder of somebody else's must not hide the others.
      if (!(error instanceof UsageError)) throw error;
      problems.push(describeError(error));
    }
  }
  return { runs, problems };
}
