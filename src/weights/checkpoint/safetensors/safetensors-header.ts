/**
 * The header of a safetensors file: 8 bytes of length, then JSON naming each tensor, its format, shape and byte
 * range. Every rule of the format is checked, so that a file that parses can be read without further checks.
 */
import { CheckpointError } from "../checkpoint-error.ts";
import { type Dtype, isDtype, numBytesOf } from "../dtype.ts";
import { isJsonObject, type JsonObject, type JsonValue, parseStrictJson } from "./strict-json.ts";

/** What a header says of one tensor. */
export interface TensorEntry {
  /** The number format. */
  readonly dtype: Dtype;
  /** The axes' sizes, outermost first; empty for a single number. */
  readonly shape: readonly number[];
  /** Where its bytes start, counted from the start of the file. */
  readonly start: number;
  /** Where its bytes end (exclusive), counted from the start of the file. */
  readonly end: number;
}

/** A safetensors header: tensors in the header's order, and the writer's notes. */
export interface SafetensorsHeader {
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: ReadonlyMap<string, string>;
}

/** Where bytes come from: the file's path, for messages, and its size in bytes. */
export interface FileFacts {
  readonly path: string;
  readonly fileSize: number;
}

/** The header key that holds notes and therefore names no tensor. */
export const METADATA_KEY = "__metadata__";

/** Bytes before the JSON: its length, an unsigned 64-bit integer. */
export const LENGTH_BYTES = 8;

/** The limit of the reference library; without one, 8 damaged bytes would make readers allocate terabytes. */
export const MAX_HEADER_BYTES = 100_000_000;

const DAMAGED = "the file is damaged or no safetensors file; download or save it again";

/**
 * Where the header ends and the tensors' bytes begin, read from the first 8 bytes of a file. Throws
 * `CheckpointError` when the length is above 100 MB or beyond the file.
 */
export function parseHeaderEnd(bytes: Uint8Array, { path, fileSize }: FileFacts): number {
  if (bytes.length < LENGTH_BYTES || fileSize < LENGTH_BYTES)
    throw new CheckpointError(`it ends within the 8 bytes of the header's length; ${DAMAGED}`, { path });
  const length = new DataView(bytes.buffer, bytes.byteOffset, LENGTH_BYTES).getBigUint64(0, true);
  if (length > MAX_HEADER_BYTES)
    throw new CheckpointError(
      `its header claims ${length} bytes, above the limit of ${MAX_HEADER_BYTES}; ${DAMAGED}`,
      { path },
    );
  const end = LENGTH_BYTES + Number(length);
  if (end > fileSize)
    throw new CheckpointError(`its header claims to end at byte ${end} of ${fileSize}; ${DAMAGED}`, { path });
  return end;
}

/**
 * The header in the first bytes of a file (the 8 length bytes and the whole JSON at least). Throws
 * `CheckpointError` for anything the format forbids: malformed JSON, a key given twice, an unknown number format,
 * a shape that does not fit its bytes, ranges that overlap, leave holes or miss the end of the file.
 */
export function parseSafetensorsHeader(bytes: Uint8Array, facts: FileFacts): SafetensorsHeader {
  const headerEnd = parseHeaderEnd(bytes, facts);
  const { path } = facts;
  if (headerEnd > bytes.length)
    throw new CheckpointError(`only ${bytes.length} bytes of its header are there; ${DAMAGED}`, { path });
  const fields = parseHeaderJson(bytes.subarray(LENGTH_BYTES, headerEnd), path);
  const tensors = new Map<string, TensorEntry>();
  for (const [name, field] of fields)
    if (name !== METADATA_KEY) tensors.set(name, parseEntry(field, { path, tensor: name, headerEnd }));
  checkCoverage(tensors, { ...facts, headerEnd });
  return { tensors, metadata: parseMetadata(fields.get(METADATA_KEY), path) };
}

function parseHeaderJson(bytes: Uint8Array, path: string): JsonObject {
  const refuse = (problem: string, cause?: unknown): never => {
    throw new CheckpointError(`its header ${problem}; ${DAMAGED}`, { path, cause });
  };
  if (bytes[0] !== "{".charCodeAt(0)) return refuse('does not start with "{"');
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    // The format pads with spaces only; the JSON parser would let other white space pass.
    if (!text.trimEnd().endsWith("}") || /[^ ]/.test(text.slice(text.trimEnd().length)))
      return refuse("is followed by something other than spaces");
    const value = parseStrictJson(text);
    return isJsonObject(value) ? value : refuse("is not a JSON object");
  } catch (error) {
    if (error instanceof CheckpointError) throw error;
    return refuse(`is malformed: ${error instanceof Error ? error.message : String(error)}`, error);
  }
}

function parseMetadata(field: JsonValue | undefined, path: string): ReadonlyMap<string, string> {
  const metadata = new Map<string, string>();
  if (field === undefined) return metadata;
  if (!isJsonObject(field))
    throw new CheckpointError(`its "${METADATA_KEY}" is not an object of texts; ${DAMAGED}`, { path });
  for (const [key, value] of field) {
    if (typeof value !== "string")
      throw new CheckpointError(`its "${METADATA_KEY}" holds a value that is not text; ${DAMAGED}`, { path });
    metadata.set(key, value);
  }
  return metadata;
}

interface EntryLocation {
  readonly path: string;
  readonly tensor: string;
  readonly headerEnd: number;
}

function parseEntry(field: JsonValue, place: EntryLocation): TensorEntry {
  const refuse = (problem: string): never => {
    throw new CheckpointError(`${problem}; ${DAMAGED}`, place);
  };
  if (!isJsonObject(field)) return refuse("its header entry is not an object");
  const dtype = field.get("dtype");
  if (typeof dtype !== "string" || !isDtype(dtype)) return refuse(`its dtype ${show(dtype)} is unknown`);
  const shape = parseCounts(field.get("shape"));
  if (shape === undefined) return refuse("its shape is not a list of whole numbers from 0 up");
  const [start, end, ...others] = parseCounts(field.get("data_offsets")) ?? [];
  if (start === undefined || end === undefined || others.length > 0 || start > end)
    return refuse("its data_offsets are not two whole numbers in order");
  const numBytes = numBytesOf(dtype, numElementsOf(shape));
  if (numBytes !== end - start)
    return refuse(
      `shape [${shape.join(", ")}] of ${dtype} takes ${numBytes} bytes, its data_offsets ${end - start}`,
    );
  return { dtype, shape, start: start + place.headerEnd, end: end + place.headerEnd };
}

/** The number of elements of a shape; above 2^53 it is only known to be too many. */
export function numElementsOf(shape: readonly number[]): number {
  return shape.includes(0) ? 0 : shape.reduce((product, size) => product * size, 1);
}

/** Whether a value is a whole number from 0 to 2^53 - 1. */
export function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 && !Object.is(value, -0);
}

function parseCounts(value: JsonValue | undefined): readonly number[] | undefined {
  return Array.isArray(value) && value.every(isCount) ? value : undefined;
}

function show(value: JsonValue | undefined): string {
  return typeof value === "string" ? `"${value.slice(0, 20)}"` : String(value).slice(0, 20);
}

/** The tensors' bytes must follow one another from the header's end to the file's end. */
function checkCoverage(
  tensors: ReadonlyMap<string, TensorEntry>,
  { path, fileSize, headerEnd }: FileFacts & { readonly headerEnd: number },
): void {
  let position = headerEnd;
  let previous = "";
  const byPosition = [...tensors].sort(([, a], [, b]) => a.start - b.start || a.end - b.end);
  for (const [tensor, { start, end }] of byPosition) {
    const place = { path, tensor };
    if (end > fileSize)
      throw new CheckpointError(
        `it is out of range, ending at byte ${end} of ${fileSize}; ${DAMAGED}`,
        place,
      );
    if (start < position)
      throw new CheckpointError(
        `its bytes overlap those of tensor ${JSON.stringify(previous)}; ${DAMAGED}`,
        place,
      );
    if (start > position)
      throw new CheckpointError(`${start - position} bytes before it belong to no tensor; ${DAMAGED}`, place);
    position = end;
    previous = tensor;
  }
  if (position < fileSize)
    throw new CheckpointError(`its last ${fileSize - position} bytes belong to no tensor; ${DAMAGED}`, {
      path,
    });
}

/** A tensor as a header lists it: offsets count from the header's end. */
export interface HeaderField {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly start: number;
  readonly end: number;
}

/**
 * A header as bytes: the length, and the JSON padded with spaces so that the tensors start at a multiple of 8 bytes. Throws
 * `RangeError` beyond 100 MB.
 */
export function encodeSafetensorsHeader(
  fields: readonly HeaderField[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  // Joined by hand: in an object literal a tensor named "__proto__" would be lost.
  const texts = fields.map(({ name, dtype, shape, start, end }) => {
    const field = { dtype, shape, data_offsets: [start, end] };
    return `${JSON.stringify(name)}:${JSON.stringify(field)}`;
  });
  const json = new TextEncoder().encode(
    `{${[`"${METADATA_KEY}":${JSON.stringify(metadata)}`, ...texts].join(",")}}`,
  );
  const length = Math.ceil(json.length / 8) * 8;
  if (length > MAX_HEADER_BYTES)
    throw new RangeError(`Cannot write a header of ${length} bytes: the limit is ${MAX_HEADER_BYTES}`);
  const header = new Uint8Array(LENGTH_BYTES + length).fill(" ".charCodeAt(0));
  header.set(json, LENGTH_BYTES);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  return header;
}
