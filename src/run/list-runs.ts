/** The runs in a folder. */
import { join } from "node:path";
import { listFolders } from "../file/index.ts";
import { isRunFolder } from "./run-folder.ts";

/** Paths of the runs that lie directly in `folder`, by name; the folder itself where it is a run. */
export async function listRuns(folder: string): Promise<readonly string[]> {
  if (await isRunFolder(folder)) return [folder];
  const paths: string[] = [];
  for (const name of await listFolders(folder)) {
    // Hidden folders may be runs that were never put in their place.
    if (name.startsWith(".")) continue;
    const path = join(folder, name);
    if (await isRunFolder(path)) paths.push(path);
  }
  return paths;
}
