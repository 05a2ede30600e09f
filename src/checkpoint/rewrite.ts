/**
 * A checkpoint folder written again with some tensors changed: the same files, tensors, formats and places, everything
 * that is not changed copied byte for byte, a few megabytes at a time.
 */
import { listFiles, listFolders, openByteSource, writeFileAtomic } from "../file/index.ts";
import { CheckpointError } from "./checkpoint-error.ts";
import type { ReadableBytes } from "./dtype.ts";
import type { Checkpoint } from "./open-checkpoint.ts";
import { encodeSafetensorsHeader, type TensorEntry } from "./safetensors-header.ts";
import { openSafetensors, type SafetensorsFile } from "./safetensors-read.ts";
import { listParts, takeRange } from "./stack.ts";

/** A tensor's new bytes, in chunks in their order: as many as before. */
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

/** Bytes copied at a time. */
const COPIED_BYTES = 16 * 2 ** 20;

/** Files that hold weights in another form, or the state of a trainer: they would no longer fit the weights. */
const STALE = /\.(safetensors|bin|pt|pth|ckpt|h5|msgpack|gguf|onnx|ot|npz)$|\.bin\.index\.json$/;

/**
 * Writes the changed checkpoint into a folder, which the caller makes appear as a whole (`writeFolderAtomic`). Gives the
 * names of what is left out: files that hold the weights as they were, and folders.
 * Throws `TypeError` when a tensor's new bytes are not as many as its old ones, and what `tensors` and `onBytes` throw.
 */
export async function rewriteCheckpoint(
  checkpoint: Checkpoint,
  folder: string,
  rewrite: Rewrite,
): Promise<readonly string[]> {
  if (checkpoint.isConverted === true)
    throw new CheckpointError(
      "only a folder of safetensors files is written again; save the model as safetensors and give that",
      { path: checkpoint.folder },
    );
  const original = checkpoint.adapter?.base ?? checkpoint.folder;
  const tensors = new Map([...listMerged(checkpoint), ...rewrite.tensors]);
  const weights = new Set([...checkpoint.tensors.values()].map(({ file }) => file));
  const leftOut: string[] = [];
  for (const name of await listFiles(original))
    if (weights.has(name))
      await rewriteFile(original, {
        name,
        folder,
        rewrite: { ...rewrite, tensors, config: checkpoint.config },
      });
    else if (STALE.test(name)) leftOut.push(name);
    else await writeFileAtomic(`${folder}/${name}`, readChunks(`${original}/${name}`));
  const folders = (await listFolders(original)).map((name) => `${name}/`);
  return [...leftOut, ...folders];
}

/** What an adapter makes of its base's tensors; nothing for other checkpoints. */
function listMerged(checkpoint: Checkpoint): readonly (readonly [string, TensorBytes])[] {
  const { updates = new Map<string, never>(), replaced = new Set<string>() } = checkpoint.adapter ?? {};
  return [...updates.keys(), ...replaced].map((name) => [name, () => copyBytes(checkpoint.openBytes(name))]);
}

async function rewriteFile(
  original: string,
  {
    name,
    folder,
    rewrite,
  }: {
    readonly name: string;
    readonly folder: string;
    readonly rewrite: Rewrite & Pick<Checkpoint, "config">;
  },
): Promise<void> {
  const file = await openSafetensors(`${original}/${name}`);
  try {
    await writeFileAtomic(`${folder}/${name}`, encode(file, rewrite));
  } finally {
    await file.close();
  }
}

async function* encode(
  file: SafetensorsFile,
  { tensors, config, metadata, onBytes = () => undefined }: Rewrite & Pick<Checkpoint, "config">,
): AsyncGenerator<Uint8Array, void, void> {
  const entries = [...file.header.tensors];
  yield encodeHeader(entries, { ...Object.fromEntries(file.header.metadata), ...metadata });
  const byPosition = entries.sort(([, a], [, b]) => a.start - b.start || a.end - b.end);
  for (const [name, { start, end }] of byPosition) {
    let written = 0;
    for await (const chunk of writeTensor(file, name, { tensors, config })) {
      yield chunk;
      written += chunk.length;
      onBytes(chunk.length);
    }
    if (written !== end - start)
      throw new TypeError(`Cannot write tensor "${name}": ${written} bytes in the place of ${end - start}`);
  }
}

/** A tensor's new bytes, or its old ones; of a stack, matrix by matrix. */
async function* writeTensor(
  file: SafetensorsFile,
  name: string,
  { tensors, config }: Pick<Rewrite, "tensors"> & Pick<Checkpoint, "config">,
): AsyncGenerator<Uint8Array, void, void> {
  const own = tensors.get(name);
  const { dtype = "U8" as const, shape = [] } = file.header.tensors.get(name) ?? {};
  const bytes = file.openBytes(name);
  if (own !== undefined) yield* own();
  else
    for (const part of listParts(name, { dtype, shape, file: file.path }, config))
      yield* tensors.get(part.name)?.() ?? copyBytes(takeRange(bytes, part));
}

function* copyBytes(bytes: ReadableBytes): Generator<Uint8Array, void, void> {
  for (let start = 0; start < bytes.length; start += COPIED_BYTES)
    yield bytes.subarray(start, Math.min(start + COPIED_BYTES, bytes.length));
}

/** The same tensors in the same order, at the same distances from the header's end, which the notes may move. */
function encodeHeader(
  entries: readonly (readonly [string, TensorEntry])[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const first = entries.reduce((least, [, { start }]) => Math.min(least, start), Number.POSITIVE_INFINITY);
  const fields = entries.map(([name, { dtype, shape, start, end }]) => ({
    name,
    dtype,
    shape,
    start: start - first,
    end: end - first,
  }));
  return encodeSafetensorsHeader(fields, metadata);
}

async function* readChunks(path: string): AsyncGenerator<Uint8Array, void, void> {
  const source = await openByteSource(path);
  try {
    for (let start = 0; start < source.size; start += COPIED_BYTES)
      yield await source.read(start, Math.min(start + COPIED_BYTES, source.size));
  } finally {
    await source.close();
  }
}
