/** A language model as a value: dimensions, parameters, tokenizer; read from and written to Hugging Face folders. */
import { join } from "node:path";
import { parsePythonJson, UsageError } from "../../base/core/index.ts";
import { fileExists, readText } from "../../base/file/index.ts";
import {
  type Checkpoint,
  loadTensors,
  openCheckpoint,
  writeCheckpoint,
} from "../../weights/checkpoint/index.ts";
import { sizeOf } from "../tensor/index.ts";
import { hasChatTemplate } from "./chat-prompt.ts";
import { applyGenerationConfig, describeModelConfig, type ModelConfig, parseModelConfig } from "./config.ts";
import { createLayout } from "./parameters.ts";
import { parseTokenizer, type Tokenizer } from "./tokenizer.ts";

/** Everything that answering a prompt needs. */
export interface Model {
  readonly config: ModelConfig;
  /** The flat parameter vector of `createLayout(config)`. */
  readonly parameters: Float32Array;
  readonly tokenizer: Tokenizer;
}

const templateFile = "chat_template.jinja";
const tokenizerFiles = ["tokenizer.json", "tokenizer_config.json", templateFile] as const;

/**
 * Reads a Hugging Face checkpoint folder, all or nothing. Throws `CheckpointError` for tensors that are missing,
 * extra, malformed or of another shape, `UsageError` for a config or tokenizer the engine cannot run. An adapter is added to
 * `base`, or else to the base that it names.
 */
export async function loadModel(folder: string, options: { readonly base?: string } = {}): Promise<Model> {
  const { config, tokenizer } = await readDescription(folder, options);
  const layout = createLayout(config);
  const tensors = await loadTensors(
    folder,
    new Map(layout.entries.map(({ name, shape }) => [name, shape])),
    options,
  );
  const parameters = new Float32Array(layout.size);
  for (const { name, offset } of layout.entries) parameters.set(tensors.get(name) ?? [], offset);
  return { config, parameters, tokenizer };
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

async function readDescription(
  folder: string,
  options: { readonly base?: string },
): Promise<Pick<Model, "config" | "tokenizer">> {
  const checkpoint = await openCheckpoint(folder, options);
  await checkpoint.close();
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
  return { config, tokenizer };
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
  { config, parameters, tokenizer }: Model,
  files: Readonly<Record<string, string>> = {},
): Promise<void> {
  const tensors = createLayout(config).entries.map(({ name, shape, offset }) => ({
    name,
    dtype: "F32" as const,
    shape,
    data: () => parameters.subarray(offset, offset + sizeOf(shape)),
  }));
  await writeCheckpoint(folder, {
    config: describeModelConfig(config),
    tensors,
    files: { ...tokenizer.files, ...files },
  });
}
