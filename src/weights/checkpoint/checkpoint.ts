/**
 * Checkpoint folders as Hugging Face lays them out: `config.json` and `model.safetensors`, or shards with
 * `model.safetensors.index.json`. What the configuration and the tensors mean is for others to know.
 */
import { dirname } from "node:path";
import { fileExists, folderExists, writeFileAtomic, writeFolderAtomic } from "../../base/file/index.ts";
import { isAdapterFolder } from "./adapter/adapter-config.ts";
import { openInlined } from "./adapter/inlined.ts";
import { type MergedFormat, openAdapted } from "./adapter/open-adapted.ts";
import { CheckpointError, quote } from "./checkpoint-error.ts";
import { readJsonFile } from "./config/read-json.ts";
import { openGgufSource } from "./gguf/gguf-source.ts";
import type { Checkpoint } from "./open-checkpoint.ts";
import { requireWhole } from "./require-whole.ts";
import { openSafetensorsSource } from "./safetensors/safetensors-source.ts";
import { type WritableTensor, writeSafetensors } from "./safetensors/safetensors-write.ts";
import { isPlainName } from "./safetensors/shard-index.ts";
import {
  type FoundWeights,
  findWeights,
  type WeightFiles,
  type WeightFormat,
} from "./source/find-weights.ts";
import { createReader, type WeightSource } from "./source/weight-source.ts";
import { openDcpSource } from "./torch/dcp-source.ts";
import { openTorchSource } from "./torch/torch-source.ts";
import { openVerlSource } from "./torch/verl-source.ts";

/** What to write into a checkpoint folder. */
export interface CheckpointContent {
  /** Becomes `config.json`. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Become `model.safetensors`. */
  readonly tensors: Iterable<WritableTensor>;
  /** Further files by name, such as `tokenizer.json`. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
}

const CONFIG_NAME = "config.json";
const MODEL_NAME = "model.safetensors";
const INDEX_NAME = "model.safetensors.index.json";

/** How an adapter is opened; other checkpoints have nothing to choose. */
export interface OpenOptions {
  /** Default: exact. */
  readonly merged?: MergedFormat;
  /** The folder of the base model, in place of the one that the adapter names. */
  readonly base?: string;
}

/**
 * Opens a checkpoint folder: its configuration and all headers, checked against the index when there are shards.
 * Where both are there, `model.safetensors` is read and the shards are not, as transformers does. A LoRA adapter is opened as
 * what it makes of its base model, in 32-bit floats unless `merged` is "rounded".
 * Throws `CheckpointError` when anything is missing, malformed, or not where the index says.
 */
export async function openCheckpoint(folder: string, options: OpenOptions = {}): Promise<Checkpoint> {
  return await openAtDepth(folder, options, 0);
}

/** `depth`: how many adapters were opened on the way here. */
async function openAtDepth(path: string, options: OpenOptions, depth: number): Promise<Checkpoint> {
  const isFile = await fileExists(path);
  if (!isFile && !(await folderExists(path)))
    throw new CheckpointError("no such folder; give the path of a Hugging Face checkpoint folder", { path });
  if (!isFile && (await isAdapterFolder(path))) return await openAdapterAtDepth(path, options, depth);
  const found = await findReadable(path);
  const stated = await readConfig(isFile ? dirname(path) : path);
  if (stated === undefined && !isFile && configuredFormats.has(found.format))
    throw new CheckpointError("no such file; give a checkpoint folder with its config.json", {
      path: `${path}/${CONFIG_NAME}`,
    });
  const source = await openers[found.format](found);
  try {
    return await openInlined(
      describeSource(source, { path, isFile, found, stated }),
      options.merged ?? "exact",
    );
  } catch (error) {
    await source.close();
    throw error;
  }
}

async function openAdapterAtDepth(
  path: string,
  { merged = "exact", base }: OpenOptions,
  depth: number,
): Promise<Checkpoint> {
  return await openAdapted(path, {
    format: merged,
    base,
    open: async (other) => {
      // An adapter to an adapter may be; more than that is a circle.
      if (depth > 1)
        throw new CheckpointError("its bases are adapters all the way down; merge them", { path });
      return await openAtDepth(other, { merged }, depth + 1);
    },
  });
}

/** Weights of a format that can be read. */
type ReadableWeights = Extract<FoundWeights, { readonly kind: "weights" }>;

/** The weights at a path. Throws `CheckpointError` where there are none that can be read. */
async function findReadable(path: string): Promise<ReadableWeights> {
  const found = await findWeights(path);
  if (found.kind === "refused") throw new CheckpointError(found.reason, { path });
  return found.kind === "none" ? await refuseEmpty(path, found.holds) : found;
}

/** What was opened, as a checkpoint. Throws `CheckpointError` where parts of it are missing. */
function describeSource(
  source: WeightSource,
  {
    path,
    isFile,
    found,
    stated,
  }: {
    readonly path: string;
    readonly isFile: boolean;
    readonly found: ReadableWeights;
    readonly stated: Checkpoint["config"] | undefined;
  },
): Checkpoint {
  const config = source.config ?? stated ?? {};
  if (source.isParted === true) requireWhole(source, { config, path });
  const isConverted = isFile || found.format !== "safetensors" || source.isParted === true;
  return {
    folder: path,
    config,
    ...createReader(source, { folder: found.folder, config }),
    ...(isConverted && { isConverted }),
    close: () => source.close(),
  };
}

/** Formats that lie in a folder with a config.json only. */
const configuredFormats: ReadonlySet<WeightFormat> = new Set(["safetensors", "torch"]);

/** How the weights of each format are opened. */
const openers: { readonly [Format in WeightFormat]: (files: WeightFiles) => Promise<WeightSource> } = {
  safetensors: openSafetensorsSource,
  verl: openVerlSource,
  torch: openTorchSource,
  dcp: openDcpSource,
  gguf: openGgufSource,
};

async function refuseEmpty(folder: string, holds: string): Promise<never> {
  const isModel = await fileExists(`${folder}/${CONFIG_NAME}`);
  throw new CheckpointError(
    `there are no weights in it, ${holds}; ${isModel ? "save the model into it as safetensors" : "give the path of a checkpoint folder"}`,
    { path: folder },
  );
}

/**
 * Writes a checkpoint folder atomically, replacing an existing one: `config.json`, `model.safetensors` and the extra
 * files. Throws as `writeSafetensors`, and `RangeError` for a file name that is taken or leaves the folder.
 */
export async function writeCheckpoint(
  folder: string,
  { config, tensors, files = {} }: CheckpointContent,
): Promise<void> {
  for (const name of Object.keys(files))
    if (!isPlainName(name) || [CONFIG_NAME, MODEL_NAME, INDEX_NAME].includes(name))
      throw new RangeError(
        `Cannot write file ${quote(name)} into a checkpoint: the name is taken or no plain name`,
      );
  const fill = async (temporary: string): Promise<void> => {
    await writeFileAtomic(`${temporary}/${CONFIG_NAME}`, `${JSON.stringify(config, null, 2)}\n`);
    for (const [name, content] of Object.entries(files))
      await writeFileAtomic(`${temporary}/${name}`, content);
    await writeSafetensors(`${temporary}/${MODEL_NAME}`, tensors);
  };
  await writeFolderAtomic(folder, fill, { whenTaken: "replace" });
}

/** The configuration beside the weights, or where verl keeps it; `undefined` where there is none. */
async function readConfig(folder: string): Promise<Readonly<Record<string, unknown>> | undefined> {
  for (const path of [`${folder}/${CONFIG_NAME}`, `${folder}/huggingface/${CONFIG_NAME}`])
    if (await fileExists(path)) return await readJsonFile(path, "correct the file or download it again");
  return undefined;
}
