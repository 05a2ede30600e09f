/** Whether files were written again: by their names, sizes and times, which cost nothing to read. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { folderExists, listFiles, openByteSource, readFileTime } from "../../base/file/index.ts";
import { type ListedFiles, listWeightFiles } from "../../weights/checkpoint/index.ts";

/** The stamp of the weights of a checkpoint, a folder or a file; links are followed. Empty where there are none. */
export async function stampWeights(path: string): Promise<string> {
  return await stampListed(await listWeightFiles(path));
}

/** The stamp of those files directly in a folder whose names match; links are followed. Empty where there are none. */
export async function stampFiles(folder: string, pattern: RegExp): Promise<string> {
  if (!(await folderExists(folder))) return "";
  const names = (await listFiles(folder)).filter((name) => pattern.test(name));
  return await stampListed({ folder, names });
}

/** The stamp of files by their names, in the order given. Empty where there are none. */
async function stampListed({ folder, names }: ListedFiles): Promise<string> {
  const lines = await Promise.all(
    names.map(async (name) => `${name} ${await readFileTime(join(folder, name))}`),
  );
  return lines.length === 0 ? "" : createHash("sha256").update(lines.join("\n")).digest("hex").slice(0, 16);
}

/** Bytes that are read at once. */
const blockBytes = 8 * 2 ** 20;

/** A hash of the weights of a checkpoint, every byte of them: the same wherever and whenever they were written. */
export async function hashWeights(path: string): Promise<string> {
  const hash = createHash("sha256");
  const { folder, names } = await listWeightFiles(path);
  for (const name of names) {
    const source = await openByteSource(join(folder, name));
    try {
      hash.update(`${name} ${source.size}\n`);
      for (let start = 0; start < source.size; start += blockBytes)
        hash.update(await source.read(start, Math.min(source.size, start + blockBytes)));
    } finally {
      await source.close();
    }
  }
  return hash.digest("hex").slice(0, 16);
}
