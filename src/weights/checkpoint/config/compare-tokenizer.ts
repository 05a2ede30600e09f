/** Two tokenizers by their content: tokens and their numbers, how texts are cut, special tokens. */
import { toObject } from "../../../base/core/index.ts";
import { compareFields, type Fields, parseFields, type Sides } from "./compare-fields.ts";

/** What a folder holds of a tokenizer, as texts and fields. */
export interface TokenizerFiles {
  /** `tokenizer.json`. */
  readonly json: string | undefined;
  /** Further files by name. */
  readonly others: ReadonlyMap<string, string | undefined>;
  /** `added_tokens.json`. */
  readonly added: Readonly<Record<string, unknown>>;
  /** `tokenizer_config.json` over `special_tokens_map.json`. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly chatTemplate: string | undefined;
}

/** What differs, in sentences. */
export function compareTokenizers({ before, after }: Sides<TokenizerFiles>): readonly string[] {
  const [first, second] = [hasTokenizer(before), hasTokenizer(after)];
  if (!first && !second) return [];
  if (!first || !second) return [`only the checkpoint ${first ? "before" : "after"} has a tokenizer`];
  return [
    ...(before.json === after.json ? [] : compareContent(before, after)),
    ...compareFields({ before: readSpecial(before), after: readSpecial(after) }, "tokenizer"),
    ...(before.json === undefined && after.json === undefined ? compareOthers(before, after) : []),
  ];
}

function hasTokenizer({ json, others, settings }: TokenizerFiles): boolean {
  return (
    json !== undefined ||
    [...others.values()].some(Boolean) ||
    settingNames.some((name) => settings[name] !== undefined)
  );
}

function compareContent(before: TokenizerFiles, after: TokenizerFiles): readonly string[] {
  if (before.json === undefined || after.json === undefined) {
    const where = before.json === undefined ? "after" : "before";
    return [`tokenizer: only the checkpoint ${where} has a tokenizer.json, so their tokens are not compared`];
  }
  const [first, second] = [parseFields(before.json), parseFields(after.json)];
  if (first === undefined || second === undefined) {
    const where = first !== undefined ? "after" : second !== undefined ? "before" : "of both sides";
    return [`tokenizer: the tokenizer.json ${where} is not a JSON object, so their tokens are not compared`];
  }
  const tokens = { before: readTokens(first), after: readTokens(second) };
  return [...compareTokens(tokens), ...compareRules(first, second)];
}

/** Numbers by token, added ones included. */
function readTokens(json: Readonly<Record<string, unknown>>): ReadonlyMap<string, number> {
  const { vocab } = toObject(json.model);
  const own: readonly (readonly [string, number])[] = Array.isArray(vocab)
    ? vocab.map((entry: unknown, id) => [String(Array.isArray(entry) ? entry[0] : entry), id])
    : Object.entries(toObject(vocab)).map(([token, id]) => [token, Number(id)]);
  const added = Array.isArray(json.added_tokens) ? json.added_tokens.map(toObject) : [];
  return new Map([...own, ...added.map(({ content, id }) => [String(content), Number(id)] as const)]);
}

function compareTokens({ before, after }: Sides<ReadonlyMap<string, number>>): readonly string[] {
  const gone = [...before.keys()].filter((token) => !after.has(token));
  const added = [...after.keys()].filter((token) => !before.has(token));
  const moved = [...before].filter(([token, id]) => after.has(token) && after.get(token) !== id);
  return [
    ...sayTokens(added, "only the checkpoint after has"),
    ...sayTokens(gone, "only the checkpoint before has"),
    ...sayTokens(
      moved.map(([token]) => token),
      "other numbers have",
    ),
  ];
}

function sayTokens(tokens: readonly string[], what: string): readonly string[] {
  if (tokens.length === 0) return [];
  const shown = tokens.slice(0, 3).map((token) => JSON.stringify(token));
  const more = tokens.length > shown.length ? ", …" : "";
  return [
    `tokenizer: ${what} ${tokens.length} ${tokens.length === 1 ? "token" : "tokens"} (${shown.join(", ")}${more})`,
  ];
}

/** Parts of `tokenizer.json` that say how texts are cut and put together. */
const rules = ["normalizer", "pre_tokenizer", "post_processor", "decoder"];

function compareRules(
  before: Readonly<Record<string, unknown>>,
  after: Readonly<Record<string, unknown>>,
): readonly string[] {
  const differ = rules.filter(
    (name) => JSON.stringify(before[name] ?? null) !== JSON.stringify(after[name] ?? null),
  );
  const [first, second] = [toObject(before.model), toObject(after.model)];
  if (describeMerges(first) !== describeMerges(second)) differ.push("merges");
  if (describeModel(first) !== describeModel(second)) differ.push("model");
  const isSpecial = (json: Readonly<Record<string, unknown>>): string => JSON.stringify(listSpecial(json));
  if (isSpecial(before) !== isSpecial(after)) differ.push("which tokens are special");
  return differ.length === 0 ? [] : [`tokenizer: the tokenizer.json differ in ${differ.join(", ")}`];
}

/** Merges are written as pairs or as texts with a space. */
function describeMerges({ merges }: Readonly<Record<string, unknown>>): string {
  const list: readonly unknown[] = Array.isArray(merges) ? merges : [];
  return list.map((merge) => (Array.isArray(merge) ? merge.join(" ") : String(merge))).join("\n");
}

/** The rest of the model: its type and settings that are not off; scores of a unigram model. */
function describeModel({ vocab, merges: _, ...others }: Readonly<Record<string, unknown>>): string {
  const kept = Object.entries(others).filter(
    ([, value]) => value !== null && value !== false && value !== "",
  );
  const scores = Array.isArray(vocab)
    ? vocab.map((entry: unknown) => (Array.isArray(entry) ? entry[1] : null))
    : [];
  return JSON.stringify([kept.sort(([a], [b]) => (a < b ? -1 : 1)), scores]);
}

function listSpecial(json: Readonly<Record<string, unknown>>): readonly string[] {
  const added = Array.isArray(json.added_tokens) ? json.added_tokens.map(toObject) : [];
  return added
    .filter(({ special }) => special === true)
    .map(({ content }) => String(content))
    .sort();
}

/** Settings that change what a text becomes. */
const settingNames = [
  ...["bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token", "mask_token"],
  ...["add_bos_token", "add_eos_token", "add_prefix_space", "padding_side"],
];

/** Special tokens are texts, or objects that hold one. */
function readSpecial({ settings }: TokenizerFiles): Fields {
  return new Map(
    settingNames.flatMap((name) => {
      const value = settings[name];
      const text = typeof value === "object" && value !== null ? toObject(value).content : value;
      return text === undefined || text === null ? [] : [[name, JSON.stringify(text)] as const];
    }),
  );
}

function compareOthers(before: TokenizerFiles, after: TokenizerFiles): readonly string[] {
  const files = [...before.others.keys()].filter(
    (name) => before.others.get(name) !== after.others.get(name),
  );
  const isAddedAlike = JSON.stringify(before.added) === JSON.stringify(after.added);
  const differ = isAddedAlike ? files : [...files, "added_tokens.json"];
  return differ.length === 0 ? [] : [`tokenizer: ${differ.join(", ")} differ`];
}
