/** Stamps of what the outcome of a job depends on: names, sizes and times of files, which cost nothing to read. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { stampFiles, stampWeights } from "../../bridge/trainer/index.ts";
import { listOrigins, listWeightFiles } from "../../weights/checkpoint/index.ts";

/**
 * A checkpoint's weights, configuration, tokenizer and template; of an adapter those of its base as well. Empty where there is none.
 */
export async function stampCheckpoint(path: string): Promise<string> {
  const stamps = (await listOrigins(path)).map(stampPlace);
  return (await Promise.all(stamps)).join(" ");
}

/** Of safetensors in a folder one stamp for all; weights that lie elsewhere or are called otherwise have one of their own. */
async function stampPlace(path: string): Promise<string> {
  const { folder, names } = await listWeightFiles(path);
  const isPlain = folder === path && names.every((name) => name.endsWith(".safetensors"));
  const all = /\.(?:safetensors|json|jinja|model|txt)$/;
  if (isPlain) return await stampFiles(path, all);
  const texts = /\.(?:json|jinja|model|txt)$/;
  const places = [...new Set([path, folder])].flatMap((one) => [one, join(one, "huggingface")]);
  const stamps = await Promise.all([stampWeights(path), ...places.map((one) => stampFiles(one, texts))]);
  return stamps.join(" ").trim();
}

/** Bytes of a checkpoint's weights; of an adapter with those of its base. */
export async function measureCheckpoint(path: string): Promise<number> {
  let numBytes = 0;
  for (const one of await listOrigins(path)) {
    const { folder, names } = await listWeightFiles(one);
    for (const name of names) numBytes += (await stat(join(folder, name))).size;
  }
  return numBytes;
}

/** A user's own questions; empty for tasks that are made from a seed. */
export async function stampQuestions(environment: string): Promise<string> {
  const [, folder] = /^items:(.+)$/.exec(environment) ?? [];
  return folder === undefined ? "" : await stampFiles(folder, /\.jsonl$/);
}
