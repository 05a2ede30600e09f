/** Any update of any small matrix, in any format. */
import fc from "fast-check";
import { createRandom } from "../../src/base/core/index.ts";
import { createMatrix, type Matrix } from "../../src/weights/linalg/index.ts";
import type { StoredTensor } from "../../src/weights/spectra/index.ts";
import { drawKnown, drawNoise, subtractNaively } from "./drawn-matrix.ts";
import { storeMatrix } from "./stored-matrix.ts";

/** What changed between two matrices. */
type Update = (before: Matrix, size: number, seed: number) => Matrix;

const updates: { readonly [name: string]: Update } = {
  noise: ({ rows, columns }, size, seed) => scale(drawNoise(rows, columns, seed), size),
  "one element": ({ rows, columns }, size, seed) => {
    const update = createMatrix(rows, columns);
    update.values[seed % update.values.length] = size;
    return update;
  },
  "low rank": ({ rows, columns }, size, seed) =>
    scale(drawKnown({ rows, columns }, [1], seed).matrix, size * Math.sqrt(rows * columns)),
  "a larger scale": (before, size) => scale(before, size),
  "another sign": (before) => scale(before, -2),
  "rows in another order": (before, _, seed) => subtractNaively(shuffle(before, seed).byRows, before),
};

/** The matrix times a number. */
export function scale({ rows, columns, values }: Matrix, factor: number): Matrix {
  return createMatrix(
    rows,
    columns,
    values.map((value) => value * factor),
  );
}

/** The matrix with its rows, its columns, or both in a random order with random signs. */
export function shuffle(
  { rows, columns, values }: Matrix,
  seed: number,
): { readonly byRows: Matrix; readonly both: Matrix } {
  const random = createRandom(seed, "order");
  const draw = (count: number): readonly (readonly [number, number])[] =>
    random.shuffle([...Array(count).keys()]).map((index) => [index, random.pick([-1, 1])]);
  const [rowOrder, columnOrder] = [draw(rows), draw(columns)];
  const take = (columnPlaces: readonly (readonly [number, number])[]): Matrix =>
    createMatrix(
      rows,
      columns,
      Float64Array.from(
        rowOrder.flatMap(([row, rowSign]) =>
          columnPlaces.map(([column, columnSign]) => rowSign * columnSign * values[row * columns + column]!),
        ),
      ),
    );
  return { byRows: take([...Array(columns).keys()].map((column) => [column, 1])), both: take(columnOrder) };
}

/** A matrix before and after, as stored. */
export interface DrawnUpdate {
  readonly before: StoredTensor;
  readonly after: StoredTensor;
}

/** Matrices of any small shape, spectrum and format, and any update of relative size 1e-6 to 1. */
export const drawnUpdates: fc.Arbitrary<DrawnUpdate> = fc
  .record({
    rows: fc.integer({ min: 1, max: 24 }),
    columns: fc.integer({ min: 1, max: 24 }),
    falloff: fc.constantFrom(0, 0.3, 1, 3),
    rank: fc.oneof(fc.constant(24), fc.integer({ min: 1, max: 24 })),
    size: fc.double({ min: -6, max: 0, noNaN: true }).map((log) => 10 ** log),
    update: fc.constantFrom(...Object.keys(updates)),
    formats: fc.tuple(fc.constantFrom("F32", "F16", "BF16"), fc.constantFrom("F32", "F16", "BF16")),
    seed: fc.nat(10_000),
  })
  .map(({ rows, columns, falloff, rank, size, update, formats, seed }) => {
    const values = Array.from(
      { length: Math.min(rows, columns, rank) },
      (_, index) => (index + 1) ** -falloff,
    );
    const { matrix } = drawKnown({ rows, columns }, values, seed);
    const change = updates[update]!(matrix, size / Math.sqrt(rows * columns), seed);
    const moved = createMatrix(
      rows,
      columns,
      matrix.values.map((value, index) => value + change.values[index]!),
    );
    const [first, second] = formats as ["F32" | "F16" | "BF16", "F32" | "F16" | "BF16"];
    return { before: storeMatrix(matrix, first), after: storeMatrix(moved, second) };
  });
