/** Stamps of what the outcome of a job depends on: names, sizes and times of files, which cost nothing to read. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { findBaseFolder, isAdapterFolder, readAdapterConfig } from "../checkpoint/index.ts";
import { listNames } from "../file/index.ts";
import { stampFiles } from "../follow/index.ts";

/** A checkpoint's weights, configuration, tokenizer and template; of an adapter those of its base as well. Empty where there is none. */
export async function stampCheckpoint(folder: string): Promise<string> {
  const folders = await listFolders(folder);
  const stamps = folders.map((one) => stampFiles(one, /\.(?:safetensors|json|jinja|model|txt)$/));
  return (await Promise.all(stamps)).join(" ");
}

/** Bytes of a checkpoint's weights; of an adapter with those of its base. */
export async function measureCheckpoint(folder: string): Promise<number> {
  let numBytes = 0;
  for (const one of await listFolders(folder))
    for (const name of await listNames(one))
      if (name.endsWith(".safetensors")) numBytes += (await stat(join(one, name))).size;
  return numBytes;
}

/** The folders that a checkpoint is made of: its own, and of an adapter those of its base. */
async function listFolders(folder: string): Promise<readonly string[]> {
  if (!(await isAdapterFolder(folder))) return [folder];
  const base = await findBaseFolder(folder, await readAdapterConfig(folder));
  return base === undefined ? [folder] : [folder, ...(await listFolders(base))];
}

/** A user's own questions; empty for tasks that are made from a seed. */
export async function stampQuestions(environment: string): Promise<string> {
  const [, folder] = /^items:(.+)$/.exec(environment) ?? [];
  return folder === undefined ? "" : await stampFiles(folder, /\.jsonl$/);
}
