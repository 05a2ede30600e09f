import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { findGap, joinPieces, stridesOf, type TensorPiece } from "./tensor-piece.ts";

const product = (sizes: readonly number[]): number => sizes.reduce((all, size) => all * size, 1);

/** A whole cut along random edges, each piece stored in an order of axes of its own, with room before it and between its elements. */
const drawCut = fc
  .record({
    shape: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 4 }),
    width: fc.constantFrom(1, 2, 4, 8),
    seeds: fc.infiniteStream(fc.nat(1000)),
  })
  .map(({ shape, width, seeds }) => {
    const draw = (limit: number): number => (seeds.next().value as number) % limit;
    const whole = Uint8Array.from({ length: product(shape) * width }, () => draw(256));
    let boxes = [{ offsets: shape.map(() => 0), sizes: [...shape] }];
    for (const [axis, size] of shape.entries()) {
      const cut = draw(size);
      if (cut > 0 && draw(2) === 0)
        boxes = boxes.flatMap(({ offsets, sizes }) => [
          { offsets, sizes: sizes.with(axis, cut) },
          { offsets: offsets.with(axis, cut), sizes: sizes.with(axis, size - cut) },
        ]);
    }
    const pieces = boxes.map(({ offsets, sizes }): TensorPiece => {
      const axes = sizes.map((_, axis) => axis).sort(() => draw(3) - 1);
      const strides = sizes.map(() => 0);
      let stride = 1 + draw(3);
      for (const axis of axes) {
        strides[axis] = stride;
        stride *= sizes[axis]!;
      }
      const start = draw(4);
      const stored = new Uint8Array((start + stride) * width);
      for (let element = 0; element < product(sizes); element++) {
        const place = stridesOf(sizes).map((step, axis) => Math.floor(element / step) % sizes[axis]!);
        const from = place.reduce(
          (sum, at, axis) => sum + (at + offsets[axis]!) * stridesOf(shape)[axis]!,
          0,
        );
        const to = place.reduce((sum, at, axis) => sum + at * strides[axis]!, start);
        stored.set(whole.subarray(from * width, (from + 1) * width), to * width);
      }
      return { open: () => stored, offsets, sizes, start, strides };
    });
    return { shape, width, whole, pieces };
  });

describe("joinPieces()", () => {
  it("gives any range of any pieces in any order of axes", () => {
    fc.assert(
      fc.property(drawCut, fc.nat(), fc.nat(), ({ shape, width, whole, pieces }, one, other) => {
        expect(findGap(pieces, shape)).toBeUndefined();
        const bytes = joinPieces(pieces, { shape, width });
        expect(bytes.length).toBe(whole.length);
        expect(Buffer.from(bytes.subarray(0, bytes.length))).toEqual(Buffer.from(whole));
        const [start, end] = [one % (whole.length + 1), other % (whole.length + 1)].sort((a, b) => a - b);
        expect(Buffer.from(bytes.subarray(start!, end!))).toEqual(Buffer.from(whole.subarray(start, end)));
      }),
      { numRuns: 300 },
    );
  });

  it("reads a large transposed view without reading all that lies between", () => {
    const [rows, columns] = [700, 600];
    const stored = Uint16Array.from({ length: rows * columns }, (_, index) => index % 65_521);
    const bytes = new Uint8Array(stored.buffer);
    let numRead = 0;
    const open = () => ({
      length: bytes.length,
      subarray: (start: number, end: number) => {
        numRead += end - start;
        return bytes.subarray(start, end);
      },
    });
    const piece = { open, offsets: [0, 0], sizes: [rows, columns], start: 0, strides: [1, rows] };
    const joined = joinPieces([piece], { shape: [rows, columns], width: 2 });
    const two = new Uint16Array(joined.subarray(2 * columns * 2, 4 * columns * 2).slice().buffer);
    for (let index = 0; index < 2 * columns; index++) {
      const [row, column] = [2 + Math.floor(index / columns), index % columns];
      expect(two[index]).toBe(stored[column * rows + row]);
    }
    expect(numRead).toBeLessThan(2 * bytes.length);
  });
});

describe("findGap()", () => {
  it.each<[string, (readonly [readonly number[], readonly number[]])[]]>([
    [
      "its parts hold 8 of its 12 elements",
      [
        [
          [0, 0],
          [2, 4],
        ],
      ],
    ],
    [
      "its parts overlap",
      [
        [
          [0, 0],
          [2, 4],
        ],
        [
          [1, 0],
          [2, 4],
        ],
      ],
    ],
    // Twelve elements, but two of them twice and two not at all.
    [
      "its parts overlap",
      [
        [
          [0, 0],
          [2, 4],
        ],
        [
          [1, 0],
          [2, 2],
        ],
      ],
    ],
    [
      "is not part of [3, 4]",
      [
        [
          [0, 0],
          [3, 4],
        ],
        [
          [3, 0],
          [1, 4],
        ],
      ],
    ],
    ["is not part of [3, 4]", [[[0], [3]]]],
  ])("says that %s", (problem, parts) => {
    const pieces = parts.map(([offsets, sizes]) => ({ offsets, sizes }));
    expect(findGap(pieces, [3, 4])).toContain(problem);
  });
});
