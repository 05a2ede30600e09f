/**
 * Checkpoint folders as Hugging Face lays them out: `config.json` and `model.safetensors`, or shards with
 * `model.safetensors.index.json`. What the configuration and the tensors mean is for others to know.
 */
import { fileExists, folderExists, readText, writeFileAtomic, writeFolderAtomic } from "../file/index.ts";
import { isAdapterFolder } from "./adapter/adapter-config.ts";
import { openInlined } from "./adapter/inlined.ts";
import { type MergedFormat, openAdapted } from "./adapter/open-adapted.ts";
import { CheckpointError, expectReadable, quote } from "./checkpoint-error.ts";
import { decodeFloats, isFloatDtype, type ReadableBytes } from "./dtype.ts";
import type { Checkpoint, CheckpointTensor } from "./open-checkpoint.ts";
import { openSafetensors, type SafetensorsFile } from "./safetensors-read.ts";
import { type WritableTensor, writeSafetensors } from "./safetensors-write.ts";
import { isPlainName, parseShardIndex } from "./shard-index.ts";
import { listSlices, parseSlice, takeSlice } from "./stack.ts";

/** What to write into a checkpoint folder. */
export interface CheckpointContent {
  /** Becomes `config.json`. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Become `model.safetensors`. */
  readonly tensors: Iterable<WritableTensor>;
  /** Further files by name, such as `tokenizer.json`. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
}

const CONFIG_NAME = "config.json";
const MODEL_NAME = "model.safetensors";
const INDEX_NAME = "model.safetensors.index.json";

/** How an adapter is opened; other checkpoints have nothing to choose. */
export interface OpenOptions {
  /** Default: exact. */
  readonly merged?: MergedFormat;
  /** The folder of the base model, in place of the one that the adapter names. */
  readonly base?: string;
}

/**
 * Opens a checkpoint folder: its configuration and all headers, checked against the index when there are shards.
 * Where both are there, `model.safetensors` is read and the shards are not, as transformers does. A LoRA adapter is opened as
 * what it makes of its base model, in 32-bit floats unless `merged` is "rounded".
 * Throws `CheckpointError` when anything is missing, malformed, or not where the index says.
 */
export async function openCheckpoint(folder: string, options: OpenOptions = {}): Promise<Checkpoint> {
  return await openAtDepth(folder, options, 0);
}

/** `depth`: how many adapters were opened on the way here. */
async function openAtDepth(
  folder: string,
  { merged = "exact", base }: OpenOptions,
  depth: number,
): Promise<Checkpoint> {
  if (!(await folderExists(folder)))
    throw new CheckpointError("no such folder; give the path of a Hugging Face checkpoint folder", {
      path: folder,
    });
  if (await isAdapterFolder(folder))
    return await openAdapted(folder, {
      format: merged,
      base,
      open: async (path) => {
        // An adapter to an adapter may be; more than that is a circle.
        if (depth > 1)
          throw new CheckpointError("its bases are adapters all the way down; merge them", { path: folder });
        return await openAtDepth(path, { merged }, depth + 1);
      },
    });
  const config = await readConfig(folder);
  const files = new Map<string, SafetensorsFile>();
  const close = async (): Promise<void> => {
    await Promise.all([...files.values()].map((file) => file.close()));
  };
  try {
    const tensors = await openTensors(folder, files);
    const readers = createReaders((name) => findFile({ folder, tensors, files }, name), tensors);
    return await openInlined({ folder, config, tensors, ...readers, close }, merged);
  } catch (error) {
    await close();
    throw error;
  }
}

/**
 * All tensors of a checkpoint as 32-bit floats, by name, in the order of `expected`, which maps every name to its
 * shape. All or nothing: `CheckpointError` naming file and tensor when one is missing, extra or of another shape.
 */
export async function loadTensors(
  folder: string,
  expected: ReadonlyMap<string, readonly number[]>,
  options: OpenOptions = {},
): Promise<Map<string, Float32Array>> {
  const checkpoint = await openCheckpoint(folder, options);
  try {
    checkTensors(checkpoint, expected);
    const loaded = new Map<string, Float32Array>();
    for (const name of expected.keys()) loaded.set(name, (await checkpoint.readTensor(name)).data);
    return loaded;
  } finally {
    await checkpoint.close();
  }
}

/**
 * Writes a checkpoint folder atomically, replacing an existing one: `config.json`, `model.safetensors` and the extra
 * files. Throws as `writeSafetensors`, and `RangeError` for a file name that is taken or leaves the folder.
 */
export async function writeCheckpoint(
  folder: string,
  { config, tensors, files = {} }: CheckpointContent,
): Promise<void> {
  for (const name of Object.keys(files))
    if (!isPlainName(name) || [CONFIG_NAME, MODEL_NAME, INDEX_NAME].includes(name))
      throw new RangeError(
        `Cannot write file ${quote(name)} into a checkpoint: the name is taken or no plain name`,
      );
  await writeFolderAtomic(folder, async (temporary) => {
    await writeFileAtomic(`${temporary}/${CONFIG_NAME}`, `${JSON.stringify(config, null, 2)}\n`);
    for (const [name, content] of Object.entries(files))
      await writeFileAtomic(`${temporary}/${name}`, content);
    await writeSafetensors(`${temporary}/${MODEL_NAME}`, tensors);
  });
}

async function readConfig(folder: string): Promise<Readonly<Record<string, unknown>>> {
  const path = `${folder}/${CONFIG_NAME}`;
  if (!(await fileExists(path)))
    throw new CheckpointError("no such file; give a checkpoint folder with its config.json", { path });
  const text = await expectReadable(path, readText(path));
  const refuse = (problem: string, cause?: unknown): never => {
    throw new CheckpointError(`${problem}; correct the file or download it again`, { path, cause });
  };
  let config: unknown;
  try {
    config = JSON.parse(text);
  } catch (error) {
    return refuse(`it is not JSON: ${error instanceof Error ? error.message : String(error)}`, error);
  }
  return isRecord(config) ? config : refuse("it is not a JSON object");
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Opens the files of a folder into `files` (so that the caller can close them) and lists their tensors. */
async function openTensors(
  folder: string,
  files: Map<string, SafetensorsFile>,
): Promise<ReadonlyMap<string, CheckpointTensor>> {
  if (await fileExists(`${folder}/${MODEL_NAME}`)) {
    files.set(MODEL_NAME, await openSafetensors(`${folder}/${MODEL_NAME}`));
    return listTensors(files);
  }
  const path = `${folder}/${INDEX_NAME}`;
  if (!(await fileExists(path)))
    throw new CheckpointError(
      `there is no ${MODEL_NAME} and no ${INDEX_NAME} in it; save the model as safetensors`,
      { path: folder },
    );
  const shardOf = parseShardIndex(await expectReadable(path, readText(path)), path);
  for (const shard of new Set(shardOf.values())) {
    const shardPath = `${folder}/${shard}`;
    if (!(await fileExists(shardPath)))
      throw new CheckpointError(
        "the index lists it, and there is no such file; download or save the checkpoint again",
        {
          path: shardPath,
        },
      );
    files.set(shard, await openSafetensors(shardPath));
  }
  checkShards(files, shardOf);
  return listTensors(files);
}

function listTensors(files: ReadonlyMap<string, SafetensorsFile>): ReadonlyMap<string, CheckpointTensor> {
  const tensors = new Map<string, CheckpointTensor>();
  for (const [file, { header }] of files)
    for (const [name, { dtype, shape }] of header.tensors)
      for (const [part, tensor] of listSlices(name, { dtype, shape, file })) tensors.set(part, tensor);
  return tensors;
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
        {
          path: file.path,
          tensor,
        },
      );
  }
}

/** Reads tensors, and the matrices of stacks, from the files that hold them. */
function createReaders(
  find: (name: string) => SafetensorsFile,
  tensors: ReadonlyMap<string, CheckpointTensor>,
): Pick<Checkpoint, "readTensor" | "readBytes" | "openBytes"> {
  const openBytes = (name: string): ReadableBytes => {
    const file = find(name);
    const slice = file.header.tensors.has(name) ? undefined : parseSlice(name);
    if (slice === undefined) return file.openBytes(name);
    const [count = 1] = file.header.tensors.get(slice.stack)?.shape ?? [];
    return takeSlice(file.openBytes(slice.stack), { index: slice.index, count });
  };
  return {
    openBytes,
    readTensor: async (name) => {
      const file = find(name);
      const { dtype, shape } = tensors.get(name) ?? { dtype: "U8" as const, shape: [] };
      if (file.header.tensors.has(name) || !isFloatDtype(dtype)) return await file.readTensor(name);
      const bytes = openBytes(name);
      return { dtype, shape, data: decodeFloats(bytes.subarray(0, bytes.length), dtype) };
    },
    readBytes: async (name) => {
      const file = find(name);
      if (file.header.tensors.has(name)) return await file.readBytes(name);
      const bytes = openBytes(name);
      return bytes.subarray(0, bytes.length);
    },
  };
}

interface OpenTensors {
  readonly folder: string;
  readonly tensors: ReadonlyMap<string, CheckpointTensor>;
  readonly files: ReadonlyMap<string, SafetensorsFile>;
}

/** The open file that holds a tensor. */
function findFile({ folder, tensors, files }: OpenTensors, name: string): SafetensorsFile {
  const file = files.get(tensors.get(name)?.file ?? "");
  if (file !== undefined) return file;
  throw new CheckpointError("there is no such tensor in it; check the name or use another checkpoint", {
    path: folder,
    tensor: name,
  });
}

function checkTensors(
  { folder, tensors }: Checkpoint,
  expected: ReadonlyMap<string, readonly number[]>,
): void {
  const remedy = "use a checkpoint of this model and size";
  for (const [tensor, shape] of expected) {
    const found = tensors.get(tensor);
    if (found === undefined)
      throw new CheckpointError(`it is missing; ${remedy}`, { path: modelPath(folder, tensors), tensor });
    if (found.shape.length !== shape.length || found.shape.some((size, axis) => size !== shape[axis]))
      throw new CheckpointError(
        `its shape is [${found.shape.join(", ")}], the model needs [${shape.join(", ")}]; ${remedy}`,
        { path: `${folder}/${found.file}`, tensor },
      );
  }
  for (const [tensor, { file }] of tensors)
    if (!expected.has(tensor))
      throw new CheckpointError(`the model has no such tensor; ${remedy}`, {
        path: `${folder}/${file}`,
        tensor,
      });
}

/** The file a missing tensor is missing from: the only one, or the index of several. */
function modelPath(folder: string, tensors: ReadonlyMap<string, CheckpointTensor>): string {
  const [first] = tensors.values();
  return `${folder}/${first === undefined || first.file === MODEL_NAME ? MODEL_NAME : INDEX_NAME}`;
}
