/**
 * What two checkpoint folders say of themselves, compared in plain words: architecture, positions (RoPE), ties, number format,
 * vocabulary, the base's name, tokenizer, chat template and generation. Weights are for others to compare.
 */
import { toObject } from "../../../base/core/index.ts";
import { compareFields, type Fields, isEmpty, type Sides } from "./compare-fields.ts";
import { compareTokenizers } from "./compare-tokenizer.ts";
import { flattenConfig, readRope, tiesEmbeddings } from "./config-fields.ts";
import { type ModelDescription, readDescription } from "./model-description.ts";
import { describeLostTie } from "./tied-head.ts";

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
 * Compares the configurations of two checkpoints, an adapter's with its base's where its own folder says nothing. Spellings of
 * different versions count as equal; empty where both say the same. What can't be compared is said. Throws `CheckpointError` as
 * `openCheckpoint`.
 */
export async function compareConfigs(before: string, after: string): Promise<readonly ConfigDifference[]> {
  const sides = { before: await readDescription(before), after: await readDescription(after) };
  const tell = (about: ConfigDifference["about"], texts: readonly string[]): readonly ConfigDifference[] =>
    texts.map((text) => ({ about, text }));
  return [
    ...compareModels(sides),
    ...tell("ties", [...tellLostTie(sides.before, "before"), ...tellLostTie(sides.after, "after")]),
    ...tell("base", compareNames({ before: sides.before.baseName, after: sides.after.baseName })),
    ...compareTexts(sides),
    ...tell("generation", compareFields(pickFields(sides, readGeneration), "generation")),
    ...tell("tokenizer", [...tellUnreadable(sides.before), ...tellUnreadable(sides.after)]),
  ].toSorted((a, b) => order.indexOf(a.about) - order.indexOf(b.about));
}

/** The order in which differences are told. */
const order: readonly ConfigDifference["about"][] = [
  ...(["architecture", "rope", "ties", "format", "base"] as const),
  ...(["tokenizer", "chat template", "generation"] as const),
];

/** What the configurations say of the models. */
function compareModels(sides: Sides<ModelDescription>): readonly ConfigDifference[] {
  const [first, second] = [sides.before, sides.after].map(({ config }) => Object.keys(config).length > 0);
  if (first !== second) {
    const where = first === true ? "before" : "after";
    return [
      {
        about: "architecture",
        text: `only the checkpoint ${where} has a configuration (config.json), so that nothing in it is compared`,
      },
    ];
  }
  const { before, after } = sides;
  const parts = {
    architecture: compareArchitecture(pickFields(sides, ({ config }) => flattenConfig(config))),
    rope: compareFields(
      pickFields(sides, ({ config }) => readRope(config)),
      "RoPE",
    ),
    ties: compareTies({ before: tiesEmbeddings(before.config), after: tiesEmbeddings(after.config) }),
    format: compareFields(
      pickFields(sides, ({ config }) => readFormat(config)),
      "configuration",
    ),
  } as const;
  return (["architecture", "rope", "ties", "format"] as const).flatMap((about) =>
    parts[about].map((text) => ({ about, text })),
  );
}

/** Fields of both sides; beside a GGUF file, which leaves most of them out, those alone that both have. */
function pickFields(
  { before, after }: Sides<ModelDescription>,
  read: (side: ModelDescription) => Fields,
): Sides<Fields> {
  const [first, second] = [read(before), read(after)];
  if (!before.isGguf && !after.isGguf) return { before: first, after: second };
  const keep = (fields: Fields, other: Fields): Fields =>
    new Map([...fields].filter(([name]) => other.has(name)));
  return { before: keep(first, second), after: keep(second, first) };
}

/** Tokenizers and templates. */
function compareTexts({ before, after }: Sides<ModelDescription>): readonly ConfigDifference[] {
  if (before.isGguf || after.isGguf)
    return [
      {
        about: "tokenizer",
        text: "the tokenizer and the chat template in a GGUF file are not read, so they are not compared",
      },
    ];
  const sides = { before: before.tokenizer, after: after.tokenizer };
  const templates = { before: sides.before.chatTemplate, after: sides.after.chatTemplate };
  return [
    ...compareTokenizers(sides).map((text) => ({ about: "tokenizer", text }) as const),
    ...compareTemplates(templates).map((text) => ({ about: "chat template", text }) as const),
  ];
}

function tellUnreadable({ unreadable }: ModelDescription): readonly string[] {
  return unreadable.map((path) => `${JSON.stringify(path)} is not a JSON object, so it is not compared`);
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

function tellLostTie({ lostTie }: ModelDescription, side: string): readonly string[] {
  return lostTie === undefined ? [] : [`${side}: ${describeLostTie(lostTie)}`];
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
function readGeneration({ config, generation }: ModelDescription): Fields {
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
