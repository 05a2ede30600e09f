/**
 * What two checkpoint folders say of themselves, compared in plain words: architecture, positions (RoPE), ties, number format,
 * vocabulary, the base's name, tokenizer, chat template and generation. Weights are for others to compare.
 */
import { createHash } from "node:crypto";
import { toObject } from "../base/index.ts";
import { fileExists, readBytes, readText } from "../file/index.ts";
import { findBaseFolder, isAdapterFolder, readAdapterConfig } from "./adapter/adapter-config.ts";
import { openCheckpoint } from "./checkpoint.ts";
import { compareFields, type Fields, isEmpty, parseFields, type Sides } from "./compare-fields.ts";
import { compareTokenizers, type TokenizerFiles } from "./compare-tokenizer.ts";
import { flattenConfig, readRope, tiesEmbeddings } from "./config-fields.ts";
import { describeLostTie, findLostTie } from "./tied-head.ts";

/** Something that the folders of two checkpoints say differently. */
export interface ConfigDifference {
  readonly about:
    | "architecture"
    | "base"
    | "chat template"
    | "format"
    | "generation"
    | "rope"
    | "ties"
    | "tokenizer";
  /** A sentence without its full stop, with both sides. */
  readonly text: string;
}

/**
 * Compares the configurations of two checkpoint folders, an adapter's with its base's where its own folder says nothing. Spellings
 * of different versions count as equal; empty where both say the same. Throws `CheckpointError` as `openCheckpoint`.
 */
export async function compareConfigs(before: string, after: string): Promise<readonly ConfigDifference[]> {
  const sides = { before: await readFolder(before), after: await readFolder(after) };
  const pick = <Value>(read: (side: FolderFiles) => Value): Sides<Value> => ({
    before: read(sides.before),
    after: read(sides.after),
  });
  const tell = (about: ConfigDifference["about"], texts: readonly string[]): readonly ConfigDifference[] =>
    texts.map((text) => ({ about, text }));
  return [
    ...tell("architecture", compareArchitecture(pick(({ config }) => flattenConfig(config)))),
    ...tell(
      "rope",
      compareFields(
        pick(({ config }) => readRope(config)),
        "RoPE",
      ),
    ),
    ...tell("ties", compareTies(pick(({ config }) => tiesEmbeddings(config)))),
    ...tell("ties", [...(await tellLostTie(before, "before")), ...(await tellLostTie(after, "after"))]),
    ...tell(
      "format",
      compareFields(
        pick(({ config }) => readFormat(config)),
        "configuration",
      ),
    ),
    ...tell("base", compareNames(pick(({ baseName }) => baseName))),
    ...tell("tokenizer", compareTokenizers(pick(({ tokenizer }) => tokenizer))),
    ...tell("chat template", compareTemplates(pick(({ tokenizer }) => tokenizer.chatTemplate))),
    ...tell("generation", compareFields(pick(readGeneration), "generation")),
  ];
}

/** What is read of a folder. */
interface FolderFiles {
  readonly config: Readonly<Record<string, unknown>>;
  readonly generation: Readonly<Record<string, unknown>>;
  readonly baseName: string | undefined;
  readonly tokenizer: TokenizerFiles;
}

async function readFolder(folder: string): Promise<FolderFiles> {
  const folders = [folder];
  let baseName: string | undefined;
  if (await isAdapterFolder(folder)) {
    const adapter = await readAdapterConfig(folder);
    baseName = adapter.base;
    const base = await findBaseFolder(folder, adapter);
    if (base !== undefined) folders.push(base);
  }
  const locate = async (name: string): Promise<string | undefined> => {
    for (const one of folders) if (await fileExists(`${one}/${name}`)) return `${one}/${name}`;
    return undefined;
  };
  const read = async (name: string): Promise<string | undefined> => {
    const path = await locate(name);
    return path === undefined ? undefined : await readText(path);
  };
  const config = parseFields(await read("config.json"));
  const own = config._name_or_path;
  return {
    config,
    generation: parseFields(await read("generation_config.json")),
    baseName: baseName ?? (typeof own === "string" && own !== "" ? own : undefined),
    tokenizer: await readTokenizerFiles(read, await locate("tokenizer.model")),
  };
}

async function readTokenizerFiles(
  read: (name: string) => Promise<string | undefined>,
  modelPath: string | undefined,
): Promise<TokenizerFiles> {
  const settings = parseFields(await read("tokenizer_config.json"));
  const template =
    (await read("chat_template.jinja")) ??
    settings.chat_template ??
    parseFields(await read("chat_template.json")).chat_template;
  const model = modelPath === undefined ? undefined : await readBytes(modelPath);
  const added = parseFields(await read("added_tokens.json"));
  const special = { ...parseFields(await read("special_tokens_map.json")), ...settings };
  return {
    json: await read("tokenizer.json"),
    // A tokenizer without tokenizer.json: its files count as they are.
    others: new Map([
      ["tokenizer.model", model && createHash("sha256").update(model).digest("hex")],
      ["vocab.json", await read("vocab.json")],
      ["vocab.txt", await read("vocab.txt")],
      ["merges.txt", await read("merges.txt")],
    ]),
    added,
    settings: special,
    chatTemplate: describeTemplate(template),
  };
}

/** One text for a template or for several of different names. */
function describeTemplate(template: unknown): string | undefined {
  if (template === undefined || template === null) return undefined;
  if (typeof template === "string") return template.trimEnd();
  return JSON.stringify(template);
}

/** Fields that a model is shaped by; others that only one side gives share one sentence. */
const shaping =
  /^(?:\w+\.)*(?:architectures|model_type|vocab_size|hidden_size|intermediate_size|moe_intermediate_size|num_\w+|head_dim|hidden_act|rms_norm_eps|layer_norm_eps\w*|sliding_window|max_position_embeddings|attention_bias|mlp_bias|quantization_config\b.*)$/;

function compareArchitecture({ before, after }: Sides<Fields>): readonly string[] {
  const isOneSided = (name: string): boolean => !shaping.test(name) && before.has(name) !== after.has(name);
  const keep = (fields: Fields): Fields => new Map([...fields].filter(([name]) => !isOneSided(name)));
  const listOnly = (fields: Fields, where: string): readonly string[] => {
    const names = [...fields]
      .filter(([name, value]) => isOneSided(name) && !isEmpty(name, value))
      .map(([name]) => name);
    return names.length === 0 ? [] : [`configuration: only ${where} gives ${names.join(", ")}`];
  };
  return [
    ...compareFields({ before: keep(before), after: keep(after) }, "configuration"),
    ...listOnly(before, "before"),
    ...listOnly(after, "after"),
  ];
}

function compareTies({ before, after }: Sides<boolean>): readonly string[] {
  if (before === after) return [];
  const say = (isTied: boolean): string => (isTied ? "tied" : "two tensors");
  return [`embeddings and head are ${say(before)} before, ${say(after)} after (tie_word_embeddings)`];
}

async function tellLostTie(folder: string, side: string): Promise<readonly string[]> {
  const checkpoint = await openCheckpoint(folder);
  try {
    const lost = findLostTie(checkpoint);
    return lost === undefined ? [] : [`${side}: ${describeLostTie(lost)}`];
  } finally {
    await checkpoint.close();
  }
}

function readFormat(config: Readonly<Record<string, unknown>>): Fields {
  const text = toObject(config.text_config);
  const dtype = config.dtype ?? config.torch_dtype ?? text.dtype ?? text.torch_dtype;
  return new Map(typeof dtype === "string" ? [["number format", dtype.replace(/^torch\./, "")]] : []);
}

function compareNames({ before, after }: Sides<string | undefined>): readonly string[] {
  if (before === undefined || after === undefined || before === after) return [];
  return [`the base is called ${JSON.stringify(before)} before, ${JSON.stringify(after)} after`];
}

function compareTemplates({ before, after }: Sides<string | undefined>): readonly string[] {
  if (before === after) return [];
  if (before === undefined) return ["only the checkpoint after has a chat template"];
  if (after === undefined) return ["only the checkpoint before has a chat template"];
  return ["the chat templates differ"];
}

/** Notes on the file, not on generating. */
const notes = new Set([
  "transformers_version",
  "_from_model_config",
  "use_cache",
  "output_attentions",
  "output_hidden_states",
]);

/** How a model generates: its end tokens and sampling, with the ends that config.json gives where there is nothing else. */
function readGeneration({ config, generation }: FolderFiles): Fields {
  const text = toObject(config.text_config);
  const names = ["bos_token_id", "eos_token_id", "pad_token_id"];
  const ends = names.map((name) => [name, config[name] ?? text[name]] as const);
  const given = Object.entries(generation).filter(([name, value]) => !notes.has(name) && value !== null);
  const merged = new Map([...ends.filter(([, value]) => value !== undefined && value !== null), ...given]);
  return new Map(
    [...merged].map(([name, value]) => {
      // One end token may be written as a list.
      const plain: unknown = Array.isArray(value) && value.length === 1 ? value[0] : value;
      return [name, JSON.stringify(plain)] as const;
    }),
  );
}
