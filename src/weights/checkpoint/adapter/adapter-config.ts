/** `adapter_config.json` as PEFT writes it: the base model, ranks and scales. */
import { resolve } from "node:path";
import { toObject } from "../../../base/core/index.ts";
import { fileExists, folderExists } from "../../../base/file/index.ts";
import { CheckpointError, quote } from "../checkpoint-error.ts";
import { readJsonFile } from "../config/read-json.ts";
import { findWeights } from "../source/find-weights.ts";
import { mergeIt, UnusableAdapterError } from "./adapter-error.ts";
import { type AdapterFields, checkLoraFields, checkType } from "./lora-fields.ts";

/** The name of the file. */
export const configName = "adapter_config.json";

/** The names of the file that holds an adapter's tensors: as it is read, and as it was written before safetensors. */
export const weightsName = "adapter_model.safetensors";
export const pickledName = "adapter_model.bin";

/**
 * Whether a folder holds an adapter and no model of its own. Beside an adapter's tensors, only safetensors are a model: trainers keep
 * the whole model that they train in other formats next to it.
 */
export async function isAdapterFolder(folder: string): Promise<boolean> {
  if (!(await fileExists(`${folder}/${configName}`))) return false;
  const found = await findWeights(folder);
  if (found.kind !== "weights") return true;
  if (found.format === "safetensors" && found.files.some((name) => /^model\./.test(name))) return false;
  return (await fileExists(`${folder}/${weightsName}`)) || (await fileExists(`${folder}/${pickledName}`));
}

/** What an adapter says of itself. */
export interface AdapterConfig {
  /** `base_model_name_or_path`: a folder, or a name on the Hugging Face Hub; absent where it names none. */
  readonly base: string | undefined;
  /** The whole file. */
  readonly fields: AdapterFields;
}

/**
 * Reads `adapter_config.json`. Throws `CheckpointError` where it cannot be read, `UnusableAdapterError` where it is not a LoRA that can
 * be added to weights.
 */
export async function readAdapterConfig(folder: string): Promise<AdapterConfig> {
  const fields = await readJsonFile(`${folder}/${configName}`, "save the adapter again");
  checkType(fields, folder);
  checkLoraFields(fields, folder);
  const { base_model_name_or_path: base } = fields;
  if (typeof base !== "string" || base === "") return { base: undefined, fields };
  if (base.includes("\0"))
    throw new UnusableAdapterError(
      `its base_model_name_or_path ${quote(base)} is not a name of a folder; write the folder of its base model there`,
      { path: folder },
    );
  return { base, fields };
}

/**
 * The folder of an adapter's base model: absolute, or relative to the adapter or to where one stands; absent where there is
 * none, as nothing is downloaded.
 */
export async function findBaseFolder(folder: string, { base }: AdapterConfig): Promise<string | undefined> {
  if (base === undefined) return undefined;
  for (const path of [resolve(folder, base), resolve(base)]) if (await folderExists(path)) return path;
  return undefined;
}

/** The place of a checkpoint, and of an adapter those of the models below it, the nearest first, as far as they are here. */
export async function listOrigins(path: string): Promise<readonly string[]> {
  const places = [path];
  for (let place: string | undefined = path; place !== undefined && (await isAdapterFolder(place)); ) {
    const base = await findBaseFolder(place, await readAdapterConfig(place));
    // An adapter that names itself, or one above it, is refused where it is opened.
    const isKnown = base === undefined || places.some((one) => resolve(one) === resolve(base));
    place = isKnown ? undefined : base;
    if (place !== undefined) places.push(place);
  }
  return places;
}

/** What the lowest of an adapter's configurations calls the model below all of them; `undefined` for what is not an adapter. */
export async function findBaseName(path: string): Promise<string | undefined> {
  const origins = await listOrigins(path);
  for (const place of origins.toReversed())
    if (await isAdapterFolder(place)) return (await readAdapterConfig(place)).base;
  return undefined;
}

/** The folder of an adapter's base model. Throws `CheckpointError` where there is none. */
export async function requireBaseFolder(folder: string, config: AdapterConfig): Promise<string> {
  const found = await findBaseFolder(folder, config);
  if (found !== undefined) return found;
  const problem =
    config.base === undefined
      ? 'it is a LoRA adapter without "base_model_name_or_path"'
      : `it is a LoRA adapter, and its base model ${quote(config.base)} is not a folder here`;
  throw new CheckpointError(
    `${problem}; write the base model's folder as "base_model_name_or_path" into its ${configName}, or merge it and give the merged model`,
    { path: folder },
  );
}

/** How much a pair of factors counts, and the rank that it is said to have. */
export interface Scaling {
  readonly rank: number;
  /** lora_alpha / r, or / √r for rank-stabilized LoRA. */
  readonly scale: number;
}

/**
 * The rank and scale of a module or parameter: its own by a pattern, else those of all, else PEFT's defaults of 8. Throws
 * `UnusableAdapterError` where PEFT could not use them either.
 */
export function findScaling(fields: AdapterFields, module: string, folder: string): Scaling {
  const { r = 8, lora_alpha: alphaOfAll = 8, use_rslora: isStabilized } = fields;
  const rank = readOwn(fields, { field: "rank_pattern", module, folder }, r);
  const alpha = readOwn(fields, { field: "alpha_pattern", module, folder }, alphaOfAll);
  const refuse = (field: string, value: unknown): never => {
    throw new UnusableAdapterError(
      `its ${field} for ${quote(module)} is ${JSON.stringify(value) ?? "missing"}, which gives no scale; correct its ${configName}`,
      { path: folder },
    );
  };
  if (typeof rank !== "number" || !Number.isSafeInteger(rank) || rank < 1) return refuse("rank r", rank);
  if (typeof alpha !== "number" || !Number.isFinite(alpha)) return refuse("lora_alpha", alpha);
  return { rank, scale: alpha / (isStabilized === true ? Math.sqrt(rank) : rank) };
}

interface PatternField {
  readonly field: "rank_pattern" | "alpha_pattern";
  readonly module: string;
  readonly folder: string;
}

/** The value of the first pattern that is the module's name or an end of it; without one, that of all. */
function readOwn(fields: AdapterFields, { field, module, folder }: PatternField, ofAll: unknown): unknown {
  const patterns = toObject(fields[field]);
  const found = Object.keys(patterns).find((pattern) => {
    try {
      return new RegExp(`^(?:.*\\.)?(?:${pattern})$`, "u").test(module);
    } catch (cause) {
      const problem = `its ${field} has ${quote(pattern)}, a regular expression that only Python reads; ${mergeIt}`;
      throw new UnusableAdapterError(problem, { path: folder, cause });
    }
  });
  return found === undefined ? ofAll : patterns[found];
}
