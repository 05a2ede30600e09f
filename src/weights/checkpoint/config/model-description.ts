/** What a checkpoint says of itself beside its weights: configuration, generation, tokenizer, template, read from where they lie. */
import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { fileExists, readBytes, readText } from "../../../base/file/index.ts";
import { findBaseName, listOrigins } from "../adapter/adapter-config.ts";
import { openCheckpoint } from "../checkpoint.ts";
import { findWeights } from "../source/find-weights.ts";
import { parseFields } from "./compare-fields.ts";
import type { TokenizerFiles } from "./compare-tokenizer.ts";
import { findLostTie, type Tie } from "./tied-head.ts";

/** What was read of a checkpoint. */
export interface ModelDescription {
  /** The configuration that it is opened with; empty where there is none. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Whether that was made of a GGUF file, which says little, and keeps its tokenizer to itself. */
  readonly isGguf: boolean;
  readonly generation: Readonly<Record<string, unknown>>;
  readonly baseName: string | undefined;
  readonly tokenizer: TokenizerFiles;
  readonly lostTie: Tie | undefined;
  /** Names of files that are not JSON objects; `tokenizer.json` is not read here. */
  readonly unreadable: readonly string[];
}

/** Reads a checkpoint's description, of an adapter its base's where it says nothing. Throws `CheckpointError` as `openCheckpoint`. */
export async function readDescription(path: string): Promise<ModelDescription> {
  const checkpoint = await openCheckpoint(path);
  try {
    const { config } = checkpoint;
    const origins = await listOrigins(path);
    const found = await findWeights(origins.at(-1) ?? path);
    const folders = await listFolders(origins);
    const { read, unreadable } = createReader();
    const own = config._name_or_path;
    const named = await findBaseName(path);
    return {
      config,
      isGguf: found.kind === "weights" && found.format === "gguf",
      generation: await read(await locate(folders, "generation_config.json")),
      baseName: named ?? (typeof own === "string" && own !== "" ? own : undefined),
      tokenizer: await readTokenizer(await findTokenizer(folders), read),
      lostTie: findLostTie(checkpoint),
      unreadable,
    };
  } finally {
    await checkpoint.close();
  }
}

/** Where files of a model may lie, the nearest first. */
async function listFolders(origins: readonly string[]): Promise<readonly string[]> {
  const folders: string[] = [];
  for (const path of origins) {
    const folder = (await fileExists(path)) ? dirname(path) : path;
    folders.push(folder, join(folder, "huggingface"));
  }
  return folders;
}

async function locate(folders: readonly string[], name: string): Promise<string | undefined> {
  for (const folder of folders) if (await fileExists(join(folder, name))) return join(folder, name);
  return undefined;
}

type ReadFields = (path: string | undefined) => Promise<Readonly<Record<string, unknown>>>;

/** Reads JSON objects, and notes which files are none. */
function createReader(): { readonly read: ReadFields; readonly unreadable: readonly string[] } {
  const unreadable: string[] = [];
  return {
    unreadable,
    read: async (path) => {
      if (path === undefined) return {};
      const fields = parseFields(await readText(path));
      if (fields === undefined) unreadable.push(path);
      return fields ?? {};
    },
  };
}

const vocabularies = ["tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt"];

/** The folder whose files are the tokenizer, all of them: the first with a vocabulary, else with anything of one. */
async function findTokenizer(folders: readonly string[]): Promise<string> {
  for (const names of [vocabularies, ["tokenizer_config.json", "special_tokens_map.json"], templates])
    for (const folder of folders)
      for (const name of names) if (await fileExists(join(folder, name))) return folder;
  return folders[0] ?? "";
}

const templates = ["chat_template.jinja", "chat_template.json"];

async function readTokenizer(folder: string, read: ReadFields): Promise<TokenizerFiles> {
  const find = (name: string): Promise<string | undefined> => locate([folder], name);
  const readOne = async (name: string): Promise<string | undefined> => {
    const path = await find(name);
    return path === undefined ? undefined : await readText(path);
  };
  const settings = await read(await find("tokenizer_config.json"));
  const template =
    (await readOne("chat_template.jinja")) ??
    settings.chat_template ??
    (await read(await find("chat_template.json"))).chat_template;
  const modelPath = await find("tokenizer.model");
  const model = modelPath === undefined ? undefined : await readBytes(modelPath);
  return {
    json: await readOne("tokenizer.json"),
    // A tokenizer without tokenizer.json: its files count as they are.
    others: new Map([
      ["tokenizer.model", model && createHash("sha256").update(model).digest("hex")],
      ["vocab.json", await readOne("vocab.json")],
      ["vocab.txt", await readOne("vocab.txt")],
      ["merges.txt", await readOne("merges.txt")],
    ]),
    added: await read(await find("added_tokens.json")),
    settings: { ...(await read(await find("special_tokens_map.json"))), ...settings },
    chatTemplate: describeTemplate(template),
  };
}

/** One text for a template or for several of different names. */
function describeTemplate(template: unknown): string | undefined {
  if (template === undefined || template === null) return undefined;
  if (typeof template === "string") return template.trimEnd();
  return JSON.stringify(template);
}
