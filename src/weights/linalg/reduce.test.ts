import fc from "fast-check";
import { expect, it } from "vitest";
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
import { reduceToTriangle } from "./reduce.ts";

/** The matrix cut into blocks of rows at these places. */
function* cut(matrix: Matrix, places: readonly number[]): Generator<Matrix, void, void> {
  const edges = [0, ...places.map((place) => place % (matrix.rows + 1)), matrix.rows].sort((a, b) => a - b);
  for (const [index, start] of edges.slice(0, -1).entries())
    yield turnOver(sliceColumns(turnOver(matrix), start, edges[index + 1]!));
}

const gramOf = (matrix: Matrix): Matrix => multiplyNaively(turnOver(matrix), matrix);

describeOnEveryBackend("reduceToTriangle()", (algebra) => {
  it("keeps AᵀA in an upper triangle, however the rows are cut, empty blocks included", () => {
    const draws = fc.record({
      rows: fc.integer({ min: 1, max: 60 }),
      columns: fc.integer({ min: 1, max: 12 }),
      places: fc.array(fc.nat(1000), { maxLength: 5 }),
      seed: fc.nat(1000),
    });
    fc.assert(
      fc.property(draws, ({ rows, columns, places, seed }) => {
        const matrix = drawNoise(rows, columns, seed);
        const triangle = reduceToTriangle(cut(matrix, places), algebra);
        expect(triangle.columns).toBe(columns);
        expect(triangle.rows).toBe(Math.min(rows, columns));
        const misfit = measureNorm(subtractNaively(gramOf(triangle), gramOf(matrix)));
        expect(misfit).toBeLessThan(1e-13 * measureNorm(matrix) ** 2);
        if (rows > columns)
          for (let row = 0; row < columns; row++)
            for (let column = 0; column < row; column++)
              expect(triangle.values[row * columns + column]).toBe(0);
      }),
    );
  });

  it("gives back what has no more rows than columns as it is", () => {
    const matrix = drawNoise(3, 5, 1);
    expect(reduceToTriangle([matrix], algebra)).toEqual(matrix);
    expect(reduceToTriangle(cut(matrix, [1, 2]), algebra)).toEqual(matrix);
  });

  it("keeps small values, which a Gram matrix would lose", () => {
    const matrix = createMatrix(30, 2);
    for (let row = 0; row < 30; row++) {
      matrix.values[2 * row] = 1;
      matrix.values[2 * row + 1] = 1 + (row % 2 === 0 ? 1e-10 : -1e-10);
    }
    const triangle = reduceToTriangle(cut(matrix, [7, 21]), algebra);
    // (1, 1 ± d) spans 1 and d: the second value is d √(rows / 2), to its own digits as far as they are stored.
    const [, smaller] = algebra.singularValues(triangle);
    expect(smaller! / (1e-10 * Math.sqrt(15))).toBeCloseTo(1, 4);
  });

  it("makes nothing of no blocks", () => {
    expect(reduceToTriangle([], algebra)).toEqual(createMatrix(0, 0));
  });

  it("leaves its blocks alone", () => {
    const blocks = [drawNoise(6, 3, 1), drawNoise(5, 3, 2)];
    reduceToTriangle(blocks, algebra);
    expect(blocks).toEqual([drawNoise(6, 3, 1), drawNoise(5, 3, 2)]);
  });
});
