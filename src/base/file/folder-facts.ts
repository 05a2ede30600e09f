/** What a folder is behind its path: where it lies without links, and how old its files are. */
import { realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import { listFiles } from "./folder.ts";
import { describePathProblem } from "./path-problem.ts";

/** When the newest of the files directly in a folder was changed, in milliseconds; 0 where there is none. */
export async function findNewestMs(folder: string): Promise<number> {
  try {
    const names = await listFiles(folder);
    const times = await Promise.all(names.map(async (name) => (await stat(join(folder, name))).mtimeMs));
    return Math.max(0, ...times);
  } catch (error) {
    throw describePathProblem(`Cannot read the times of the files in "${folder}"`, error);
  }
}

/** The path of something without links in it. Throws `UsageError` where it is not there. */
export async function resolveLinks(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    throw describePathProblem(`Cannot read "${path}"`, error);
  }
}
