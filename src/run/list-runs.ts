/** The runs in a folder. */
import { join } from "node:path";
import { listFolders } from "../file/index.ts";
import { isRunFolder, openRunFolder, type RunFolder } from "./run-folder.ts";

/** Opens every run that lies directly in `folder`, by name; the folder itself where it is a run. */
export async function listRuns(folder: string): Promise<readonly RunFolder[]> {
  if (await isRunFolder(folder)) return [await openRunFolder(folder)];
  const runs: RunFolder[] = [];
  for (const name of await listFolders(folder)) {
    const path = join(folder, name);
    if (await isRunFolder(path)) runs.push(await openRunFolder(path));
  }
  return runs;
}
