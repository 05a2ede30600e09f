/**
 * Folders of torch.distributed.checkpoint: `.metadata`, a pickle that says which rectangle of which tensor lies where, and files that
 * hold each rectangle as `torch.save` writes it. They are put together when they are read.
 */
import { type ByteSource, fileExists, openRange, readBytes } from "../../../base/file/index.ts";
import { CheckpointError, expectReadable, quote } from "../checkpoint-error.ts";
import { type Dtype, numBytesOf, type ReadableBytes } from "../dtype.ts";
import type { CheckpointTensor } from "../open-checkpoint.ts";
import { isCount } from "../safetensors/safetensors-header.ts";
import { openSafetensorsSource } from "../safetensors/safetensors-source.ts";
import { isPlainName } from "../safetensors/shard-index.ts";
import type { WeightFiles } from "../source/find-weights.ts";
import { openAll } from "../source/open-files.ts";
import { findGap, joinPieces, stridesOf, type TensorPiece } from "../source/tensor-piece.ts";
import type { WeightSource } from "../source/weight-source.ts";
import { isKind, type PickleValue, readPickle } from "./pickle.ts";
import { chooseWeights, type Found } from "./state-dict.ts";
import { findField, isTensorName, parseCounts, parseDtype, parseTensor } from "./stored-tensor.ts";
import { readTorchFile } from "./torch-file.ts";
import { explainTorch } from "./torch-source.ts";

const REMEDY =
  "save the checkpoint again, or turn it into one file with python -m torch.distributed.checkpoint.format_utils dcp_to_torch <folder> <out>.pt";

const metadataModule = "torch.distributed.checkpoint.metadata";
const names = new Set([
  ...[
    "Metadata",
    "TensorStorageMetadata",
    "BytesStorageMetadata",
    "ChunkStorageMetadata",
    "TensorProperties",
    "MetadataIndex",
    "StorageMeta",
    "_MEM_FORMAT_ENCODING",
  ].map((name) => `${metadataModule}.${name}`),
  "torch.distributed.checkpoint.filesystem._StorageInfo",
  "pathlib.PosixPath",
  "pathlib.WindowsPath",
  "pathlib._local.PosixPath",
  "pathlib._local.WindowsPath",
]);

/** Metadata is some megabytes at most. */
const mostMetadataBytes = 2 ** 28;

/** A rectangle of a tensor and where it is stored. */
interface Chunk {
  readonly offsets: readonly number[];
  readonly sizes: readonly number[];
  readonly file: string;
  readonly start: number;
  readonly end: number;
}

interface ChunkedTensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly chunks: readonly Chunk[];
}

/** Opens all files that hold weights; the optimizer's are left alone. Throws `CheckpointError`. */
export async function openDcpSource(found: WeightFiles): Promise<WeightSource> {
  // Its writer for Hugging Face makes safetensors files that each hold a part of every tensor.
  if (!found.isIndex) return await openSafetensorsSource(found);
  const { folder } = found;
  const path = `${folder}/.metadata`;
  const bytes = await expectReadable(path, readBytes(path));
  const tensors = explainTorch(path, () => parseMetadata(bytes), REMEDY);
  const files = [...new Set([...tensors.values()].flatMap(({ chunks }) => chunks.map(({ file }) => file)))];
  for (const file of files)
    if (!(await fileExists(`${folder}/${file}`)))
      throw new CheckpointError(`.metadata lists it, and there is no such file; ${REMEDY}`, {
        path: `${folder}/${file}`,
      });
  const { sources, close } = await openAll(files.map((file) => `${folder}/${file}`));
  try {
    const sourceOf = new Map(files.map((file, index) => [file, sources[index]]));
    for (const [tensor, { chunks }] of tensors)
      for (const { file, end } of chunks)
        if (end > (sourceOf.get(file)?.size ?? 0))
          throw new CheckpointError(`the file ends before it does; ${REMEDY}`, {
            path: `${folder}/${file}`,
            tensor,
          });
    return {
      tensors: new Map([...tensors].map(([name, tensor]) => [name, describe(tensor)])),
      openBytes: (name) => {
        const tensor = tensors.get(name);
        if (tensor === undefined)
          throw new RangeError(`Cannot open tensor ${quote(name)}: it was not listed`);
        const { dtype, shape, chunks } = tensor;
        const pieces = chunks.map((chunk): TensorPiece => {
          const source = sourceOf.get(chunk.file);
          if (source === undefined)
            throw new RangeError(`Cannot open ${quote(chunk.file)}: it was not listed`);
          const { offsets, sizes } = chunk;
          return {
            open: () => openChunk(source, { ...chunk, dtype, name }),
            offsets,
            sizes,
            start: 0,
            strides: stridesOf(sizes),
          };
        });
        return joinPieces(pieces, { shape, width: numBytesOf(dtype, 1) });
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function describe({ dtype, shape, chunks }: ChunkedTensor): CheckpointTensor {
  return { dtype, shape, file: chunks[0]?.file ?? ".metadata" };
}

/** The elements of a chunk in C order, whose file is a whole file of torch within another. */
function openChunk(
  source: ByteSource,
  { start, end, dtype, sizes, name }: Chunk & { readonly dtype: Dtype; readonly name: string },
): ReadableBytes {
  const { path } = source;
  return explainTorch(
    path,
    () => {
      const file = readTorchFile(openRange(source, { start, end }));
      const tensor = parseTensor(file.value);
      const isExpected =
        tensor !== undefined && tensor.dtype === dtype && tensor.shape.join() === sizes.join();
      if (!isExpected)
        throw new SyntaxError(`a part of its tensor ${JSON.stringify(name)} is another than .metadata says`);
      const storage = file.openStorage(tensor.storage);
      if (tensor.needed > storage.length)
        throw new SyntaxError(`a part of its tensor ${JSON.stringify(name)} is not whole`);
      const piece = {
        open: () => storage,
        offsets: sizes.map(() => 0),
        sizes,
        start: tensor.start,
        strides: tensor.strides,
      };
      const bytes = joinPieces([piece], { shape: sizes, width: numBytesOf(dtype, 1) });
      return {
        length: bytes.length,
        subarray: (from, to) => explainTorch(path, () => bytes.subarray(from, to), REMEDY),
      };
    },
    REMEDY,
  );
}

/** The model's tensors by name. */
function parseMetadata(bytes: Uint8Array): ReadonlyMap<string, ChunkedTensor> {
  if (bytes.length > mostMetadataBytes) throw new SyntaxError("it is too large");
  const { value } = readPickle(bytes, (name) => names.has(name) || isTensorName(name));
  const entries = findField(value, "state_dict_metadata");
  if (!isKind(value, "call") || !isKind(entries, "dict"))
    throw new SyntaxError("it is not metadata of torch.distributed.checkpoint");
  const paths = parsePaths(findField(value, "planner_data"));
  const tensors: Found<readonly [string, PickleValue]>[] = [];
  for (const [name, entry] of entries.entries)
    if (typeof name === "string" && isKind(entry, "call") && entry.name.endsWith(".TensorStorageMetadata"))
      tensors.push({ path: paths.get(name) ?? [name], value: [name, entry] });
  const weights = chooseWeights(tensors);
  const places = parsePlaces(findField(value, "storage_data"));
  return new Map([...weights].map(([name, [key, entry]]) => [name, parseChunked(key, { entry, places })]));
}

/** For each name the keys that led to it in the dictionaries that were saved. */
function parsePaths(value: PickleValue | undefined): ReadonlyMap<string, readonly string[]> {
  const paths = new Map<string, readonly string[]>();
  if (isKind(value, "dict"))
    for (const [name, path] of value.entries)
      if (typeof name === "string" && isKind(path, "tuple") && path.items.length <= 16)
        paths.set(
          name,
          path.items.map((key) => (typeof key === "string" || typeof key === "number" ? String(key) : "?")),
        );
  return paths;
}

type ChunkLocation = Pick<Chunk, "file" | "start" | "end">;

/** Where each chunk lies, by name and offsets. */
function parsePlaces(value: PickleValue | undefined): ReadonlyMap<string, ChunkLocation> {
  const places = new Map<string, ChunkLocation>();
  if (!isKind(value, "dict")) throw new SyntaxError("it does not say where its tensors lie");
  for (const [index, info] of value.entries) {
    const name = findField(index, "fqn");
    const offset = findField(index, "offset") ?? null;
    const [file, start, length] = ["relative_path", "offset", "length"].map((key) => findField(info, key));
    const transforms = findField(info, "transform_descriptors") ?? null;
    if (typeof name !== "string" || typeof file !== "string" || !isCount(start) || !isCount(length)) continue;
    if (!isPlainName(file))
      throw new SyntaxError(`it names a file outside of its folder, ${JSON.stringify(file.slice(0, 99))}`);
    if (transforms !== null)
      throw new SyntaxError("its tensors are compressed or otherwise transformed, which cannot be read");
    const offsets = offset === null ? [] : parseCounts(offset);
    places.set(keyOf(name, offsets), { file, start, end: start + length });
  }
  return places;
}

function keyOf(name: string, offsets: readonly number[]): string {
  return `${offsets.join(",")} ${name}`;
}

function parseChunked(
  name: string,
  { entry, places }: { readonly entry: PickleValue; readonly places: ReadonlyMap<string, ChunkLocation> },
): ChunkedTensor {
  const properties = findField(entry, "properties");
  // Properties are pickled as a tuple that starts with the number format.
  const stored = isKind(properties, "call") ? properties.state : undefined;
  const [first] = isKind(stored, "tuple") ? stored.items : [findField(properties, "dtype")];
  const dtype = parseDtype(first);
  const shape = parseCounts(findField(entry, "size"));
  const chunks = findField(entry, "chunks");
  if (!isKind(chunks, "list")) throw new SyntaxError(`its tensor ${JSON.stringify(name)} has no parts`);
  const parsed = chunks.items.map((chunk): Chunk => {
    const offsets = parseCounts(findField(chunk, "offsets"));
    const sizes = parseCounts(findField(chunk, "sizes"));
    // A place without offsets is that of a whole tensor.
    const isWhole = sizes.join() === shape.join();
    const place = places.get(keyOf(name, offsets)) ?? (isWhole ? places.get(keyOf(name, [])) : undefined);
    if (place === undefined)
      throw new SyntaxError(`it does not say where a part of its tensor ${JSON.stringify(name)} lies`);
    return { offsets, sizes, ...place };
  });
  const gap = findGap(parsed, shape);
  if (gap !== undefined) throw new SyntaxError(`of its tensor ${JSON.stringify(name)}, ${gap}`);
  return { dtype, shape, chunks: parsed };
}
