/** A language model as a value: dimensions, parameters, tokenizer; read from and written to Hugging Face folders. */
import { join } from "node:path";
import { parsePythonJson, setting, UsageError } from "../../base/core/index.ts";
import { fileExists, readText } from "../../base/file/index.ts";
import {
  type Checkpoint,
  CheckpointError,
  describeLostTie,
  type ExpectedTensors,
  findLostTie,
  openCheckpoint,
  readTensors,
  writeCheckpoint,
} from "../../weights/checkpoint/index.ts";
import { sizeOf } from "../tensor/index.ts";
import { hasChatTemplate } from "./chat-prompt.ts";
import { applyGenerationConfig, listEndTokens } from "./config/end-tokens.ts";
import type { ModelConfig } from "./config/model-config.ts";
import { describeModelConfig } from "./config/new-config.ts";
import { parseModelConfig } from "./config/parse-config.ts";
import { renameStored } from "./family/rename-stored.ts";
import { collectParameters, createLayout, type NamedNumbers } from "./parameters.ts";
import { parseTokenizer, type Tokenizer } from "./tokenizer.ts";

/** A model without its parameters. */
export interface ModelDescription {
  readonly config: ModelConfig;
  readonly tokenizer: Tokenizer;
  /** What its `config.json` says; absent for a Llama that was made here. */
  readonly description?: Readonly<Record<string, unknown>>;
}

/** Everything that answering a prompt needs. */
export interface Model extends ModelDescription {
  /** The flat parameter vector of `createLayout(config)`. */
  readonly parameters: Float32Array;
}

/** A model whose parameters lie in a checkpoint folder. */
export interface StoredModel extends ModelDescription {
  /** Bytes that its parameters take as they are stored: 2 each where that is bfloat16, else 4. */
  readonly numStoredBytes: number;
}

const templateFile = "chat_template.jinja";
const tokenizerFiles = ["tokenizer.json", "tokenizer_config.json", templateFile] as const;

/** How a model is loaded. */
export interface LoadOptions {
  /** The base of an adapter; default: the one that it names. */
  readonly base?: string;
  /** Bytes that its parameters may take; default: any number. */
  readonly mostBytes?: number;
}

/**
 * Reads a Hugging Face checkpoint folder, all or nothing. Throws `CheckpointError` for tensors that are missing,
 * extra, malformed or of another shape, `UsageError` for a config or tokenizer the engine cannot run and for parameters that take too much memory. An adapter is added to
 * `base`, or else to the base that it names.
 */
export async function loadModel(folder: string, options: LoadOptions = {}): Promise<Model> {
  const { config, tokenizer, description } = await describeModel(folder, options);
  checkSize(createLayout(config).size * Float32Array.BYTES_PER_ELEMENT, { config, folder, ...options });
  const parameters = await collectParameters(createLayout(config), readParameters(folder, config, options));
  return { config, parameters, tokenizer, ...(description !== undefined && { description }) };
}

/**
 * The parameters of a model of that config in a checkpoint folder one by one, in the order of `createLayout(config)`: those that are stored
 * as bfloat16 are given so. Throws as `loadModel`.
 */
export function readParameters(
  folder: string,
  config: ModelConfig,
  options: Pick<LoadOptions, "base"> = {},
): AsyncIterable<NamedNumbers> {
  return readTensors(folder, expectTensors(config), options);
}

function expectTensors(config: ModelConfig): ExpectedTensors {
  const shapes = new Map(createLayout(config).entries.map(({ name, shape }) => [name, shape]));
  return { shapes, rename: renameStored(config) };
}

/** Throws `UsageError` where parameters that take so many bytes take more than there are. */
export function checkSize(
  numBytes: number,
  {
    config,
    folder,
    mostBytes = Number.POSITIVE_INFINITY,
  }: Pick<LoadOptions, "mostBytes"> & { readonly config: ModelConfig; readonly folder: string },
): void {
  if (numBytes <= mostBytes) return;
  const { size } = createLayout(config);
  const [needed, there] = [numBytes, mostBytes].map((bytes) => (bytes / 1e9).toFixed(1));
  throw new UsageError(
    `Cannot load the model ${folder}: its ${(size / 1e9).toFixed(1)} billion parameters take ${needed} GB, and there are ${there} GB of memory; ask it through a server: ${setting("serve")}`,
  );
}

/** Whether a checkpoint folder, or the base of an adapter, has a chat template. Throws as `openCheckpoint`. */
export async function findChatTemplate(folder: string): Promise<boolean> {
  const checkpoint = await openCheckpoint(folder);
  await checkpoint.close();
  return hasChatTemplate({ files: await readTokenizerFiles(listPlaces(folder, checkpoint)) });
}

/** An adapter need not repeat the files of its base. */
function listPlaces(folder: string, { adapter }: Pick<Checkpoint, "adapter">): readonly string[] {
  return [folder, ...(adapter === undefined ? [] : [adapter.base])];
}

/** What a checkpoint folder says of its model. Throws as `loadModel`, but for what only reading the tensors shows. */
export async function describeModel(
  folder: string,
  options: Pick<LoadOptions, "base"> = {},
): Promise<StoredModel> {
  const checkpoint = await openCheckpoint(folder, options);
  try {
    const tie = findLostTie(checkpoint);
    if (tie !== undefined) throw new CheckpointError(describeLostTie(tie), { path: folder });
  } finally {
    await checkpoint.close();
  }
  const places = listPlaces(folder, checkpoint);
  const config = await readGenerationConfig(
    parseModelConfig(checkpoint.config, join(folder, "config.json")),
    places,
  );
  const files = await readTokenizerFiles(places);
  const tokenizer = parseTokenizer(files, folder);
  if (tokenizer.numTokens > config.vocabularySize)
    throw new UsageError(
      `Cannot use the checkpoint ${folder}: its tokenizer has ${tokenizer.numTokens} tokens but config.json says vocab_size ${config.vocabularySize}`,
    );
  return { config, tokenizer, description: checkpoint.config, numStoredBytes: countStoredBytes(checkpoint) };
}

/** Bytes of all tensors as `readParameters` gives them. */
function countStoredBytes({ tensors, computed }: Checkpoint): number {
  return [...tensors].reduce((sum, [name, { dtype, shape }]) => {
    const isHalf = dtype === "BF16" && computed?.has(name) !== true;
    return sum + sizeOf(shape) * (isHalf ? Uint16Array : Float32Array).BYTES_PER_ELEMENT;
  }, 0);
}

/** Each file of the tokenizer from the first folder that has it; a template from the first that has one of either kind. */
async function readTokenizerFiles(places: readonly string[]): Promise<Readonly<Record<string, string>>> {
  const files: Record<string, string> = {};
  for (const place of places) {
    // That of a base would go before the adapter's own, which lies in its tokenizer_config.json.
    const hasTemplate = hasChatTemplate({ files });
    for (const name of tokenizerFiles)
      if (files[name] === undefined && !(hasTemplate && name === templateFile))
        if (await fileExists(join(place, name))) files[name] = await readText(join(place, name));
  }
  return files;
}

/** The config with the end tokens of the first `generation_config.json` there is. */
async function readGenerationConfig(config: ModelConfig, places: readonly string[]): Promise<ModelConfig> {
  for (const place of places) {
    const path = join(place, "generation_config.json");
    if (await fileExists(path))
      return applyGenerationConfig(config, parseJsonFile(await readText(path), path), path);
  }
  return config;
}

function parseJsonFile(text: string, path: string): unknown {
  try {
    return parsePythonJson(text);
  } catch (cause) {
    throw new UsageError(`Cannot read ${path}: it is not valid JSON; correct or remove the file`, { cause });
  }
}

/** Writes the model as a Hugging Face folder in float32, atomically, with further files by name. */
export async function saveModel(
  folder: string,
  { config, parameters, tokenizer, description }: Model,
  files: Readonly<Record<string, string>> = {},
): Promise<void> {
  const tensors = createLayout(config).entries.map(({ name, shape, offset }) => ({
    name,
    dtype: "F32" as const,
    shape,
    data: () => parameters.subarray(offset, offset + sizeOf(shape)),
  }));
  await writeCheckpoint(folder, {
    config: description === undefined ? describeModelConfig(config) : describeSaved(config, description),
    tensors,
    files: { ...tokenizer.files, ...files },
  });
}

/** What the `config.json` of a model says once it is saved: as it was, but in float32, and with the tokens that end its answers. */
function describeSaved(
  config: ModelConfig,
  description: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const [first = null, ...others] = listEndTokens(config);
  const ends = others.length > 0 ? [first, ...others] : first;
  const { torch_dtype: _, ...rest } = description;
  return { ...rest, dtype: "float32", eos_token_id: ends };
}
