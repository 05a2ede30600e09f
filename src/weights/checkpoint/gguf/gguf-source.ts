/** Weights in GGUF files: plain numbers as they are stored, quantized ones as the 32-bit floats that they stand for. */
import { requireItem } from "../../../base/core/index.ts";
import type { ByteSource } from "../../../base/file/index.ts";
import { CheckpointError, quote } from "../checkpoint-error.ts";
import { type Dtype, numBytesOf, type ReadableBytes } from "../dtype.ts";
import type { CheckpointTensor } from "../open-checkpoint.ts";
import { numElementsOf } from "../safetensors/safetensors-header.ts";
import type { WeightFiles } from "../source/find-weights.ts";
import { openAll } from "../source/open-files.ts";
import { joinPieces } from "../source/tensor-piece.ts";
import type { WeightSource } from "../source/weight-source.ts";
import { type BlockFormat, blockFormats, nameFormat, openDequantized } from "./dequantize.ts";
import { type GgufTensor, readGgufHeader } from "./gguf-header.ts";
import { describeGgufModel } from "./gguf-model.ts";

const REMEDY = "give the model that it was made of as safetensors, or a GGUF file in F16, BF16 or Q8_0";

/** Formats of plain numbers, by their number in GGUF. */
const plainFormats: ReadonlyMap<number, Dtype> = new Map([
  [0, "F32"],
  [1, "F16"],
  [24, "I8"],
  [25, "I16"],
  [26, "I32"],
  [27, "I64"],
  [28, "F64"],
  [30, "BF16"],
]);

interface Entry {
  readonly tensor: CheckpointTensor;
  readonly open: () => ReadableBytes;
}

/** Opens a file, or the files of one model that was split. Throws `CheckpointError`. */
export async function openGgufSource({ folder, files }: WeightFiles): Promise<WeightSource> {
  const { sources, close } = await openAll(files.map((file) => `${folder}/${file}`));
  try {
    const headers = sources.map((source) => explain(source.path, () => readGgufHeader(source)));
    const [first] = headers;
    if (first === undefined) throw new RangeError("Cannot open a GGUF model: there are no files");
    const tensors = new Map(headers.flatMap((header) => [...header.tensors]));
    const model = explain(`${folder}/${files[0]}`, () =>
      describeGgufModel({ metadata: first.metadata, tensors }),
    );
    const entries = new Map<string, Entry>();
    for (const [index, source] of sources.entries())
      for (const [key, tensor] of headers[index]?.tensors ?? []) {
        const { name, numHeads } = model.place(key);
        if (entries.has(name))
          throw new CheckpointError(`it is there twice; ${REMEDY}`, { path: source.path, tensor: key });
        entries.set(name, openEntry(source, tensor, { key, numHeads, file: requireItem(files, index) }));
      }
    return {
      config: model.config,
      tensors: new Map([...entries].map(([name, { tensor }]) => [name, tensor])),
      openBytes: (name) => {
        const entry = entries.get(name);
        if (entry === undefined) throw new RangeError(`Cannot open tensor ${quote(name)}: it was not listed`);
        return entry.open();
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function explain<Value>(path: string, read: () => Value): Value {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof SyntaxError) || cause instanceof CheckpointError) throw cause;
    throw new CheckpointError(`${cause.message}; ${REMEDY}`, { path, cause });
  }
}

function openEntry(
  source: ByteSource,
  { shape, type, start }: GgufTensor,
  {
    key,
    numHeads,
    file,
  }: { readonly key: string; readonly numHeads: number | undefined; readonly file: string },
): Entry {
  const { path } = source;
  const refuse = (problem: string): never => {
    throw new CheckpointError(`${problem}; ${REMEDY}`, { path, tensor: key });
  };
  const { dtype, blocks, length } = describeFormat({ shape, type }, refuse);
  if (start + length > source.size) refuse(`it ends at byte ${start + length} of a file of ${source.size}`);
  const open = (): ReadableBytes => openNumbers(source, { start, length, blocks });
  const [rows = 1] = shape;
  if (numHeads !== undefined && (numHeads === 0 || rows % (2 * numHeads) !== 0))
    refuse(`its ${rows} rows can't belong to ${numHeads} heads`);
  return {
    tensor: { dtype, shape, file },
    open: numHeads === undefined ? open : () => orderRows(open, { shape, dtype, numHeads }),
  };
}

/** How the numbers of a tensor are read and stored, and how many bytes they take; `refuse` throws what is wrong. */
function describeFormat(
  { shape, type }: Pick<GgufTensor, "shape" | "type">,
  refuse: (problem: string) => never,
): { readonly dtype: Dtype; readonly blocks: BlockFormat | undefined; readonly length: number } {
  const numElements = numElementsOf(shape);
  const plain = plainFormats.get(type);
  const blocks = blockFormats.get(type);
  if (blocks === undefined) {
    const dtype = plain ?? refuse(`its number format is ${nameFormat(type)}, which can't be read`);
    return { dtype, blocks, length: numBytesOf(dtype, numElements) };
  }
  if ((shape.at(-1) ?? 1) % blocks.size !== 0)
    refuse(`its rows of ${shape.at(-1)} are not whole blocks of ${blocks.name}`);
  return { dtype: plain ?? "F32", blocks, length: (numElements / blocks.size) * blocks.numBytes };
}

function openNumbers(
  source: ByteSource,
  {
    start,
    length,
    blocks,
  }: { readonly start: number; readonly length: number; readonly blocks: BlockFormat | undefined },
): ReadableBytes {
  const stored: ReadableBytes = {
    length,
    subarray: (from, to) => {
      try {
        return source.readSync(start + from, start + to);
      } catch (cause) {
        if (!(cause instanceof RangeError)) throw cause;
        throw new CheckpointError(
          "its bytes cannot be read any more; keep the file unchanged while it is open",
          {
            path: source.path,
            cause,
          },
        );
      }
    },
  };
  return blocks === undefined ? stored : openDequantized(stored, blocks);
}

/** Rows in Hugging Face's order: per head one half of the rotary pairs after the other, which llama.cpp has side by side. */
function orderRows(
  open: () => ReadableBytes,
  {
    shape,
    dtype,
    numHeads,
  }: { readonly shape: readonly number[]; readonly dtype: Dtype; readonly numHeads: number },
): ReadableBytes {
  const [rows = 1] = shape;
  const columns = numElementsOf(shape) / rows;
  const half = rows / numHeads / 2;
  const sizes = [numHeads, 2, half, columns];
  const strides = [2 * half * columns, columns, 2 * columns, 1];
  const piece = { open, offsets: [0, 0, 0, 0], sizes, start: 0, strides };
  return joinPieces([piece], { shape: sizes, width: numBytesOf(dtype, 1) });
}
