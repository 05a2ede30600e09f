/**
 * What kinds of weights lie in a folder, by the names in it; no tensor is read. One table has an entry for every format that can
 * be read, a list those that are refused by name.
 */
import { basename, dirname } from "node:path";
import { fileExists, listFiles, listFolders } from "../../../base/file/index.ts";
import { CheckpointError, quote } from "../checkpoint-error.ts";
import { findEntangled, findForeign } from "./unreadable-format.ts";

/** A format of weights that can be read. */
export type WeightFormat = "safetensors" | "verl" | "torch" | "dcp" | "gguf";

/** What to open: files of a folder, or an index that lists them. */
export interface WeightFiles {
  readonly folder: string;
  /** Names of the files, in their order; of an index its name alone. */
  readonly files: readonly string[];
  /** Whether the file is an index that says which tensor lies where. */
  readonly isIndex: boolean;
}

/** What was found at a path. */
export type FoundWeights =
  /** No weights, or not yet; `holds` says what there is instead, as a clause. */
  | { readonly kind: "none"; readonly holds: string }
  /** Weights of a format that can be read; whether they are whole, opening shows. */
  | ({ readonly kind: "weights"; readonly format: WeightFormat } & WeightFiles)
  /** Weights that can't be read, and what to do, as a clause. */
  | { readonly kind: "refused"; readonly reason: string };

/** What a format finds among the names in a folder: files to open, a reason against them, or nothing of its own. */
type Finding = Omit<WeightFiles, "folder"> | { readonly reason: string } | undefined;

type Rule = (names: readonly string[]) => Finding;

interface FormatRules {
  /** By a name that says that the file is the model. */
  readonly named: Rule;
  /** By the kind of the file alone. */
  readonly any: Rule;
}

const nothing: Rule = () => undefined;

/** All formats, the best first: where a folder has several, they are copies of each other. */
const rules: { readonly [Format in WeightFormat]: FormatRules } = {
  safetensors: {
    named: (names) => findNamed(names, { stem: "model", extension: "safetensors" }),
    any: (names) => findAny(names, /\.safetensors$/),
  },
  verl: {
    named: (names) => {
      const files = names.filter((name) => /^model_world_size_\d+_rank_\d+\.pt$/.test(name));
      return files.length === 0 ? undefined : { files, isIndex: false };
    },
    any: nothing,
  },
  torch: {
    named: (names) => findNamed(names, { stem: "pytorch_model", extension: "bin" }),
    any: (names) => findAny(names, /\.(?:bin|pth|pt|ckpt)$/),
  },
  dcp: {
    named: findDistributed,
    any: (names) => (names.includes(".metadata") ? { files: [".metadata"], isIndex: true } : undefined),
  },
  gguf: { named: nothing, any: (names) => findAny(names, /\.gguf$/) },
};

const formats: readonly WeightFormat[] = ["safetensors", "verl", "torch", "dcp", "gguf"];

/** Where accelerate puts a distributed checkpoint within a checkpoint of Hugging Face's Trainer. */
const nestedFolder = "pytorch_model_fsdp_0";

/** Says what weights lie in a folder, or what kind of weights a file holds. Throws `CheckpointError` where there is neither. */
export async function findWeights(path: string): Promise<FoundWeights> {
  if (await fileExists(path)) return findInFile(path);
  const [names, folders] = [await listFiles(path), await listFolders(path)];
  const weights = names.filter((name) => !isOfTrainer(name));
  const everything = [...names, ...folders.map((name) => `${name}/`)];
  const named = findByRule("named", { folder: path, names: weights });
  if (named !== undefined) return named;
  if (await fileExists(`${path}/${nestedFolder}/.metadata`))
    return {
      kind: "weights",
      format: "dcp",
      folder: `${path}/${nestedFolder}`,
      files: [".metadata"],
      isIndex: true,
    };
  const entangled = findEntangled(everything);
  if (entangled !== undefined) return { kind: "refused", reason: entangled };
  const any = findByRule("any", { folder: path, names: weights });
  if (any !== undefined) return any;
  const foreign = findForeign(everything);
  if (foreign !== undefined) return { kind: "refused", reason: foreign };
  return { kind: "none", holds: describeContent(everything) };
}

/** A file that is a whole checkpoint, such as `x.gguf`. */
function findInFile(path: string): FoundWeights {
  const place = { folder: dirname(path), names: [basename(path)] };
  if (findDistributed(place.names) !== undefined)
    throw new CheckpointError("it holds a part of every tensor; give the folder with all parts", { path });
  const found = findByRule("named", place) ?? findByRule("any", place);
  if (found?.kind === "weights") return found;
  throw new CheckpointError(
    "it is not a whole file of weights; give a checkpoint folder, or a .safetensors, .bin, .pt, .pth or .gguf file",
    { path },
  );
}

/** What the first format finds that finds anything. */
function findByRule(
  rule: keyof FormatRules,
  { folder, names }: { readonly folder: string; readonly names: readonly string[] },
): FoundWeights | undefined {
  for (const format of formats) {
    const finding = rules[format][rule](names);
    if (finding === undefined) continue;
    if ("reason" in finding) return { kind: "refused", reason: finding.reason };
    return { kind: "weights", format, folder, ...finding };
  }
  return undefined;
}

const others =
  /^(?:adapter_model\.|optim|scheduler|rng_state|random_states|training_args|scaler|data\.pt$|trainer_state|extra_state|.*optim_states|client_state|tokenizer)/;

/** Whether a file holds an adapter, or the state of a trainer, by its name. */
export function isOfTrainer(name: string): boolean {
  return others.test(name);
}

/** The names that Hugging Face libraries write: whole, by an index, or as one variant of either. */
function findNamed(
  names: readonly string[],
  { stem, extension }: { readonly stem: string; readonly extension: string },
): Finding {
  const whole = `${stem}.${extension}`;
  if (names.includes(whole)) return { files: [whole], isIndex: false };
  if (names.includes(`${whole}.index.json`)) return { files: [`${whole}.index.json`], isIndex: true };
  const variant = new RegExp(`^${stem}\\.(?:[\\w-]+\\.${extension}|${extension}\\.index\\.[\\w-]+\\.json)$`);
  // Shards of a variant have its name and a number: its index stands for them.
  const variants = names.filter((name) => variant.test(name) && !/-\d+-of-\d+\./.test(name));
  const [only, ...more] = variants;
  if (only === undefined) return undefined;
  if (more.length > 0) return { reason: refuseSeveral(variants) };
  return { files: [only], isIndex: only.endsWith(".json") };
}

/** The shards that `torch.distributed.checkpoint` writes for Hugging Face, each with a part of every tensor. */
function findDistributed(names: readonly string[]): Finding {
  const files = names.filter((name) => /^shard-\d+-model-\d+-of-\d+\.safetensors$/.test(name));
  if (files.length === 0) return undefined;
  const ranks = new Set(files.map((name) => Number(/^shard-(\d+)/.exec(name)?.[1])));
  const missing = Array.from(ranks, (_, index) => index + 1).find((rank) => !ranks.has(rank));
  if (missing !== undefined) return { reason: `there is no file of shard ${missing} in it; save it again` };
  return { files, isIndex: false };
}

/** One file of any name, or all shards of one set. */
function findAny(names: readonly string[], extension: RegExp): Finding {
  const files = names.filter((name) => extension.test(name));
  const [first, ...more] = files;
  if (first === undefined) return undefined;
  const extensionOf = first.slice(first.lastIndexOf("."));
  const [, stem, total = "0"] = /^(.+)-\d{5}-of-(\d{5})\.\w+$/.exec(first) ?? [];
  if (stem !== undefined) {
    const pad = (index: number): string => String(index + 1).padStart(5, "0");
    const expected = Array.from(
      { length: Number(total) },
      (_, index) => `${stem}-${pad(index)}-of-${total}${extensionOf}`,
    );
    const missing = expected.find((name) => !files.includes(name));
    if (missing !== undefined) return { reason: `there is no ${missing} in it; download or save it again` };
    if (expected.length === files.length) return { files, isIndex: false };
  }
  if (more.length === 0) return { files, isIndex: false };
  return { reason: refuseSeveral(files) };
}

function refuseSeveral(files: readonly string[]): string {
  return `it holds ${files.length} files of weights, ${listSome(files)}, and none is named as the model; give the file that is meant in the place of the folder`;
}

/** What lies in a folder without weights, as a clause. */
function describeContent(names: readonly string[]): string {
  return names.length === 0 ? "it is empty" : `it holds ${listSome([...names].sort())}`;
}

function listSome(names: readonly string[]): string {
  const shown = names.slice(0, 5).map(quote).join(", ");
  return names.length > 5 ? `${shown} and ${names.length - 5} more` : shown;
}
