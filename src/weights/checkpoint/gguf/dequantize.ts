/**
 * The quantized number formats of GGUF as 32-bit floats, block by block, every step rounded as `dequantize` of the Python package
 * gguf rounds it. Formats that are not here are refused by name.
 */
import { decodeFloats, type ReadableBytes } from "../dtype.ts";

/** A format whose numbers come in blocks. */
export interface BlockFormat {
  readonly name: string;
  /** Numbers of a block. */
  readonly size: number;
  /** Bytes of a block. */
  readonly numBytes: number;
  /** Writes the numbers of the block that starts at `start`. */
  readonly decode: (bytes: Uint8Array, start: number, out: Float32Array) => void;
}

/** Rounded to 32 bits. */
const fround = (value: number): number => Math.fround(value);

/** All halves as floats, made on first use. */
let halves: Float32Array | undefined;

function readHalf(bytes: Uint8Array, start: number): number {
  halves ??= decodeFloats(
    new Uint8Array(Uint16Array.from({ length: 2 ** 16 }, (_, half) => half).buffer),
    "F16",
  );
  return halves[(bytes[start] ?? 0) | ((bytes[start + 1] ?? 0) << 8)] ?? 0;
}

/** The lower halves of 16 bytes, then the upper ones. */
function readNibble(bytes: Uint8Array, start: number, index: number): number {
  const byte = bytes[start + (index & 15)] ?? 0;
  return index < 16 ? byte & 15 : byte >> 4;
}

function readBit(bytes: Uint8Array, start: number, index: number): number {
  return ((bytes[start + (index >> 3)] ?? 0) >> (index & 7)) & 1;
}

/** Blocks of 32: scale · (number − zero), or scale · number + least where there is a least one. */
function decodeSimple({
  hasLeast,
  hasFifthBit,
}: {
  readonly hasLeast: boolean;
  readonly hasFifthBit: boolean;
}): BlockFormat["decode"] {
  const zero = hasLeast ? 0 : hasFifthBit ? 16 : 8;
  const bits = hasLeast ? 4 : 2;
  const numbers = bits + (hasFifthBit ? 4 : 0);
  return (bytes, start, out) => {
    const scale = readHalf(bytes, start);
    const least = hasLeast ? readHalf(bytes, start + 2) : 0;
    for (let index = 0; index < 32; index++) {
      const upper = hasFifthBit ? readBit(bytes, start + bits, index) << 4 : 0;
      const product = fround(scale * ((readNibble(bytes, start + numbers, index) | upper) - zero));
      out[index] = hasLeast ? product + least : product;
    }
  };
}

function decodeQ8(bytes: Uint8Array, start: number, out: Float32Array): void {
  const scale = readHalf(bytes, start);
  for (let index = 0; index < 32; index++)
    out[index] = (((bytes[start + 2 + index] ?? 0) << 24) >> 24) * scale;
}

/** Two bits of number `index` of 256: 32 bytes hold four rows of 32. */
function readPair(bytes: Uint8Array, start: number, index: number): number {
  return ((bytes[start + (index >> 7) * 32 + (index & 31)] ?? 0) >> (((index >> 5) & 3) * 2)) & 3;
}

function decodeQ2(bytes: Uint8Array, start: number, out: Float32Array): void {
  const [scale, least] = [readHalf(bytes, start + 80), readHalf(bytes, start + 82)];
  for (let index = 0; index < 256; index++) {
    const both = bytes[start + (index >> 4)] ?? 0;
    const product = fround(fround(scale * (both & 15)) * readPair(bytes, start + 16, index));
    out[index] = product - fround(least * (both >> 4));
  }
}

function decodeQ3(bytes: Uint8Array, start: number, out: Float32Array): void {
  const scale = readHalf(bytes, start + 108);
  const scales = start + 96;
  for (let index = 0; index < 256; index++) {
    const group = index >> 4;
    const low = bytes[scales + (group & 7)] ?? 0;
    const high = ((bytes[scales + 8 + (group & 3)] ?? 0) >> ((group >> 2) * 2)) & 3;
    const own = ((group < 8 ? low & 15 : low >> 4) | (high << 4)) - 32;
    const isFull = ((bytes[start + (index & 31)] ?? 0) >> (index >> 5)) & 1;
    out[index] = fround(scale * own) * (readPair(bytes, start + 32, index) - (isFull === 1 ? 0 : 4));
  }
}

/** Scale and least number of a group of 32, six bits each, in 12 bytes. */
function readScales(
  bytes: Uint8Array,
  start: number,
  group: number,
): { readonly scale: number; readonly least: number } {
  const at = (index: number): number => bytes[start + index] ?? 0;
  if (group < 4) return { scale: at(group) & 63, least: at(4 + group) & 63 };
  return {
    scale: (at(4 + group) & 15) | ((at(group - 4) >> 2) & 48),
    least: (at(4 + group) >> 4) | ((at(group) >> 2) & 48),
  };
}

function decodeQ4OrQ5(hasFifthBit: boolean): BlockFormat["decode"] {
  const numbers = hasFifthBit ? 48 : 16;
  return (bytes, start, out) => {
    const [scale, least] = [readHalf(bytes, start), readHalf(bytes, start + 2)];
    for (let group = 0; group < 8; group++) {
      const own = readScales(bytes, start + 4, group);
      const [step, shift] = [fround(scale * own.scale), fround(least * own.least)];
      for (let index = 0; index < 32; index++) {
        const byte = bytes[start + numbers + (group >> 1) * 32 + index] ?? 0;
        const upper = hasFifthBit ? (((bytes[start + 16 + index] ?? 0) >> group) & 1) << 4 : 0;
        const number = ((group & 1) === 0 ? byte & 15 : byte >> 4) | upper;
        out[group * 32 + index] = fround(step * number) - shift;
      }
    }
  };
}

function decodeQ6(bytes: Uint8Array, start: number, out: Float32Array): void {
  const scale = readHalf(bytes, start + 208);
  for (let index = 0; index < 256; index++) {
    const byte = bytes[start + (index >> 7) * 64 + (index & 63)] ?? 0;
    const low = (index & 64) === 0 ? byte & 15 : byte >> 4;
    const own = ((bytes[start + 192 + (index >> 4)] ?? 0) << 24) >> 24;
    out[index] = fround(scale * own) * ((low | (readPair(bytes, start + 128, index) << 4)) - 32);
  }
}

/** All formats that can be read, by their number in GGUF. */
export const blockFormats: ReadonlyMap<number, BlockFormat> = new Map([
  [
    2,
    { name: "Q4_0", size: 32, numBytes: 18, decode: decodeSimple({ hasLeast: false, hasFifthBit: false }) },
  ],
  [3, { name: "Q4_1", size: 32, numBytes: 20, decode: decodeSimple({ hasLeast: true, hasFifthBit: false }) }],
  [6, { name: "Q5_0", size: 32, numBytes: 22, decode: decodeSimple({ hasLeast: false, hasFifthBit: true }) }],
  [7, { name: "Q5_1", size: 32, numBytes: 24, decode: decodeSimple({ hasLeast: true, hasFifthBit: true }) }],
  [8, { name: "Q8_0", size: 32, numBytes: 34, decode: decodeQ8 }],
  [10, { name: "Q2_K", size: 256, numBytes: 84, decode: decodeQ2 }],
  [11, { name: "Q3_K", size: 256, numBytes: 110, decode: decodeQ3 }],
  [12, { name: "Q4_K", size: 256, numBytes: 144, decode: decodeQ4OrQ5(false) }],
  [13, { name: "Q5_K", size: 256, numBytes: 176, decode: decodeQ4OrQ5(true) }],
  [14, { name: "Q6_K", size: 256, numBytes: 210, decode: decodeQ6 }],
]);

/** Formats that can't be read, by their number. */
const otherNames: Readonly<Record<number, string>> = {
  9: "Q8_1",
  15: "Q8_K",
  16: "IQ2_XXS",
  17: "IQ2_XS",
  18: "IQ3_XXS",
  19: "IQ1_S",
  20: "IQ4_NL",
  21: "IQ3_S",
  22: "IQ2_S",
  23: "IQ4_XS",
  29: "IQ1_M",
  34: "TQ1_0",
  35: "TQ2_0",
  39: "MXFP4",
  40: "NVFP4",
  41: "Q1_0",
};

/** What a format is called, or its number. */
export function nameFormat(type: number): string {
  return otherNames[type] ?? `number ${type}`;
}

/** Quantized bytes as the bytes of 32-bit floats, made when they are read. */
export function openDequantized(
  bytes: ReadableBytes,
  { size, numBytes, decode }: BlockFormat,
): ReadableBytes {
  const length = (bytes.length / numBytes) * size * 4;
  return {
    length,
    subarray: (start, end) => {
      const [first, last] = [Math.floor(start / (size * 4)), Math.ceil(end / (size * 4))];
      const stored = bytes.subarray(first * numBytes, last * numBytes);
      const values = new Float32Array((last - first) * size);
      for (let block = 0; block < last - first; block++)
        decode(stored, block * numBytes, values.subarray(block * size, (block + 1) * size));
      const from = first * size * 4;
      return new Uint8Array(values.buffer).subarray(start - from, end - from);
    },
  };
}
