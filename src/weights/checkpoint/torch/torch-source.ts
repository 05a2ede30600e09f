/** Weights in files that `torch.save` wrote: `pytorch_model.bin`, its shards, and single files of any name. */
import { describeError, requireItem } from "../../../base/core/index.ts";
import type { ByteSource } from "../../../base/file/index.ts";
import { CheckpointError, quote } from "../checkpoint-error.ts";
import { numBytesOf, type ReadableBytes } from "../dtype.ts";
import type { CheckpointTensor } from "../open-checkpoint.ts";
import { readShardIndex } from "../safetensors/safetensors-source.ts";
import type { WeightFiles } from "../source/find-weights.ts";
import { openAll } from "../source/open-files.ts";
import { joinPieces, type TensorPiece } from "../source/tensor-piece.ts";
import type { WeightSource } from "../source/weight-source.ts";
import { chooseWeights, listTensors } from "./state-dict.ts";
import type { StoredTensor } from "./stored-tensor.ts";
import { readTorchFile, type TorchFile } from "./torch-file.ts";

/** A file of weights that is open. */
export interface TorchWeights {
  readonly path: string;
  /** The tensors of the model by name; each lies within its storage. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly file: TorchFile;
}

const REMEDY =
  "load it with what wrote it and save the model's state_dict() alone, or save it as safetensors";

/** The answer of a reader; the clause of a `SyntaxError`, or a range that is gone, becomes a `CheckpointError` about the file. */
export function explainTorch<Value>(path: string, read: () => Value, remedy = REMEDY): Value {
  try {
    return read();
  } catch (cause) {
    if (cause instanceof CheckpointError) throw cause;
    if (cause instanceof SyntaxError)
      throw new CheckpointError(`${describeError(cause)}; ${remedy}`, { path, cause });
    if (cause instanceof RangeError)
      throw new CheckpointError(
        "its bytes cannot be read any more; keep the file unchanged while it is open",
        {
          path,
          cause,
        },
      );
    throw cause;
  }
}

/** Reads the names and places of the model's tensors in a file. Throws `CheckpointError`. */
export function readTorchWeights(source: ByteSource): TorchWeights {
  const { path } = source;
  return explainTorch(path, () => {
    const file = readTorchFile(source);
    const tensors = chooseWeights(listTensors(file.value));
    for (const [name, { storage, needed }] of tensors) {
      const { length } = file.openStorage(storage);
      if (needed > length)
        throw new SyntaxError(
          `its tensor ${JSON.stringify(name)} needs ${needed} bytes of a storage of ${length}`,
        );
    }
    return { path, tensors, file };
  });
}

/** What a tensor of a file is a piece of: itself, unless `offsets` are given. */
export function createPiece(
  { path, file }: Pick<TorchWeights, "path" | "file">,
  tensor: StoredTensor,
  offsets: readonly number[] = tensor.shape.map(() => 0),
): TensorPiece {
  const { shape: sizes, start, strides, storage } = tensor;
  const open = (): ReadableBytes => {
    const { length, subarray } = explainTorch(path, () => file.openStorage(storage));
    return { length, subarray: (from, to) => explainTorch(path, () => subarray(from, to)) };
  };
  return { open, offsets, sizes, start, strides };
}

/** A tensor and the file that holds it. */
interface HeldTensor {
  readonly weights: TorchWeights;
  readonly tensor: StoredTensor;
  readonly file: string;
}

/** Opens the files of a model. Throws `CheckpointError`. */
export async function openTorchSource({ folder, files, isIndex }: WeightFiles): Promise<WeightSource> {
  const [first = ""] = files;
  const shardOf = isIndex ? await readShardIndex(folder, first) : undefined;
  const names = shardOf === undefined ? files : [...new Set(shardOf.values())];
  const { sources, close } = await openAll(names.map((name) => `${folder}/${name}`));
  try {
    const held = holdTensors(sources, { names, shardOf });
    for (const [tensor, shard] of shardOf ?? [])
      if (!held.has(tensor))
        throw new CheckpointError(
          "the index lists it, the file lacks it; download or save the checkpoint again",
          { path: `${folder}/${shard}`, tensor },
        );
    const describe = ({ tensor: { dtype, shape }, file }: HeldTensor): CheckpointTensor => ({
      dtype,
      shape,
      file,
    });
    return {
      tensors: new Map([...held].map(([name, one]) => [name, describe(one)])),
      openBytes: (name) => {
        const one = held.get(name);
        if (one === undefined) throw new RangeError(`Cannot open tensor ${quote(name)}: it was not listed`);
        const { shape, dtype } = one.tensor;
        return joinPieces([createPiece(one.weights, one.tensor)], { shape, width: numBytesOf(dtype, 1) });
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The tensors of all files, each in one of them, and where the index says. */
function holdTensors(
  sources: readonly ByteSource[],
  {
    names,
    shardOf,
  }: { readonly names: readonly string[]; readonly shardOf: ReadonlyMap<string, string> | undefined },
): ReadonlyMap<string, HeldTensor> {
  const held = new Map<string, HeldTensor>();
  for (const [index, source] of sources.entries()) {
    const weights = readTorchWeights(source);
    const file = requireItem(names, index);
    for (const [name, tensor] of weights.tensors) {
      const place = { path: weights.path, tensor: name };
      checkWhole(tensor, place);
      const other = held.get(name);
      if (other !== undefined)
        throw new CheckpointError(
          `it is in ${quote(other.weights.path)} as well; save the model again`,
          place,
        );
      if (shardOf !== undefined && shardOf.get(name) !== file)
        throw new CheckpointError(
          "the index puts it elsewhere; download or save the checkpoint again",
          place,
        );
      held.set(name, { weights, tensor, file });
    }
  }
  return held;
}

/** A file of one process of several holds parts of tensors. */
function checkWhole(
  { shape, shard }: StoredTensor,
  place: { readonly path: string; readonly tensor: string },
): void {
  if (shard === undefined || shard.shape.join() === shape.join()) return;
  throw new CheckpointError(
    `it is a part [${shape.join(", ")}] of a tensor [${shard.shape.join(", ")}], as one of several processes had it; give the folder with the files of all of them`,
    place,
  );
}
