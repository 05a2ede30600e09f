/** Tensors in whatever format they are stored, and how checkpoints read them: range by range, never a whole file. */
import { CheckpointError } from "../checkpoint-error.ts";
import { decodeFloats, isFloatDtype, numBytesOf, type ReadableBytes } from "../dtype.ts";
import type { Checkpoint, CheckpointTensor } from "../open-checkpoint.ts";
import { listParts, type TensorPart, takeRange } from "./stack.ts";

/** Stored tensors that can be read. Whoever opens it closes it. */
export interface WeightSource {
  /** Every tensor, by name. */
  readonly tensors: ReadonlyMap<string, CheckpointTensor>;
  /** The configuration, where the format holds it. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Present where tensors are put together from parts in several files. */
  readonly isParted?: true;
  /** The bytes of one of `tensors`, little-endian and in C order. */
  openBytes(name: string): ReadableBytes;
  /** Closes all files; reads after that fail. */
  close(): Promise<void>;
}

/** Bytes read and converted at a time: large enough for network disks, small beside the tensor itself. */
const CHUNK_BYTES = 16 * 2 ** 20;

/** More names than any model has; without a limit, a small file with holes would fill the memory with them. */
const MAX_PARTS = 2 ** 20;

type Reader = Pick<Checkpoint, "tensors" | "readTensor" | "readBytes" | "openBytes">;

/** Reads tensors, and the matrices of stacks, from the source that holds them. */
export function createReader(
  source: WeightSource,
  { folder, config }: { readonly folder: string; readonly config: Readonly<Record<string, unknown>> },
): Reader {
  const parts = findParts(source, { folder, config });
  const find = (name: string): TensorPart & { readonly stored: string } => {
    const part = parts.get(name);
    if (part !== undefined) return part;
    throw new CheckpointError("there is no such tensor in it; check the name or use another checkpoint", {
      path: folder,
      tensor: name,
    });
  };
  const openBytes = (name: string): ReadableBytes => {
    const part = find(name);
    return takeRange(source.openBytes(part.stored), part);
  };
  return {
    tensors: new Map([...parts].map(([name, { tensor }]) => [name, tensor])),
    openBytes,
    readBytes: async (name) => {
      const bytes = openBytes(name);
      return bytes.subarray(0, bytes.length);
    },
    readTensor: async (name) => {
      const { dtype, shape, file } = find(name).tensor;
      if (!isFloatDtype(dtype))
        throw new CheckpointError(`${dtype} numbers cannot be read as floats; save it as F32, F16 or BF16`, {
          path: `${folder}/${file}`,
          tensor: name,
        });
      const bytes = openBytes(name);
      const data = new Float32Array(bytes.length / numBytesOf(dtype, 1));
      for (let start = 0; start < bytes.length; start += CHUNK_BYTES) {
        const chunk = bytes.subarray(start, Math.min(start + CHUNK_BYTES, bytes.length));
        data.set(decodeFloats(chunk, dtype), start / numBytesOf(dtype, 1));
      }
      return { dtype, shape, data };
    },
  };
}

function findParts(
  { tensors }: WeightSource,
  { folder, config }: { readonly folder: string; readonly config: Readonly<Record<string, unknown>> },
): ReadonlyMap<string, TensorPart & { readonly stored: string }> {
  const parts = new Map<string, TensorPart & { readonly stored: string }>();
  for (const [stored, tensor] of tensors)
    for (const part of listParts(stored, tensor, config)) {
      if (parts.has(part.name))
        throw new CheckpointError("it is there twice, alone and in a stack; save the model again", {
          path: `${folder}/${tensor.file}`,
          tensor: part.name,
        });
      if (parts.size >= MAX_PARTS)
        throw new CheckpointError(
          `it has more than ${MAX_PARTS} tensors and matrices of experts; the file is damaged, download or save it again`,
          { path: folder },
        );
      parts.set(part.name, { ...part, stored });
    }
  return parts;
}
