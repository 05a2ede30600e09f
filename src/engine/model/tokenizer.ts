/** Text to token ids and back, by a Hugging Face `tokenizer.json`; and the word-level one of our small models. */
import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";
import { toObject, UsageError } from "../../base/core/index.ts";
import { mendPreTokenizer } from "./mend-pre-tokenizer.ts";

/** A tokenizer and the files it is made of. */
export interface Tokenizer {
  /** Token ids of a text; nothing is added before or after. */
  encode(text: string): readonly number[];
  /**
   * Token ids of a plain prompt: begun as the tokenizer begins texts (with `<s>`, where its post-processor says so), as
   * transformers and vLLM do. What a chat template wrote holds all that it needs, and is for `encode`.
   */
  encodePrompt(text: string): readonly number[];
  /** The text of token ids, without special tokens. */
  decode(tokens: readonly number[]): string;
  /** The words of a text of which `encode` keeps no more than that they are unknown. */
  listUnknown(text: string): readonly string[];
  /** One more than the largest token id: what a model's vocabulary must hold. */
  readonly numTokens: number;
  /** Contents of the files that describe it, by name (tokenizer.json, tokenizer_config.json). */
  readonly files: Readonly<Record<string, string>>;
}

/** Special tokens of `createWordTokenizer`, with their ids. */
export const specialTokens = {
  pad: { text: "<pad>", id: 0 },
  end: { text: "<eos>", id: 1 },
  unknown: { text: "<unk>", id: 2 },
} as const;

/**
 * The tokenizer in the texts of `tokenizer.json` and `tokenizer_config.json`. Throws `UsageError` naming
 * `source` where they cannot be read.
 */
export function parseTokenizer(files: Readonly<Record<string, string>>, source: string): Tokenizer {
  const library = createLibraryTokenizer(files, source);
  const encode = (text: string): readonly number[] => library.encode(text, { add_special_tokens: false }).ids;
  const startTokens = findStartTokens(library);
  const unknownToken = findUnknownToken(files["tokenizer.json"] ?? "{}");
  const isUnknown = (text: string): boolean =>
    unknownToken !== undefined && encode(text.replaceAll(unknownToken.text, " ")).includes(unknownToken.id);
  return {
    encode,
    encodePrompt: (text) => [...startTokens, ...encode(text)],
    listUnknown: (text) => (isUnknown(text) ? text.split(/\s+/).filter(isUnknown) : []),
    decode: (tokens) =>
      tokens.length === 0
        ? ""
        : library.decode([...tokens], { skip_special_tokens: true, clean_up_tokenization_spaces: false }),
    numTokens: 1 + Math.max(-1, ...library.get_vocab().values()),
    files,
  };
}

/** The tokens that a tokenizer puts before a text of its own; what it puts behind is not for prompts. */
function findStartTokens(library: LibraryTokenizer): readonly number[] {
  const [plain, whole] = [false, true].map(
    (isWhole) => library.encode("a", { add_special_tokens: isWhole }).ids,
  );
  const [first] = plain ?? [];
  return first === undefined ? [] : (whole ?? []).slice(0, Math.max(0, (whole ?? []).indexOf(first)));
}

/** The token that stands for what a tokenizer does not know, where it has one. */
function findUnknownToken(text: string): { readonly text: string; readonly id: number } | undefined {
  const { model, added_tokens: added } = toObject(JSON.parse(text));
  const { unk_token: unknown, unk_id: place, vocab } = toObject(model);
  // A unigram model has a list of pieces, and the place of that one.
  if (Array.isArray(vocab) && typeof place === "number") {
    const [piece]: readonly unknown[] = [vocab[place]].flat();
    return typeof piece === "string" ? { text: piece, id: place } : undefined;
  }
  if (typeof unknown !== "string") return undefined;
  const listed = Array.isArray(added) ? added.map((entry: unknown) => toObject(entry)) : [];
  const id = listed.find(({ content }) => content === unknown)?.id ?? toObject(vocab)[unknown];
  return typeof id === "number" ? { text: unknown, id } : undefined;
}

function createLibraryTokenizer(files: Readonly<Record<string, string>>, source: string): LibraryTokenizer {
  try {
    const tokenizer: object = JSON.parse(files["tokenizer.json"] ?? "");
    const config: object = JSON.parse(files["tokenizer_config.json"] ?? "{}");
    return new LibraryTokenizer(mendPreTokenizer(toObject(tokenizer)), config);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new UsageError(
      `Cannot read the tokenizer of ${source}: ${reason}; give a folder with a tokenizer.json`,
      { cause },
    );
  }
}

/** A word-level tokenizer: words are separated by spaces, ids follow the special tokens in the order given. */
export function createWordTokenizer(words: readonly string[]): Tokenizer {
  const specials = Object.values(specialTokens);
  const vocabulary = [...specials.map(({ text }) => text), ...words];
  const tokenizer = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: specials.map(({ id, text }) => ({
      id,
      content: text,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: { type: "WhitespaceSplit" },
    post_processor: null,
    decoder: null,
    model: {
      type: "WordLevel",
      vocab: Object.fromEntries(vocabulary.map((word, id) => [word, id])),
      unk_token: specialTokens.unknown.text,
    },
  };
  const config = {
    tokenizer_class: "PreTrainedTokenizerFast",
    clean_up_tokenization_spaces: false,
    eos_token: specialTokens.end.text,
    pad_token: specialTokens.pad.text,
    unk_token: specialTokens.unknown.text,
  };
  const write = (value: unknown): string => `${JSON.stringify(value, null, 1)}\n`;
  return parseTokenizer(
    { "tokenizer.json": write(tokenizer), "tokenizer_config.json": write(config) },
    "the vocabulary",
  );
}
