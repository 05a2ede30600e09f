/** Stamps of what the outcome of a job depends on: names, sizes and times of files, which cost nothing to read. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { findBaseFolder, isAdapterFolder, readAdapterConfig } from "../checkpoint/index.ts";
import { listNames } from "../file/index.ts";
import { stampFiles } from "../follow/index.ts";

/** A checkpoint's weights, configuration, tokenizer and template; of an adapter those of its base as well. Empty where there is none. */
export async function stampCheckpoint(folder: string): Promise<string> {
  const own = await stampFiles(folder, /\.(?:safetensors|json|jinja|model|txt)$/);
  if (!(await isAdapterFolder(folder))) return own;
  const base = await findBaseFolder(folder, await readAdapterConfig(folder));
  return base === undefined ? own : `${own} ${await stampCheckpoint(base)}`;
}

/** Bytes of a checkpoint's weights; of an adapter with those of its base. */
export async function measureCheckpoint(folder: string): Promise<number> {
  const names = (await listNames(folder)).filter((name) => name.endsWith(".safetensors"));
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(folder, name))).size));
  const own = sizes.reduce((sum, size) => sum + size, 0);
  if (!(await isAdapterFolder(folder))) return own;
  const base = await findBaseFolder(folder, await readAdapterConfig(folder));
  return base === undefined ? own : own + (await measureCheckpoint(base));
}

/** A user's own questions; empty for tasks that are made from a seed. */
export async function stampQuestions(environment: string): Promise<string> {
  const [, folder] = /^items:(.+)$/.exec(environment) ?? [];
  return folder === undefined ? "" : await stampFiles(folder, /\.jsonl$/);
}
