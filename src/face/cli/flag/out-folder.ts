/** Folders for results, checked before any work is done. */
import { UsageError } from "../../../base/core/index.ts";
import {
  fileExists,
  folderExists,
  isEmptyFolder,
  removeDeadTemporaries,
  requireWritable,
} from "../../../base/file/index.ts";

/** Throws `UsageError` where `--out` is empty, as of an unset variable of the shell: it would mean the folder one stands in. */
export function requireNamed(out: string): void {
  if (out.trim() === "")
    throw new UsageError("Cannot write into a folder without a name; give --out the path of a new folder");
}

/** Throws `UsageError` unless `--out` is a folder that is empty or can be made. */
export async function requireFree(out: string): Promise<void> {
  requireNamed(out);
  if (await fileExists(out))
    throw new UsageError(`Cannot write into "${out}": it is a file; choose another --out`);
  const isThere = await folderExists(out);
  if (isThere) await removeDeadTemporaries(out);
  if (isThere && !(await isEmptyFolder(out)))
    throw new UsageError(`Cannot write into "${out}": the folder is not empty; choose another --out`);
  await requireWritable(out);
}
