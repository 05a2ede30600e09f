/**
 * A checkpoint folder written again with some tensors changed: the same files, tensors and order, everything that is not
 * changed copied byte for byte, a few megabytes at a time. Every header says what is written, in format and shape.
 */
import { dirname } from "node:path";
import { isObject, parsePythonJson, toObject } from "../../base/core/index.ts";
import {
  fileExists,
  folderExists,
  listFiles,
  listFolders,
  readText,
  writeFileAtomic,
} from "../../base/file/index.ts";
import { untie } from "./adapter/tied-head.ts";
import { CheckpointError } from "./checkpoint-error.ts";
import { findTie } from "./config/tied-head.ts";
import { COPIED_BYTES, copyFile, copyTokenizer } from "./copy-files.ts";
import { isFloatDtype, numBytesOf, type ReadableBytes } from "./dtype.ts";
import type { Checkpoint, CheckpointTensor } from "./open-checkpoint.ts";
import {
  encodeSafetensorsHeader,
  numElementsOf,
  type TensorEntry,
} from "./safetensors/safetensors-header.ts";
import { openSafetensors } from "./safetensors/safetensors-read.ts";
import { haveSameBytes } from "./source/same-bytes.ts";
import { listParts } from "./source/stack.ts";

/** A tensor's new bytes, in chunks in their order: as many as the checkpoint says of it. */
export type TensorBytes = () => AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** What changes. */
export interface Rewrite {
  /** New bytes by tensor name; made when their turn comes. */
  readonly tensors: ReadonlyMap<string, TensorBytes>;
  /** Notes to add to the header of every file of weights; notes that are there stay. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Called after every chunk with its length; what it throws stops the writing. */
  readonly onBytes?: (count: number) => void;
}

const MODEL_NAME = "model.safetensors";
const INDEX_NAME = "model.safetensors.index.json";
const CONFIG_NAME = "config.json";

/** Files that hold weights in another form, or the state of a trainer: they would no longer fit the weights. */
const STALE =
  /\.(safetensors|bin|pt|pth|ckpt|h5|msgpack|gguf|onnx|ot|npz|distcp)$|\.bin\.index\.json$|^\.metadata$/;

/**
 * Writes the changed checkpoint into a folder, which the caller makes appear as a whole (`writeFolderAtomic`): its own files where
 * its tensors lie in safetensors files, else one new file. Returns the names of what is left out: files that hold the weights as they
 * were, and folders. Throws `CheckpointError` for a GGUF, `TypeError` when a tensor's new bytes are not as many as it takes, and what `tensors` and `onBytes` throw.
 */
export async function rewriteCheckpoint(
  checkpoint: Checkpoint,
  folder: string,
  rewrite: Rewrite,
): Promise<readonly string[]> {
  const original = checkpoint.adapter?.model ?? checkpoint.folder;
  const files = await planFiles(checkpoint, original);
  for (const file of files)
    await writeFileAtomic(`${folder}/${file.name}`, encode(checkpoint, file, rewrite));
  const leftOut = await copyOthers(checkpoint, { original, folder, written: files.map(({ name }) => name) });
  await writeIndex(files, { original, folder });
  await writeConfig(checkpoint, { original, folder, files });
  return leftOut;
}

/** A tensor of a file to write: what other rooms call one tensor, or a stack of several. */
interface PlannedTensor extends Pick<TensorEntry, "dtype" | "shape"> {
  readonly name: string;
  /** The checkpoint's tensors that make it, one after another. */
  readonly parts: readonly string[];
}

interface PlannedFile {
  readonly name: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** In the order of the header. */
  readonly tensors: readonly PlannedTensor[];
  /** The same in the order of their bytes. */
  readonly byPosition: readonly PlannedTensor[];
}

async function planFiles(checkpoint: Checkpoint, original: string): Promise<readonly PlannedFile[]> {
  const names = new Set([...checkpoint.tensors.values()].map(({ file }) => file));
  if ([...names].some((name) => name.endsWith(".gguf")))
    throw new CheckpointError(
      "a GGUF is read for comparisons only, since its numbers are rounded for llama.cpp; give the model that it was made from",
      { path: checkpoint.folder },
    );
  if (checkpoint.isConverted === true || !(await folderExists(original))) return [planWhole(checkpoint)];
  const planned: PlannedFile[] = [];
  const missing = new Set(checkpoint.tensors.keys());
  for (const name of names) {
    const file = await openSafetensors(`${original}/${name}`);
    await file.close();
    const { tensors, metadata } = file.header;
    const entries = [...tensors].map(([tensor, entry]) => describeTensor(checkpoint, tensor, entry));
    for (const part of entries.flatMap(({ parts }) => parts)) missing.delete(part);
    const added = [...missing].filter((tensor) => checkpoint.tensors.get(tensor)?.file === name);
    planned.push(planOwn({ name, entries, metadata, tensors, added }, checkpoint));
  }
  return planned;
}

interface OwnFile {
  readonly name: string;
  readonly entries: readonly PlannedTensor[];
  readonly metadata: ReadonlyMap<string, string>;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** Names of tensors that are not in the file yet. */
  readonly added: readonly string[];
}

/** The tensors of a file, as they lie there unless a format changes: then wide ones come first, so that all stay aligned. */
function planOwn(
  { name, entries, metadata, tensors, added }: OwnFile,
  { tensors: all }: Checkpoint,
): PlannedFile {
  const position = (one: PlannedTensor): number => tensors.get(one.name)?.start ?? Number.POSITIVE_INFINITY;
  const isSame = entries.every((one) => one.dtype === tensors.get(one.name)?.dtype) && added.length === 0;
  const listed = [...entries, ...added.flatMap((one) => listNew(one, all.get(one)))];
  const byPosition = listed.toSorted((a, b) => position(a) - position(b) || 0);
  return {
    name,
    metadata: Object.fromEntries(metadata),
    tensors: listed,
    byPosition: isSame ? byPosition : sortByWidth(byPosition),
  };
}

const listNew = (name: string, tensor: CheckpointTensor | undefined): readonly PlannedTensor[] =>
  tensor === undefined ? [] : [{ name, dtype: tensor.dtype, shape: tensor.shape, parts: [name] }];

function sortByWidth(tensors: readonly PlannedTensor[]): readonly PlannedTensor[] {
  return tensors.toSorted((a, b) => numBytesOf(b.dtype, 1) - numBytesOf(a.dtype, 1));
}

/** What is written of a stored tensor: in the format and shape that the checkpoint gives it, or the matrices of a stack. */
function describeTensor(
  { folder, tensors, config }: Checkpoint,
  name: string,
  { dtype, shape }: Pick<TensorEntry, "dtype" | "shape">,
): PlannedTensor {
  const own = tensors.get(name);
  if (own !== undefined) return { name, dtype: own.dtype, shape: own.shape, parts: [name] };
  const parts = listParts(name, { dtype, shape, file: "" }, config).map((part) => part.name);
  const [first = dtype, ...others] = new Set(parts.map((part) => tensors.get(part)?.dtype ?? dtype));
  if (others.length > 0) refuseMixed(folder, name, [first, ...others]);
  return { name, shape, dtype: first, parts };
}

/** Throws what says of a stack that a file has one format for all of it. */
function refuseMixed(folder: string, tensor: string, formats: readonly string[]): never {
  throw new CheckpointError(
    `its matrices are of several formats, ${formats.join(" and ")}, and a file stores all of them in one; edit all of its experts, or none`,
    { path: folder, tensor },
  );
}

/** All tensors in one new file, stacks put together again. */
function planWhole({ folder, tensors }: Checkpoint): PlannedFile {
  const planned = new Map<string, PlannedTensor>();
  for (const [name, { dtype, shape }] of tensors) {
    const [, stack] = /^(.+)\[\d+\]$/.exec(name) ?? [];
    const known = planned.get(stack ?? name);
    if (known !== undefined && known.dtype !== dtype) refuseMixed(folder, known.name, [known.dtype, dtype]);
    const parts = [...(known?.parts ?? []), name];
    const whole = stack === undefined ? shape : [parts.length, ...shape];
    planned.set(stack ?? name, { name: stack ?? name, dtype, shape: whole, parts });
  }
  const sorted = sortByWidth([...planned.values()]);
  return { name: MODEL_NAME, metadata: { format: "pt" }, tensors: sorted, byPosition: sorted };
}

const sizeOf = ({ dtype, shape }: PlannedTensor): number => numBytesOf(dtype, numElementsOf(shape));

async function* encode(
  checkpoint: Checkpoint,
  file: PlannedFile,
  { tensors, metadata, onBytes = () => undefined }: Rewrite,
): AsyncGenerator<Uint8Array, void, void> {
  yield encodeHeader(file, metadata);
  for (const tensor of file.byPosition) {
    let written = 0;
    for (const part of tensor.parts)
      for await (const chunk of tensors.get(part)?.() ?? copyBytes(checkpoint.openBytes(part))) {
        yield chunk;
        written += chunk.length;
        onBytes(chunk.length);
      }
    if (written !== sizeOf(tensor))
      throw new TypeError(
        `Cannot write tensor "${tensor.name}": ${written} bytes in the place of ${sizeOf(tensor)}`,
      );
  }
}

function* copyBytes(bytes: ReadableBytes): Generator<Uint8Array, void, void> {
  for (let start = 0; start < bytes.length; start += COPIED_BYTES)
    yield bytes.subarray(start, Math.min(start + COPIED_BYTES, bytes.length));
}

function encodeHeader(file: PlannedFile, metadata: Readonly<Record<string, string>>): Uint8Array {
  const starts = new Map<string, number>();
  let end = 0;
  for (const tensor of file.byPosition) {
    starts.set(tensor.name, end);
    end += sizeOf(tensor);
  }
  const fields = file.tensors.map((tensor) => {
    const start = starts.get(tensor.name) ?? 0;
    return { ...tensor, start, end: start + sizeOf(tensor) };
  });
  return encodeSafetensorsHeader(fields, { ...file.metadata, ...metadata });
}

interface Places {
  /** The folder of the model that is written again. */
  readonly original: string;
  readonly folder: string;
}

/** Copies what is not weights, of an adapter its own tokenizer before the base's. Returns the names of what is left out. */
async function copyOthers(
  { adapter, folder: own }: Checkpoint,
  { original, folder, written }: Places & { readonly written: readonly string[] },
): Promise<readonly string[]> {
  const leftOut: string[] = [];
  const copyOwnTokenizers = async (): Promise<void> => {
    for (const place of adapter === undefined ? [] : [adapter.base, own])
      if (place !== original) await copyTokenizer(place, folder);
  };
  if (!(await folderExists(original))) {
    // A single file of weights: what its folder says of a tokenizer is the model's.
    await copyTokenizer(dirname(original), folder);
    await copyOwnTokenizers();
    return leftOut;
  }
  // Where verl keeps it.
  await copyTokenizer(`${original}/huggingface`, folder);
  for (const name of await listFiles(original)) {
    if (written.includes(name) || name === CONFIG_NAME) continue;
    const isStale = STALE.test(name) || (name === INDEX_NAME && written.includes(MODEL_NAME));
    if (isStale) leftOut.push(name);
    else await copyFile(original, { name, folder });
  }
  await copyOwnTokenizers();
  const folders = (await listFolders(original)).map((name) => `${name}/`);
  return [...leftOut, ...folders];
}

/** An index that says what the files hold now; none where the model is in one file. */
async function writeIndex(files: readonly PlannedFile[], { original, folder }: Places): Promise<void> {
  if (files.some(({ name }) => name === MODEL_NAME) || !(await fileExists(`${original}/${INDEX_NAME}`)))
    return;
  const index = toObject(parsePythonJson(await readText(`${original}/${INDEX_NAME}`)));
  const tensors = files.flatMap(({ name, tensors: own }) => own.map((tensor) => ({ file: name, tensor })));
  const map = toObject(index.weight_map);
  const { total_size: said, ...others } = toObject(index.metadata);
  const size = tensors.reduce((sum, { tensor }) => sum + sizeOf(tensor), 0);
  const isPlaced =
    Object.keys(map).length === tensors.length &&
    tensors.every(({ file, tensor }) => map[tensor.name] === file);
  if (isPlaced && (said === undefined || said === size)) return;
  const weightMap = Object.fromEntries(tensors.map(({ file, tensor }) => [tensor.name, file]));
  const metadata = { ...others, total_size: size };
  const text = JSON.stringify({ ...index, metadata, weight_map: weightMap }, null, 2);
  await writeFileAtomic(`${folder}/${INDEX_NAME}`, `${text}\n`);
}

/** `config.json` as it was, unless it would no longer say what the weights are. */
async function writeConfig(
  checkpoint: Checkpoint,
  { original, folder, files }: Places & { readonly files: readonly PlannedFile[] },
): Promise<void> {
  const path = `${original}/${CONFIG_NAME}`;
  const text = (await fileExists(path)) ? await readText(path) : undefined;
  const before = text === undefined ? "" : formatPythonJson(parsePythonJson(text));
  const isTied = !(await isTieBroken(checkpoint, { folder, files }));
  const config = isTied ? checkpoint.config : untie(checkpoint.config);
  const isMade = checkpoint.adapter !== undefined || checkpoint.isConverted === true;
  const after = formatPythonJson(isMade ? nameFormat(config, files) : config);
  await writeFileAtomic(
    `${folder}/${CONFIG_NAME}`,
    text !== undefined && before === after ? text : `${after}\n`,
  );
}

/** Whether a configuration ties embeddings and head, and what was written of both differs: then no loader must tie them. */
async function isTieBroken(
  { config, tensors }: Checkpoint,
  { folder, files }: { readonly folder: string; readonly files: readonly PlannedFile[] },
): Promise<boolean> {
  const tie = findTie({ config, tensors });
  if (tie === undefined || !tensors.has(tie.head)) return false;
  const opened = await Promise.all(
    [tie.embedding, tie.head].map(async (tensor) => {
      const { name = MODEL_NAME } = files.find((one) => one.tensors.some((own) => own.name === tensor)) ?? {};
      const file = await openSafetensors(`${folder}/${name}`);
      return { file, bytes: file.openBytes(tensor) };
    }),
  );
  try {
    const [embeddings, head] = opened;
    return embeddings !== undefined && head !== undefined && !haveSameBytes(embeddings.bytes, head.bytes);
  } finally {
    for (const { file } of opened) await file.close();
  }
}

const formatNames = { F64: "float64", F32: "float32", F16: "float16", BF16: "bfloat16" } as const;

/** The configuration with the format that most of the weights have, where none of them has the one that it names. */
function nameFormat(
  config: Readonly<Record<string, unknown>>,
  files: readonly PlannedFile[],
): Readonly<Record<string, unknown>> {
  const bytes = new Map<string, number>();
  for (const tensor of files.flatMap(({ tensors }) => tensors))
    if (isFloatDtype(tensor.dtype)) {
      const name = formatNames[tensor.dtype];
      bytes.set(name, (bytes.get(name) ?? 0) + sizeOf(tensor));
    }
  const [most] = [...bytes].toSorted(([, a], [, b]) => b - a);
  if (most === undefined) return config;
  const rename = (fields: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> => {
    const isStale = (value: unknown): boolean =>
      typeof value === "string" && !bytes.has(value.replace(/^torch\./, ""));
    const stale = ["dtype", "torch_dtype"].filter((field) => isStale(fields[field]));
    return { ...fields, ...Object.fromEntries(stale.map((field) => [field, most[0]])) };
  };
  const { text_config: text } = config;
  return { ...rename(config), ...(isObject(text) && { text_config: rename(text) }) };
}

/** JSON with Python's words for numbers that the standard has not. */
function formatPythonJson(value: unknown): string {
  const mark = "\u{F0000}number ";
  const text = JSON.stringify(
    value,
    (_, one: unknown) => (typeof one === "number" && !Number.isFinite(one) ? `${mark}${one}` : one),
    2,
  );
  return text.replaceAll(new RegExp(`"${mark}(-?\\w+)"`, "gu"), "$1");
}
