/** Writing safetensors files: header first, then one tensor after another, so that only one is in memory. */
import { writeFileAtomic } from "../../../base/file/index.ts";
import { quote } from "../checkpoint-error.ts";
import { encodeFloats, numBytesOf, type WritableDtype } from "../dtype.ts";
import { encodeSafetensorsHeader, isCount, METADATA_KEY, numElementsOf } from "./safetensors-header.ts";

/** A tensor to write: what it will be, and how to get its values when their turn comes. */
export type WritableTensor = SingleTensor | DoubleTensor;

interface NamedTensor {
  readonly name: string;
  /** The axes' sizes, outermost first. */
  readonly shape: readonly number[];
}

interface SingleTensor extends NamedTensor {
  /** The number format to store; F16 and BF16 round to nearest even. */
  readonly dtype: WritableDtype;
  /** The values in C order; called once, and its result is dropped after writing. */
  readonly data: () => Float32Array | Promise<Float32Array>;
}

interface DoubleTensor extends NamedTensor {
  readonly dtype: "F64";
  readonly data: () => Float64Array | Promise<Float64Array>;
}

/** Notes in the header; `{ format: "pt" }` is what Hugging Face loaders ask for. */
export type SafetensorsMetadata = Readonly<Record<string, string>>;

/** Elements converted and written at a time. */
const CHUNK_ELEMENTS = 4 * 2 ** 20;

/** The reference library puts wide formats first, which keeps every tensor aligned. */
const ORDER: { readonly [Name in WritableTensor["dtype"]]: number } = { F64: 0, F32: 1, BF16: 2, F16: 3 };

/**
 * Writes a safetensors file atomically, laid out as the reference library does: F64, F32, BF16, F16, then by
 * name, so the same tensors and metadata (default `{ format: "pt" }`) give the same bytes in whatever order they
 * come. Throws `RangeError` for a name given twice or reserved and a shape that is none, `TypeError` when values do
 * not fill their shape, `UsageError` when the path cannot be written; nothing is left of a failed write.
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<WritableTensor>,
  metadata: SafetensorsMetadata = { format: "pt" },
): Promise<void> {
  const ordered = [...tensors].sort(
    (a, b) => ORDER[a.dtype] - ORDER[b.dtype] || (a.name < b.name ? -1 : Number(a.name > b.name)),
  );
  checkTensors(ordered);
  await writeFileAtomic(path, encodeFile(ordered, encodeHeader(ordered, metadata)));
}

function checkTensors(tensors: readonly WritableTensor[]): void {
  const names = new Set<string>([METADATA_KEY]);
  for (const { name, shape } of tensors) {
    if (names.has(name)) throw new RangeError(`Cannot write tensor ${quote(name)}: the name is taken`);
    if (!shape.every(isCount) || !Number.isSafeInteger(8 * numElementsOf(shape)))
      throw new RangeError(`Cannot write tensor ${quote(name)}: [${shape.join(", ")}] is not a shape`);
    names.add(name);
  }
}

function encodeHeader(tensors: readonly WritableTensor[], metadata: SafetensorsMetadata): Uint8Array {
  let end = 0;
  const fields = tensors.map(({ name, dtype, shape }) => {
    const start = end;
    end = start + numBytesOf(dtype, numElementsOf(shape));
    return { name, dtype, shape, start, end };
  });
  return encodeSafetensorsHeader(fields, metadata);
}

async function* encodeFile(
  tensors: readonly WritableTensor[],
  header: Uint8Array,
): AsyncGenerator<Uint8Array, void, void> {
  yield header;
  for (const tensor of tensors) yield* encodeTensor(tensor);
}

async function* encodeTensor(tensor: WritableTensor): AsyncGenerator<Uint8Array, void, void> {
  const values = await tensor.data();
  const { name, shape } = tensor;
  if (values.length !== numElementsOf(shape))
    throw new TypeError(
      `Cannot write tensor ${quote(name)}: ${values.length} values do not fill [${shape.join(", ")}]`,
    );
  for (let start = 0; start < values.length; start += CHUNK_ELEMENTS) {
    const chunk = values.subarray(start, start + CHUNK_ELEMENTS);
    if (chunk instanceof Float64Array) yield new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    else if (tensor.dtype !== "F64") yield encodeFloats(chunk, tensor.dtype);
  }
}
