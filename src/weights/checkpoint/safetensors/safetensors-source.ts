/** Weights in safetensors files: one, shards with an index, shards without, or shards that each hold a part of every tensor. */
import { fileExists, readText } from "../../../base/file/index.ts";
import { CheckpointError, expectReadable, quote } from "../checkpoint-error.ts";
import { numBytesOf } from "../dtype.ts";
import type { CheckpointTensor } from "../open-checkpoint.ts";
import type { WeightFiles } from "../source/find-weights.ts";
import { findGap, joinPieces, stridesOf } from "../source/tensor-piece.ts";
import type { WeightSource } from "../source/weight-source.ts";
import { isCount, type TensorEntry } from "./safetensors-header.ts";
import { openSafetensors, type SafetensorsFile } from "./safetensors-read.ts";
import { parseShardIndex } from "./shard-index.ts";
import { isJsonObject, type JsonObject, parseStrictJson } from "./strict-json.ts";

/** Opens the headers of all files, checked against the index where there is one. Throws `CheckpointError`. */
export async function openSafetensorsSource({ folder, files, isIndex }: WeightFiles): Promise<WeightSource> {
  const opened = new Map<string, SafetensorsFile>();
  const close = async (): Promise<void> => {
    await Promise.all([...opened.values()].map((file) => file.close()));
  };
  try {
    const [first = ""] = files;
    const shardOf = isIndex ? await readShardIndex(folder, first) : undefined;
    for (const name of shardOf === undefined ? files : new Set(shardOf.values()))
      opened.set(name, await openSafetensors(`${folder}/${name}`));
    if (shardOf !== undefined) checkShards(opened, shardOf);
    return { ...listTensors(opened), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The shard of every tensor; all shards are there. Throws `CheckpointError`. */
export async function readShardIndex(folder: string, name: string): Promise<ReadonlyMap<string, string>> {
  const path = `${folder}/${name}`;
  const shardOf = parseShardIndex(await expectReadable(path, readText(path)), path);
  for (const shard of new Set(shardOf.values()))
    if (!(await fileExists(`${folder}/${shard}`)))
      throw new CheckpointError(
        "the index lists it, and there is no such file; download or save the checkpoint again",
        { path: `${folder}/${shard}` },
      );
  return shardOf;
}

/** A tensor of a file, or the part of one that the file holds. */
interface Part {
  readonly name: string;
  readonly file: SafetensorsFile;
  readonly entry: TensorEntry;
  /** Where it belongs in the whole, where the file says that it is a part. */
  readonly offsets: readonly number[] | undefined;
}

function listTensors(files: ReadonlyMap<string, SafetensorsFile>): Omit<WeightSource, "close"> {
  const parts = new Map<string, Part[]>();
  for (const [name, file] of files) {
    const offsetsOf = readOffsets(file);
    for (const [tensor, entry] of file.header.tensors) {
      const known = parts.get(tensor) ?? [];
      parts.set(tensor, known);
      known.push({ name, file, entry, offsets: offsetsOf.get(tensor) });
    }
  }
  const tensors = new Map<string, CheckpointTensor>();
  for (const [tensor, known] of parts) tensors.set(tensor, describeWhole(tensor, known));
  const isParted = [...parts.values()].flat().some(({ offsets }) => offsets !== undefined);
  return {
    tensors,
    ...(isParted && { isParted }),
    openBytes: (tensor) => {
      const [whole, known] = [tensors.get(tensor), parts.get(tensor) ?? []];
      const [first, ...more] = known;
      if (first === undefined || whole === undefined)
        throw new RangeError(`Cannot open tensor ${quote(tensor)}: it was not listed`);
      if (more.length === 0) return first.file.openBytes(tensor);
      const pieces = known.map(({ file, entry, offsets = [] }) => ({
        open: () => file.openBytes(tensor),
        offsets,
        sizes: entry.shape,
        start: 0,
        strides: stridesOf(entry.shape),
      }));
      return joinPieces(pieces, { shape: whole.shape, width: numBytesOf(whole.dtype, 1) });
    },
  };
}

/** A tensor as all its parts make it. Throws `CheckpointError` where they do not fit. */
function describeWhole(tensor: string, parts: readonly Part[]): CheckpointTensor {
  const [first, second] = parts;
  if (first === undefined) throw new RangeError(`Cannot describe tensor ${quote(tensor)}: it has no parts`);
  const { dtype, shape: own } = first.entry;
  const place = { path: first.file.path, tensor };
  if (first.offsets === undefined) {
    if (second === undefined) return { dtype, shape: own, file: first.name };
    throw new CheckpointError(
      `it is in ${quote(second.file.path)} as well; keep the files of one model in the folder`,
      place,
    );
  }
  const pieces = parts.map(({ entry, offsets = [] }) => ({ sizes: entry.shape, offsets }));
  const shape = own.map((_, axis) =>
    pieces.reduce((most, { sizes, offsets }) => Math.max(most, (sizes[axis] ?? 0) + (offsets[axis] ?? 0)), 0),
  );
  const isMixed = !Number.isInteger(numBytesOf(dtype, 1)) || parts.some(({ entry }) => entry.dtype !== dtype);
  const gap = isMixed ? "its parts are of several formats" : findGap(pieces, shape);
  if (gap !== undefined) throw new CheckpointError(`${gap}; save the checkpoint again`, place);
  return { dtype, shape, file: first.name };
}

/** Where the parts of a file belong, as torch.distributed.checkpoint notes it for Hugging Face; nothing for other files. */
function readOffsets({ path, header }: SafetensorsFile): ReadonlyMap<string, readonly number[]> {
  const offsetsOf = new Map<string, readonly number[]>();
  const note = header.metadata.get("DCP_SHARDING_INFO");
  if (note === undefined) return offsetsOf;
  const fields = parseNote(note, path);
  for (const [tensor, { shape }] of header.tensors) {
    const field = fields.get(tensor);
    const offsets = isJsonObject(field) ? field.get("saved_offsets") : undefined;
    if (!Array.isArray(offsets) || offsets.length !== shape.length || !offsets.every(isCount))
      throw new CheckpointError(
        "the file does not say which part of the whole it is; save the checkpoint again",
        {
          path,
          tensor,
        },
      );
    offsetsOf.set(tensor, offsets);
  }
  return offsetsOf;
}

function parseNote(note: string, path: string): JsonObject {
  try {
    const value = parseStrictJson(note);
    if (isJsonObject(value)) return value;
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
  }
  throw new CheckpointError("its note DCP_SHARDING_INFO is malformed; save the checkpoint again", { path });
}

/** Every tensor must be in the shard that the index states, and in no other. */
function checkShards(
  files: ReadonlyMap<string, SafetensorsFile>,
  shardOf: ReadonlyMap<string, string>,
): void {
  for (const [shard, { path, header }] of files)
    for (const tensor of header.tensors.keys())
      if (shardOf.get(tensor) !== shard)
        throw new CheckpointError(
          `the index ${shardOf.has(tensor) ? `puts it into ${quote(shardOf.get(tensor) ?? "")}` : "does not list it"}; download or save the checkpoint again`,
          { path, tensor },
        );
  for (const [tensor, shard] of shardOf) {
    const file = files.get(shard);
    if (file !== undefined && !file.header.tensors.has(tensor))
      throw new CheckpointError(
        "the index lists it, the file lacks it; download or save the checkpoint again",
        { path: file.path, tensor },
      );
  }
}
