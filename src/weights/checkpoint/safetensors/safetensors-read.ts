/** Reading tensors of one safetensors file by byte ranges, the header first and nothing but what is asked for. */
import { type ByteSource, openByteSource } from "../../../base/file/index.ts";
import { CheckpointError, expectReadable } from "../checkpoint-error.ts";
import { type Dtype, decodeFloats, isFloatDtype, numBytesOf, type ReadableBytes } from "../dtype.ts";
import {
  LENGTH_BYTES,
  numElementsOf,
  parseHeaderEnd,
  parseSafetensorsHeader,
  type SafetensorsHeader,
  type TensorEntry,
} from "./safetensors-header.ts";

/** A tensor in memory. */
export interface TensorData {
  /** The number format it is stored in. */
  readonly dtype: Dtype;
  /** The axes' sizes, outermost first. */
  readonly shape: readonly number[];
  /** Its values in C order, one float per element. */
  readonly data: Float32Array;
}

/** An open safetensors file. Whoever opens it closes it. */
export interface SafetensorsFile {
  /** Where the file is. */
  readonly path: string;
  /** What the file holds. */
  readonly header: SafetensorsHeader;
  /**
   * A tensor's values as 32-bit floats. Throws `CheckpointError` when there is no such tensor, when its format is no
   * float of 16 to 64 bits, or when the file changed since it was opened.
   */
  readTensor(name: string): Promise<TensorData>;
  /** A tensor's bytes as stored, whatever its format. Throws `CheckpointError` as `readTensor`. */
  readBytes(name: string): Promise<Uint8Array>;
  /** A tensor's bytes to be read range by range while the thread waits. Throws `CheckpointError` as `readTensor`. */
  openBytes(name: string): ReadableBytes;
  /** Closes the file; reads after that fail. */
  close(): Promise<void>;
}

/** Bytes read and converted at a time: large enough for network disks, small beside the tensor itself. */
const CHUNK_BYTES = 16 * 2 ** 20;

/**
 * Opens a safetensors file and reads its header. Throws `CheckpointError` when the file is missing, unreadable or
 * malformed.
 */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const source = await expectReadable(path, openByteSource(path));
  try {
    return await readSafetensors(source);
  } catch (error) {
    await source.close();
    throw error;
  }
}

async function readSafetensors(source: ByteSource): Promise<SafetensorsFile> {
  const { path } = source;
  const facts = { path, fileSize: source.size };
  const headerEnd = parseHeaderEnd(await source.read(0, Math.min(LENGTH_BYTES, source.size)), facts);
  const header = parseSafetensorsHeader(await source.read(0, headerEnd), facts);
  const find = (tensor: string): TensorEntry => {
    const entry = header.tensors.get(tensor);
    if (entry !== undefined) return entry;
    throw new CheckpointError("there is no such tensor in it; check the name or use another checkpoint", {
      path,
      tensor,
    });
  };
  return {
    path,
    header,
    readTensor: async (name) => {
      const entry = find(name);
      const data = await explain(readFloats(source, { ...entry, name }), { path, tensor: name });
      return { dtype: entry.dtype, shape: entry.shape, data };
    },
    readBytes: async (name) => {
      const { start, end } = find(name);
      return await explain(source.read(start, end), { path, tensor: name });
    },
    openBytes: (name) => {
      const { start, end } = find(name);
      const subarray = (from: number, to: number): Uint8Array => {
        try {
          return source.readSync(start + from, start + to);
        } catch (cause) {
          throw describeLoss(cause, { path, tensor: name });
        }
      };
      return { length: end - start, subarray };
    },
    close: () => source.close(),
  };
}

/** Values of one tensor, read and converted chunk by chunk. */
async function readFloats(
  source: ByteSource,
  { name, dtype, shape, start, end }: TensorEntry & { readonly name: string },
): Promise<Float32Array> {
  if (!isFloatDtype(dtype))
    throw new CheckpointError(`${dtype} numbers cannot be read as floats; save it as F32, F16 or BF16`, {
      path: source.path,
      tensor: name,
    });
  const values = new Float32Array(numElementsOf(shape));
  for (let position = start; position < end; position += CHUNK_BYTES) {
    const bytes = await source.read(position, Math.min(position + CHUNK_BYTES, end));
    values.set(decodeFloats(bytes, dtype), (position - start) / numBytesOf(dtype, 1));
  }
  return values;
}

interface ReadLocation {
  readonly path: string;
  readonly tensor: string;
}

/** The answer of a ranged read; a range that is gone means that the file changed under the reader. */
async function explain<Value>(answer: Promise<Value>, place: ReadLocation): Promise<Value> {
  try {
    return await answer;
  } catch (cause) {
    throw describeLoss(cause, place);
  }
}

function describeLoss(cause: unknown, place: ReadLocation): unknown {
  if (!(cause instanceof RangeError)) return cause;
  return new CheckpointError("its bytes cannot be read any more; keep the file unchanged while it is open", {
    ...place,
    cause,
  });
}
