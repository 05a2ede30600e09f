import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { storeTensor } from "../../../test/support/stored-matrix.ts";
import type { FloatDtype, ReadableBytes, WritableDtype } from "../checkpoint/index.ts";
import {
  countElements,
  createStoredSource,
  findNonFinite,
  fingerprint,
  readChunks,
  type StoredTensor,
} from "./stored-tensor.ts";

const formats: readonly WritableDtype[] = ["F32", "F16", "BF16"];
const nonFinite = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];

/** Small whole numbers, which every format holds exactly; no two neighbors alike. */
function countUp(shape: readonly number[], dtype: WritableDtype = "F32"): StoredTensor {
  const values = Array.from({ length: countElements(shape) }, (_, index) => (index % 127) - 63);
  return storeTensor(shape, values, dtype);
}

/** The same tensor with bytes that are not an array, as those of a file: every range in memory of its own. */
function asFile(tensor: StoredTensor): StoredTensor {
  const bytes: ReadableBytes = {
    length: tensor.bytes.length,
    subarray: (start, end) => {
      if (start < 0 || end > tensor.bytes.length) throw new RangeError(`No bytes ${start} to ${end}`);
      return tensor.bytes.subarray(start, end).slice();
    },
  };
  return { ...tensor, bytes };
}

/** The same tensor at an odd place of a larger array. */
function shiftByOne(tensor: StoredTensor): StoredTensor {
  const { length } = tensor.bytes;
  const larger = new Uint8Array(length + 1);
  larger.set(tensor.bytes.subarray(0, length), 1);
  return { ...tensor, bytes: larger.subarray(1) };
}

const places: Readonly<Record<string, (tensor: StoredTensor) => StoredTensor>> = {
  "in memory": (tensor) => tensor,
  "in a file": asFile,
  "at an odd address": shiftByOne,
};

describe("countElements()", () => {
  it("multiplies the axes, and is 1 without any", () => {
    expect([[], [7], [3, 4], [2, 0, 5]].map(countElements)).toEqual([1, 7, 12, 0]);
  });
});

describe("fingerprint()", () => {
  it("differs by format, by shape, and by any byte", () => {
    const tensor = countUp([4, 6], "F16");
    const flipped = tensor.bytes.subarray(0, 48).slice();
    const others: StoredTensor[] = [
      { ...tensor, dtype: "BF16" },
      { ...tensor, shape: [6, 4] },
      { ...tensor, shape: [24] },
      { ...tensor, shape: [1, 24] },
      { ...tensor, shape: [24, 1] },
      { ...tensor, shape: [4, 6, 1] },
    ];
    for (let position = 0; position < flipped.length; position++)
      others.push({ ...tensor, bytes: flipped.map((byte, index) => byte ^ Number(index === position)) });
    const all = [tensor, ...others].map(fingerprint);
    expect(new Set(all).size).toBe(all.length);
    for (const name of all) expect(name).toMatch(/^[0-9a-f]{64}$/);
  });

  it("tells axes of several digits apart", () => {
    const bytes = new Uint8Array(4 * 24);
    const shapes = [[1, 24], [12, 2], [1, 2, 12], [1, 2, 1, 12], [24]];
    expect(new Set(shapes.map((shape) => fingerprint({ dtype: "F32", shape, bytes }))).size).toBe(
      shapes.length,
    );
  });

  it("is the same wherever the bytes lie, also in several pieces", () => {
    for (const tensor of [countUp([5, 3], "BF16"), countUp([4_200_000 + 3])])
      for (const place of Object.values(places)) expect(fingerprint(place(tensor))).toBe(fingerprint(tensor));
  });

  it("is the SHA-256 of the format, the shape and the bytes", () => {
    // printf 'F32 2x1\n\0\0\200\77\0\0\0\300' | sha256sum
    expect(fingerprint(storeTensor([2, 1], [1, -2]))).toBe(
      "484d22a2170b8e8ce1b5f43620169d2ff7c6a92f0b59aacd7b63bf202c75c32b",
    );
  });
});

describe("findNonFinite()", () => {
  for (const dtype of formats)
    it(`finds the first value that is not finite, in ${dtype}`, () => {
      fc.assert(
        fc.property(
          fc.integer({ min: 1, max: 60 }),
          fc.uniqueArray(fc.nat(59), { maxLength: 3 }),
          fc.constantFrom(...nonFinite),
          (size, spots, value) => {
            const values = Array.from({ length: size }, (_, index) =>
              spots.includes(index) ? value : index - 30,
            );
            const inside = spots.filter((spot) => spot < size);
            const expected = inside.length === 0 ? undefined : Math.min(...inside);
            for (const place of Object.values(places))
              expect(findNonFinite(place(storeTensor([size], values, dtype)))).toBe(expected);
          },
        ),
        { numRuns: 40, seed: 1 },
      );
    });

  it("lets the largest finite values, the smallest ones and negative zero pass", () => {
    const largest = { F32: 3.4028234663852886e38, F16: 65504, BF16: 3.3895313892515355e38 };
    for (const dtype of formats)
      expect(
        findNonFinite(storeTensor([5], [largest[dtype], -largest[dtype], 1e-45, 6e-8, -0], dtype)),
      ).toBeUndefined();
  });

  it("finds it beyond the first chunk, and in the very last place", () => {
    const size = 2 ** 20 + 77;
    const values = new Float32Array(size);
    for (const spot of [2 ** 20 - 1, 2 ** 20, size - 1]) {
      values.fill(0);
      values[spot] = Number.NaN;
      for (const dtype of formats) expect(findNonFinite(storeTensor([size], values, dtype))).toBe(spot);
    }
  });
});

describe("readChunks()", () => {
  it("gives all values in order", () => {
    const size = 2 ** 20 + 5;
    for (const dtype of formats)
      for (const place of [asFile, shiftByOne]) {
        const tensor = countUp([size], dtype);
        let position = 0;
        let numWrong = 0;
        for (const chunk of readChunks(place(tensor)))
          for (const value of chunk) if (value !== (position++ % 127) - 63) numWrong += 1;
        expect([position, numWrong]).toEqual([size, 0]);
      }
  });
});

describe("createStoredSource()", () => {
  const shapes = fc.record({
    rows: fc.integer({ min: 1, max: 30 }),
    columns: fc.integer({ min: 1, max: 30 }),
    dtype: fc.constantFrom(...formats),
    place: fc.constantFrom(...Object.keys(places)),
    cuts: fc.array(fc.nat(30), { maxLength: 4 }),
  });

  it("gives blocks that make up the whole, tall or wide, wherever the bytes lie", () => {
    fc.assert(
      fc.property(shapes, ({ rows, columns, dtype, place, cuts }) => {
        const source = createStoredSource(places[place]!(countUp([rows, columns], dtype)));
        expect([source.rows, source.columns]).toEqual([rows, columns]);
        const isWide = columns > rows;
        const long = Math.max(rows, columns);
        const ends = [...new Set([0, long, ...cuts.filter((cut) => cut < long)])].sort((a, b) => a - b);
        for (const [index, end] of ends.entries()) {
          const start = ends[index - 1];
          if (start === undefined) continue;
          const block = source.readBlock(start, end);
          expect([block.rows, block.columns]).toEqual(isWide ? [rows, end - start] : [end - start, columns]);
          for (const [position, value] of block.values.entries()) {
            const [row, column] = [Math.floor(position / block.columns), position % block.columns];
            const place = isWide ? row * columns + column + start : (row + start) * columns + column;
            expect(value).toBe((place % 127) - 63);
          }
        }
      }),
      { numRuns: 100, seed: 2 },
    );
  });

  it("gives blocks in memory of their own", () => {
    for (const shape of [
      [4, 3],
      [3, 3],
      [3, 4],
    ])
      for (const dtype of formats) {
        const tensor = countUp(shape, dtype);
        const name = fingerprint(tensor);
        const source = createStoredSource(tensor);
        const [first, second] = [source.readBlock(0, 2), source.readBlock(1, 3)];
        const kept = [...second.values];
        first.values.fill(Number.NaN);
        expect([...second.values]).toEqual(kept);
        expect([...source.readBlock(1, 3).values]).toEqual(kept);
        expect(fingerprint(tensor)).toBe(name);
      }
  });

  it("rounds 64-bit floats to 32 bits", () => {
    const dtype: FloatDtype = "F64";
    const bytes = new Uint8Array(Float64Array.of(0.1, 1 / 3).buffer);
    for (const shape of [
      [2, 1],
      [1, 2],
    ])
      expect([...createStoredSource({ dtype, shape, bytes }).readBlock(0, 2).values]).toEqual(
        [0.1, 1 / 3].map(Math.fround),
      );
  });

  it("refuses another number of axes than two", () => {
    for (const shape of [[], [6], [1, 2, 3]])
      expect(() => createStoredSource(countUp(shape))).toThrow(
        new RangeError(`Cannot read a tensor of shape [${shape.join(", ")}] as a matrix`),
      );
  });
});
