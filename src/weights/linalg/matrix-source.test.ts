import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  drawNoise,
  measureNorm,
  multiplyNaively,
  sliceColumns,
  subtractNaively,
  turnOver,
} from "../../../test/support/drawn-matrix.ts";
import { describeOnEveryBackend } from "../../../test/support/every-backend.ts";
import { createMatrix, type Matrix } from "./matrix.ts";
import {
  computeGram,
  createDenseSource,
  createDifference,
  type MatrixSource,
  multiplyToLong,
  multiplyToShort,
  readBlocks,
  readWhole,
  sidesOf,
} from "./matrix-source.ts";

const sizes = fc.record({ rows: fc.integer({ min: 1, max: 30 }), columns: fc.integer({ min: 1, max: 30 }) });

/** Long enough for two blocks, and not to be divided evenly. */
const twoBlocks = [
  { rows: 64, columns: 70_001 },
  { rows: 70_001, columns: 64 },
];

/** Numbers that are made faster than noise. */
function fillLarge({ rows, columns }: { readonly rows: number; readonly columns: number }): Matrix {
  const values = new Float64Array(rows * columns);
  for (let index = 0; index < values.length; index++)
    values[index] = ((index * 7919) % 10_007) / 10_007 - 0.5;
  return createMatrix(rows, columns, values);
}

function sliceRows(matrix: Matrix, start: number, end: number): Matrix {
  return turnOver(sliceColumns(turnOver(matrix), start, end));
}

function distance(left: Matrix, right: Matrix): number {
  expect([left.rows, left.columns]).toEqual([right.rows, right.columns]);
  return measureNorm(subtractNaively(left, right));
}

describe("sidesOf()", () => {
  it("calls the columns long only where there are more of them", () => {
    expect(sidesOf({ rows: 2, columns: 5 })).toEqual({ long: 5, short: 2, isWide: true });
    expect(sidesOf({ rows: 5, columns: 2 })).toEqual({ long: 5, short: 2, isWide: false });
    expect(sidesOf({ rows: 3, columns: 3 })).toEqual({ long: 3, short: 3, isWide: false });
  });
});

describe("createDenseSource()", () => {
  it("gives any range of the long side", () => {
    fc.assert(
      fc.property(sizes, fc.nat(), fc.nat(), ({ rows, columns }, one, other) => {
        const matrix = drawNoise(rows, columns, 1);
        const { long, isWide } = sidesOf(matrix);
        const [start, end] = [one % (long + 1), other % (long + 1)].sort((a, b) => a - b);
        const block = createDenseSource(matrix).readBlock(start!, end!);
        expect(block).toEqual(isWide ? sliceColumns(matrix, start!, end!) : sliceRows(matrix, start!, end!));
      }),
    );
  });

  it("gives memory of its own, so that overwriting it does no harm", () => {
    for (const [rows, columns] of [
      [4, 3],
      [3, 4],
      [3, 3],
    ] as const) {
      const matrix = drawNoise(rows, columns, 2);
      const source = createDenseSource(matrix);
      readWhole(source).values.fill(0);
      expect(readWhole(source)).toEqual(drawNoise(rows, columns, 2));
    }
  });
});

describe("createDifference()", () => {
  it("is after − before, block by block", () => {
    fc.assert(
      fc.property(sizes, ({ rows, columns }) => {
        const [before, after] = [drawNoise(rows, columns, 3), drawNoise(rows, columns, 4)];
        const difference = createDifference(createDenseSource(before), createDenseSource(after));
        expect(readWhole(difference)).toEqual(subtractNaively(after, before));
        expect(readWhole(createDenseSource(before))).toEqual(before);
        expect(readWhole(createDenseSource(after))).toEqual(after);
      }),
    );
  });

  it("refuses shapes that differ", () => {
    const [first, second] = [createDenseSource(createMatrix(2, 3)), createDenseSource(createMatrix(3, 2))];
    expect(() => createDifference(first, second)).toThrow(RangeError);
    expect(() => createDifference(first, second)).toThrow("2 × 3 from 3 × 2");
  });
});

describe("readBlocks()", () => {
  it.each(twoBlocks)("covers $rows × $columns once, in order, in more than one block", (shape) => {
    const matrix = fillLarge(shape);
    const joined: Matrix[] = [];
    let position = 0;
    for (const { start, end, matrix: block } of readBlocks(createDenseSource(matrix))) {
      expect(start).toBe(position);
      expect(end).toBeGreaterThan(start);
      expect(block.rows * block.columns).toBeLessThanOrEqual(4 * 2 ** 20);
      joined.push(block);
      position = end;
    }
    expect(position).toBe(70_001);
    expect(joined.length).toBeGreaterThan(1);
    const { isWide } = sidesOf(matrix);
    let offset = 0;
    for (const block of joined) {
      const length = isWide ? block.columns : block.rows;
      for (const index of [0, length - 1]) {
        const [row, column] = isWide ? [3, index] : [index, 3];
        const at = isWide ? row * shape.columns + offset + column : (offset + row) * shape.columns + column;
        expect(block.values[row * block.columns + column]).toBe(matrix.values[at]);
      }
      offset += length;
    }
  });

  it("reads rows that are longer than a block one at a time", () => {
    const short = 4 * 2 ** 20 + 1;
    const numRead: number[] = [];
    const source: MatrixSource = {
      rows: short,
      columns: short,
      readBlock: (start, end) => {
        numRead.push(end - start);
        return createMatrix(0, 0);
      },
    };
    const blocks = readBlocks(source);
    blocks.next();
    blocks.next();
    expect(numRead).toEqual([1, 1]);
  });
});

describeOnEveryBackend("products of a source", (algebra) => {
  it("agree with the definition, for any shape", () => {
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 6 }), ({ rows, columns }, count) => {
        const matrix = drawNoise(rows, columns, 6);
        const source = createDenseSource(matrix);
        const { long, short, isWide } = sidesOf(matrix);
        const tall = isWide ? turnOver(matrix) : matrix;
        const [x, y] = [drawNoise(short, count, 7), drawNoise(long, count, 8)];
        const size = 1e-14 * measureNorm(matrix);
        expect(distance(multiplyToLong(source, x, algebra), multiplyNaively(tall, x))).toBeLessThan(
          size * measureNorm(x),
        );
        expect(
          distance(multiplyToShort(source, y, algebra), multiplyNaively(turnOver(tall), y)),
        ).toBeLessThan(size * measureNorm(y));
        const gram = computeGram(source, algebra);
        const expected = multiplyNaively(turnOver(tall), tall);
        for (let row = 0; row < short; row++)
          for (let column = row; column < short; column++)
            expect(
              Math.abs(gram.values[row * short + column]! - expected.values[row * short + column]!),
            ).toBeLessThan(size * measureNorm(matrix));
      }),
    );
  });

  it.each(twoBlocks)("agree with the definition over two blocks of $rows × $columns", (shape) => {
    const matrix = fillLarge(shape);
    const source = createDenseSource(matrix);
    const { long, short, isWide } = sidesOf(matrix);
    const tall = isWide ? turnOver(matrix) : matrix;
    const [x, y] = [drawNoise(short, 1, 10), drawNoise(long, 1, 11)];
    const size = 1e-13 * measureNorm(matrix);
    expect(distance(multiplyToLong(source, x, algebra), multiplyNaively(tall, x))).toBeLessThan(
      size * measureNorm(x),
    );
    expect(distance(multiplyToShort(source, y, algebra), multiplyNaively(turnOver(tall), y))).toBeLessThan(
      size * measureNorm(y),
    );
    const gram = computeGram(source, algebra);
    const trace = [...Array(short).keys()].reduce((sum, index) => sum + gram.values[index * (short + 1)]!, 0);
    expect(Math.abs(trace / measureNorm(matrix) ** 2 - 1)).toBeLessThan(1e-12);
  });

  it("leave what they read alone", () => {
    const matrix = drawNoise(5, 4, 12);
    const source = createDenseSource(matrix);
    const [x, y] = [drawNoise(4, 2, 13), drawNoise(5, 2, 14)];
    multiplyToLong(source, x, algebra);
    multiplyToShort(source, y, algebra);
    computeGram(source, algebra);
    expect([matrix, x, y]).toEqual([drawNoise(5, 4, 12), drawNoise(4, 2, 13), drawNoise(5, 2, 14)]);
  });
});
