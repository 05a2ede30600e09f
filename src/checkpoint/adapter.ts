/**
 * LoRA adapters as PEFT saves them, read as what they make of their base model: W + s · B · A, tensor by tensor. The sum is made
 * range by range when it is read, so an adapter costs no more memory than its thin factors.
 * Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021.
 */
import { resolve } from "node:path";
import { fileExists, folderExists, readText } from "../file/index.ts";

import { CheckpointError, expectReadable, quote } from "./checkpoint-error.ts";
import {
  createRangeDecoder,
  encodeDoubles,
  type FloatDtype,
  isFloatDtype,
  numBytesOf,
  type ReadableBytes,
} from "./dtype.ts";
import type { Checkpoint, CheckpointTensor, LowRankUpdate } from "./open-checkpoint.ts";
import { openSafetensors, type SafetensorsFile, type TensorData } from "./safetensors-read.ts";

/** Names of the two files of an adapter. */
const CONFIG_NAME = "adapter_config.json";
const WEIGHTS_NAME = "adapter_model.safetensors";

/** How the sum of base and adapter is stored: in 32-bit floats, or in the base's own format, as merging by PEFT does. */
export type MergedFormat = "exact" | "rounded";

/** Whether a folder holds a LoRA adapter and no model of its own. */
export async function isAdapterFolder(folder: string): Promise<boolean> {
  if (!(await fileExists(`${folder}/${CONFIG_NAME}`))) return false;
  const isModel = await Promise.all(
    ["model.safetensors", "model.safetensors.index.json"].map((name) => fileExists(`${folder}/${name}`)),
  );
  return !isModel.includes(true);
}

/** What an adapter says of itself. */
export interface AdapterConfig {
  /** `base_model_name_or_path`: a folder, or a name on the Hugging Face Hub. */
  readonly base: string;
  /** The whole file. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Reads `adapter_config.json`. Throws `CheckpointError` where it is no LoRA that can be added to weights. */
export async function readAdapterConfig(folder: string): Promise<AdapterConfig> {
  const path = `${folder}/${CONFIG_NAME}`;
  const fields = parseObject(await expectReadable(path, readText(path)), path);
  const refuse = (problem: string): never => {
    throw new CheckpointError(problem, { path: folder });
  };
  const { peft_type: type, base_model_name_or_path: base, use_dora: isDora } = fields;
  if (type !== "LORA")
    refuse(
      `its peft_type is ${JSON.stringify(type)}, and only a LoRA can be read; merge it and give the merged model`,
    );
  if (isDora === true)
    refuse("it is a DoRA, whose update is no product of two matrices; merge it and give the merged model");
  const { init_lora_weights: start } = fields;
  if (typeof start === "string" && /^(?:pissa|olora|corda|loftq)/.test(start))
    refuse(
      `it was started by ${start}, which changes the base's own weights; save it converted to a plain LoRA, or merge it and give the merged model`,
    );
  if (typeof base !== "string" || base === "")
    return refuse(
      'it is a LoRA adapter without "base_model_name_or_path"; write the folder of its base model there, or merge it and give the merged model',
    );
  return { base, fields };
}

function parseObject(text: string, path: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ...value };
  } catch (cause) {
    throw new CheckpointError("it is not JSON; save the adapter again", { path, cause });
  }
  throw new CheckpointError("it is not a JSON object; save the adapter again", { path });
}

/**
 * The folder of an adapter's base model: absolute, or relative to the adapter or to where one stands; absent where there is
 * none, as nothing is downloaded.
 */
export async function findBaseFolder(folder: string, { base }: AdapterConfig): Promise<string | undefined> {
  for (const path of [resolve(folder, base), resolve(base)]) if (await folderExists(path)) return path;
  return undefined;
}

/** The folder of an adapter's base model. Throws `CheckpointError` where there is none. */
async function requireBaseFolder(folder: string, config: AdapterConfig): Promise<string> {
  const found = await findBaseFolder(folder, config);
  if (found !== undefined) return found;
  throw new CheckpointError(
    `it is a LoRA adapter, and its base model ${quote(config.base)} is no folder here; write the base model's folder as "base_model_name_or_path" into its ${CONFIG_NAME}, or merge it and give the merged model`,
    { path: folder },
  );
}

/** Opens a checkpoint folder; given, as adapters and checkpoints know each other. */
type OpenFolder = (folder: string) => Promise<Checkpoint>;

/**
 * Opens an adapter as the checkpoint that it makes of its base. Throws `CheckpointError` where the base is missing, or a part
 * of the adapter belongs to none of its tensors.
 */
export async function openAdapted(
  folder: string,
  {
    format,
    base: given,
    open,
  }: { readonly format: MergedFormat; readonly base?: string | undefined; readonly open: OpenFolder },
): Promise<Checkpoint> {
  const adapterConfig = await readAdapterConfig(folder);
  const place = given ?? (await requireBaseFolder(folder, adapterConfig));
  if (resolve(place) === resolve(folder))
    throw new CheckpointError("it names itself as its base model; write the folder of its base model there", {
      path: folder,
    });
  const base = await open(place);
  const opened: { close(): Promise<void> }[] = [base];
  const close = async (): Promise<void> => {
    await Promise.all(opened.map((one) => one.close()));
  };
  try {
    const path = `${folder}/${WEIGHTS_NAME}`;
    if (!(await fileExists(path)))
      throw new CheckpointError(`there is no ${WEIGHTS_NAME} in it; save the adapter as safetensors`, {
        path: folder,
      });
    const file = await openSafetensors(path);
    opened.push(file);
    return createAdapted({ folder, base, file, close }, await readParts(file, adapterConfig, base), format);
  } catch (error) {
    await close();
    throw error;
  }
}

interface Opened {
  readonly folder: string;
  readonly base: Checkpoint;
  readonly file: SafetensorsFile;
  readonly close: () => Promise<void>;
}

/** What an adapter changes, by name of the base's tensor. */
interface Parts {
  readonly updates: ReadonlyMap<string, LowRankUpdate>;
  /** Tensors that it replaces, by their name in the adapter's file. */
  readonly replaced: ReadonlyMap<string, string>;
}

const PREFIX = "base_model.model.";
const FACTOR = /^(.*)\.lora_(embedding_)?([AB])(\.weight)?$/;

/** Sorts the tensors of an adapter's file. Throws `CheckpointError` naming what cannot be placed. */
async function readParts(file: SafetensorsFile, config: AdapterConfig, base: Checkpoint): Promise<Parts> {
  const updates = new Map<string, LowRankUpdate>();
  const replaced = new Map<string, string>();
  for (const key of file.header.tensors.keys()) {
    const place = (key.startsWith(PREFIX) ? key.slice(PREFIX.length) : key).replace(".base_layer.", ".");
    const [, module, embedding = "", side] = FACTOR.exec(place) ?? [];
    if (module === undefined) {
      const name = place.replace(".modules_to_save", "");
      requireTensor(base, name, { path: file.path, tensor: key });
      replaced.set(name, key);
    } else if (side === "A") {
      const name = `${module}.weight`;
      const tensor = requireTensor(base, name, { path: file.path, tensor: key });
      const partner = key.replace(`lora_${embedding}A`, `lora_${embedding}B`);
      if (embedding !== "" && base.config.tie_word_embeddings === true)
        throw new CheckpointError(
          "it adapts embeddings that the base also uses as its head, which PEFT adapts in one place only; merge it and give the merged model",
          { path: file.path, tensor: key },
        );
      const isTransposed = embedding !== "" || config.fields.fan_in_fan_out === true;
      const factors = { first: await file.readTensor(key), second: await file.readTensor(partner) };
      updates.set(
        name,
        createUpdate(factors, {
          tensor,
          isTransposed,
          scale: findScale(config, module, factors.first),
          path: file.path,
          key,
        }),
      );
    }
  }
  return { updates, replaced };
}

function requireTensor(
  base: Checkpoint,
  name: string,
  place: { readonly path: string; readonly tensor: string },
): CheckpointTensor {
  const tensor = base.tensors.get(name);
  if (tensor !== undefined) return tensor;
  throw new CheckpointError(
    `its base model ${quote(base.folder)} has no tensor ${quote(name)}; give the base that the adapter was trained on`,
    place,
  );
}

/** lora_alpha / r, by the module's own numbers where there are any; / √r for rank-stabilised LoRA. */
function findScale({ fields }: AdapterConfig, module: string, { shape: [rank = 1] }: TensorData): number {
  const alpha = findByPattern(fields.alpha_pattern, module) ?? toNumber(fields.lora_alpha) ?? rank;
  return alpha / (fields.use_rslora === true ? Math.sqrt(rank) : rank);
}

/** The number of the first pattern that is the module's name or an end of it. */
function findByPattern(patterns: unknown, module: string): number | undefined {
  if (typeof patterns !== "object" || patterns === null) return undefined;
  const found = Object.entries(patterns).find(([pattern]) => matchesModule(pattern, module));
  return toNumber(found?.[1]);
}

/** Patterns are regular expressions for the end of a module's name, from a dot on. */
function matchesModule(pattern: string, module: string): boolean {
  try {
    return new RegExp(`^(?:.*\\.)?(?:${pattern})$`).test(module);
  } catch {
    return module === pattern || module.endsWith(`.${pattern}`);
  }
}

function toNumber(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}

interface UpdatePlace {
  readonly tensor: CheckpointTensor;
  /** Whether the base stores the layer with inputs as rows. */
  readonly isTransposed: boolean;
  readonly scale: number;
  readonly path: string;
  readonly key: string;
}

function createUpdate(
  { first, second }: { readonly first: TensorData; readonly second: TensorData },
  { tensor, isTransposed, scale, path, key }: UpdatePlace,
): LowRankUpdate {
  const [rank = 0, numInputs] = first.shape;
  const [numOutputs, otherRank] = second.shape;
  const expected = (isTransposed ? [numInputs, numOutputs] : [numOutputs, numInputs]).join(", ");
  if (rank !== otherRank || tensor.shape.join(", ") !== expected)
    throw new CheckpointError(
      `with its partner it makes [${expected}] of ranks ${rank} and ${otherRank}, the base's tensor is [${tensor.shape.join(", ")}]; give the base that the adapter was trained on`,
      { path, tensor: key },
    );
  const [left, right] = isTransposed
    ? [transpose(first.data, rank), transpose(second.data, numOutputs ?? 0)]
    : [Float64Array.from(second.data), Float64Array.from(first.data)];
  for (let index = 0; index < left.length; index++) left[index] = (left[index] ?? 0) * scale;
  return { left, right, rank };
}

function transpose(values: Float32Array, rows: number): Float64Array {
  const columns = values.length / rows;
  const turned = new Float64Array(values.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      turned[column * rows + row] = values[row * columns + column] ?? 0;
  return turned;
}

function createAdapted(
  { folder, base, file, close }: Opened,
  { updates, replaced }: Parts,
  format: MergedFormat,
): Checkpoint {
  const tensors = new Map(base.tensors);
  for (const name of updates.keys()) {
    const tensor = tensors.get(name);
    if (tensor !== undefined && format === "exact") tensors.set(name, { ...tensor, dtype: "F32" });
  }
  for (const [name, key] of replaced) {
    const [tensor, entry] = [tensors.get(name), file.header.tensors.get(key)];
    if (tensor !== undefined && entry !== undefined)
      tensors.set(name, { ...tensor, dtype: entry.dtype, shape: entry.shape });
  }
  const openBytes = (name: string): ReadableBytes => {
    const key = replaced.get(name);
    if (key !== undefined) return file.openBytes(key);
    const update = updates.get(name);
    return update === undefined ? base.openBytes(name) : openMerged(name, update, { base, tensors });
  };
  return {
    folder,
    ...(base.isConverted === true ? { isConverted: true } : {}),
    config: base.config,
    tensors,
    adapter: { base: base.folder, updates, replaced: new Set(replaced.keys()) },
    readTensor: async (name) => {
      const { dtype, shape } = tensors.get(name) ?? { dtype: "U8" as const, shape: [] };
      if (!updates.has(name) || !isFloatDtype(dtype))
        return await (replaced.has(name) ? file.readTensor(replaced.get(name) ?? "") : base.readTensor(name));
      const bytes = openBytes(name);
      const count = bytes.length / numBytesOf(dtype, 1);
      return { dtype, shape, data: createRangeDecoder(bytes, dtype)(0, count).slice() };
    },
    readBytes: async (name) => {
      const bytes = openBytes(name);
      return bytes.subarray(0, bytes.length);
    },
    openBytes,
    close,
  };
}

/** W + left · right, made when it is read. */
function openMerged(
  name: string,
  update: LowRankUpdate,
  { base, tensors }: { readonly base: Checkpoint; readonly tensors: ReadonlyMap<string, CheckpointTensor> },
): ReadableBytes {
  const stored = base.tensors.get(name)?.dtype ?? "U8";
  const { dtype = "U8", shape = [] } = tensors.get(name) ?? {};
  if (!isFloatDtype(stored) || !isFloatDtype(dtype))
    throw new CheckpointError(
      `its ${stored} numbers are no floats that an adapter can be added to; use a base in BF16, F16 or F32`,
      {
        path: base.folder,
        tensor: name,
      },
    );
  const [rows = 1, columns = 1] = shape;
  const decode = createRangeDecoder(base.openBytes(name), stored);
  const width = numBytesOf(dtype, 1);
  return {
    length: rows * columns * width,
    subarray: (start, end) => {
      const range = { first: start / width, last: end / width, columns };
      const sum = Float64Array.from(decode(range.first, range.last));
      addProduct(sum, update, range);
      return encodeDoubles(sum, dtype satisfies FloatDtype);
    },
  };
}

/** Adds the elements `first` to `last` (C order) of left · right. */
function addProduct(
  sum: Float64Array,
  { left, right, rank }: LowRankUpdate,
  { first, last, columns }: { readonly first: number; readonly last: number; readonly columns: number },
): void {
  for (let row = Math.floor(first / columns); row * columns < last; row++) {
    const start = Math.max(first, row * columns);
    const end = Math.min(last, (row + 1) * columns);
    for (let term = 0; term < rank; term++) {
      const weight = left[row * rank + term] ?? 0;
      const offset = (term - row) * columns;
      if (weight === 0) continue;
      for (let index = start; index < end; index++)
        sum[index - first] = (sum[index - first] ?? 0) + weight * (right[index + offset] ?? 0);
    }
  }
}
