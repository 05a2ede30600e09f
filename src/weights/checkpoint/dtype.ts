/**
 * The number formats of tensors and their conversion to and from 32-bit floats, in bulk and by bit patterns (Node 20
 * has no Float16Array). Assumes a little-endian machine, as every platform of onnxruntime-node is.
 */

/** Bits per element of every number format the safetensors library defines. */
const BITS_PER_ELEMENT = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;

/** The name of a number format, as safetensors spells it. */
export type Dtype = keyof typeof BITS_PER_ELEMENT;

/** The formats that `decodeFloats` turns into 32-bit floats. */
export type FloatDtype = "F64" | "F32" | "F16" | "BF16";

/** The formats that 32-bit floats can be written in; F64 is written from 64-bit floats. */
export type WritableDtype = "F32" | "F16" | "BF16";

/** Whether a text names a number format of known size. */
export function isDtype(text: string): text is Dtype {
  return Object.hasOwn(BITS_PER_ELEMENT, text);
}

/** Whether a number format can be turned into 32-bit floats. */
export function isFloatDtype(dtype: Dtype): dtype is FloatDtype {
  return Object.hasOwn(DECODERS, dtype);
}

/** Bytes that `numElements` elements take; not whole when a format below 8 bits does not fill its last byte. */
export function numBytesOf(dtype: Dtype, numElements: number): number {
  return (numElements * BITS_PER_ELEMENT[dtype]) / 8;
}

/**
 * Little-endian bytes of a format as 32-bit floats in memory of their own. F16 and BF16 widen exactly, NaN payloads
 * included; F64 rounds to nearest even. Throws `TypeError` when the bytes are not whole elements.
 */
export function decodeFloats(bytes: Uint8Array, dtype: FloatDtype): Float32Array<ArrayBuffer> {
  if (bytes.length % numBytesOf(dtype, 1) !== 0)
    throw new TypeError(`Cannot decode ${bytes.length} bytes as ${dtype}: not a whole number of elements`);
  // A copy starts at offset 0 of its own buffer, so every element is aligned.
  return DECODERS[dtype](new Uint8Array(bytes).buffer);
}

/** Bytes to be read in ranges: an array of them, or a part of a file. */
export interface ReadableBytes {
  readonly length: number;
  /** The bytes from `start` up to `end`. */
  subarray(start: number, end: number): Uint8Array;
}

/** Reads ranges of elements; each result is overwritten by the next call. Throws `RangeError` beyond the last element. */
export type RangeDecoder = (start: number, end: number) => Float32Array;

/**
 * A decoder of ranges of the same bytes, by element indexes. For many small ranges it is several times faster than
 * `decodeFloats`, because it takes no new memory for each.
 */
export function createRangeDecoder(bytes: ReadableBytes, dtype: FloatDtype): RangeDecoder {
  const decode = chooseRangeDecoder(bytes, dtype);
  const count = Math.floor(bytes.length / numBytesOf(dtype, 1));
  return (start, end) => {
    // A truncated tensor: silence here would be zeros there.
    if (end > count) throw new RangeError(`Cannot read elements ${start} to ${end}: there are ${count}`);
    return decode(start, end);
  };
}

function chooseRangeDecoder(bytes: ReadableBytes, dtype: FloatDtype): RangeDecoder {
  const width = numBytesOf(dtype, 1);
  const isArray = bytes instanceof Uint8Array && bytes.byteOffset % width === 0;
  if (dtype === "F32" && isArray) {
    const values = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / width);
    return (start, end) => values.subarray(start, end);
  }
  if (dtype === "BF16" && isArray) {
    const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / width);
    let scratch = new Uint32Array(0);
    return (start, end) => {
      if (scratch.length < end - start) scratch = new Uint32Array(end - start);
      for (let index = start; index < end; index++) scratch[index - start] = (halves[index] ?? 0) << 16;
      return new Float32Array(scratch.buffer, 0, end - start);
    };
  }
  return (start, end) => decodeFloats(bytes.subarray(start * width, end * width), dtype);
}

/**
 * 32-bit floats as little-endian bytes of a format, in memory of their own. F16 and BF16 round to nearest, ties to
 * even; too large becomes infinite; NaN stays NaN with the upper bits of its payload.
 */
export function encodeFloats(values: Float32Array, dtype: WritableDtype): Uint8Array<ArrayBuffer> {
  const bits = new Uint32Array(
    new Uint8Array(values.buffer, values.byteOffset, values.byteLength).slice().buffer,
  );
  return ENCODERS[dtype](bits);
}

/** 64-bit floats as little-endian bytes of a format, by way of 32-bit ones where the format is not wider. */
export function encodeDoubles(values: Float64Array, dtype: FloatDtype): Uint8Array<ArrayBuffer> {
  if (dtype === "F64") return new Uint8Array(values.slice().buffer);
  const floats = new Float32Array(values);
  return dtype === "F32" ? new Uint8Array(floats.buffer) : encodeFloats(floats, dtype);
}

/** The numbers that 32-bit floats become in a format. */
export function roundFloats(values: Float32Array, dtype: FloatDtype): Float32Array {
  if (dtype === "F64" || dtype === "F32") return values;
  return decodeFloats(encodeFloats(values, dtype), dtype);
}

const DECODERS: { readonly [Name in FloatDtype]: (buffer: ArrayBuffer) => Float32Array<ArrayBuffer> } = {
  F64: (buffer) => new Float32Array(new Float64Array(buffer)),
  F32: (buffer) => new Float32Array(buffer),
  F16: (buffer) => widenHalves(new Uint16Array(buffer), tableOfHalves()),
  BF16: (buffer) => widenBrainHalves(new Uint16Array(buffer)),
};

const ENCODERS: {
  readonly [Name in WritableDtype]: (bits: Uint32Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>;
} = {
  F32: (bits) => new Uint8Array(bits.buffer),
  F16: (bits) => narrowToHalves(bits),
  BF16: (bits) => narrowToBrainHalves(bits),
};

// One loop per format: a loop that took the conversion as an argument would run several times slower.

function widenHalves(halves: Uint16Array, table: Uint32Array): Float32Array<ArrayBuffer> {
  const bits = new Uint32Array(halves.length);
  for (let index = 0; index < halves.length; index++) bits[index] = table[halves[index] ?? 0] ?? 0;
  return new Float32Array(bits.buffer);
}

function widenBrainHalves(halves: Uint16Array): Float32Array<ArrayBuffer> {
  const bits = new Uint32Array(halves.length);
  for (let index = 0; index < halves.length; index++) bits[index] = (halves[index] ?? 0) << 16;
  return new Float32Array(bits.buffer);
}

function narrowToHalves(bits: Uint32Array): Uint8Array<ArrayBuffer> {
  const halves = new Uint16Array(bits.length);
  for (let index = 0; index < bits.length; index++) halves[index] = halfOf(bits[index] ?? 0);
  return new Uint8Array(halves.buffer);
}

function narrowToBrainHalves(bits: Uint32Array): Uint8Array<ArrayBuffer> {
  const halves = new Uint16Array(bits.length);
  for (let index = 0; index < bits.length; index++) halves[index] = brainHalfOf(bits[index] ?? 0);
  return new Uint8Array(halves.buffer);
}

const INFINITE_SINGLE = 0x7f800000;

/** The BF16 pattern nearest to an F32 pattern: its upper half, rounded by the lower. */
function brainHalfOf(single: number): number {
  if ((single & 0x7fffffff) > INFINITE_SINGLE) return keepNan(single >>> 16, 0x7f);
  return (single + 0x7fff + ((single >>> 16) & 1)) >>> 16;
}

/** The F16 pattern nearest to an F32 pattern. F16 has 5 exponent bits of bias 15 where F32 has 8 of bias 127. */
function halfOf(single: number): number {
  const sign = (single >>> 16) & 0x8000;
  const size = single & 0x7fffffff;
  if (size > INFINITE_SINGLE) return keepNan(sign | 0x7c00 | ((size >>> 13) & 0x3ff), 0x3ff);
  if (size >= 0x47800000) return sign | 0x7c00; // 2^16 and above
  // Normal from 2^-14 on; a carry out of the fraction moves the exponent up, to infinity from 65,520 on.
  if (size >= 0x38800000) return sign | ((size - 0x38000000 + 0xfff + ((size >>> 13) & 1)) >>> 13);
  if (size <= 0x33000000) return sign; // up to 2^-25, half the smallest subnormal
  const fraction = (size & 0x7fffff) | 0x800000;
  const shift = 126 - (size >>> 23);
  return sign | ((fraction + (1 << (shift - 1)) - 1 + ((fraction >>> shift) & 1)) >>> shift);
}

/** A NaN whose payload was cut to nothing would read as infinite; one payload bit keeps it NaN. */
function keepNan(half: number, payloadMask: number): number {
  return (half & payloadMask) === 0 ? half | ((payloadMask + 1) >>> 1) : half;
}

let knownTable: Uint32Array | undefined;

/** The F32 pattern of every F16 pattern, made on first use. */
function tableOfHalves(): Uint32Array {
  knownTable ??= Uint32Array.from({ length: 2 ** 16 }, (_, half) => singleOf(half));
  return knownTable;
}

/** The F32 pattern of an F16 pattern. */
function singleOf(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >>> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0x1f) return sign | INFINITE_SINGLE | (fraction << 13);
  if (exponent !== 0) return sign | ((exponent + 112) << 23) | (fraction << 13);
  if (fraction === 0) return sign;
  // Subnormal: fraction × 2^-24, whose leading bit becomes the implicit one of F32.
  const leading = 31 - Math.clz32(fraction);
  return sign | ((leading + 103) << 23) | ((fraction << (23 - leading)) & 0x7fffff);
}
