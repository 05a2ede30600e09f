/** Whether files were written again: by their names, sizes and times, which cost nothing to read. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { folderExists, listFiles, openByteSource, readFileTime } from "../file/index.ts";

/** The stamp of the weights in a folder; links are followed. Empty where there are none. */
export async function stampWeights(folder: string): Promise<string> {
  return await stampFiles(folder, /\.safetensors$/);
}

/** The stamp of those files directly in a folder whose names match; links are followed. Empty where there are none. */
export async function stampFiles(folder: string, pattern: RegExp): Promise<string> {
  if (!(await folderExists(folder))) return "";
  const files = (await listFiles(folder)).filter((name) => pattern.test(name));
  const lines = await Promise.all(
    files.map(async (name) => `${name} ${await readFileTime(join(folder, name))}`),
  );
  return lines.length === 0 ? "" : createHash("sha256").update(lines.join("\n")).digest("hex").slice(0, 16);
}

/** Bytes that are read at once. */
const blockBytes = 8 * 2 ** 20;

/** A hash of the weights in a folder, every byte of them: the same wherever and whenever they were written. */
export async function hashWeights(folder: string): Promise<string> {
  const hash = createHash("sha256");
  const files = (await listFiles(folder)).filter((name) => name.endsWith(".safetensors"));
  for (const name of files.sort()) {
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
