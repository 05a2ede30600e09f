/** Whether files were written again: by their names, sizes and times, which cost nothing to read. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { folderExists, listFiles, readFileTime } from "../file/index.ts";

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
