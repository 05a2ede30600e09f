/** Folders for results, checked before any work is done. */
import { dirname, resolve } from "node:path";
import { UsageError } from "../../base/index.ts";
import { ensureWritableFolder, fileExists, folderExists, isEmptyFolder } from "../../file/index.ts";

/** Throws `UsageError` unless `--out` is a folder that is empty or can be made. */
export async function requireFree(out: string): Promise<void> {
  if (await fileExists(out))
    throw new UsageError(`Cannot write into "${out}": it is a file; choose another --out`);
  if ((await folderExists(out)) && !(await isEmptyFolder(out)))
    throw new UsageError(`Cannot write into "${out}": the folder is not empty; choose another --out`);
  await ensureWritableFolder(dirname(resolve(out)));
}
