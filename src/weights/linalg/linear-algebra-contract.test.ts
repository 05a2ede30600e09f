/** The contract of linear algebra backends, run on every backend that this machine has. */
import { describe, expect, it } from "vitest";
import { createRandom } from "../../base/core/index.ts";
import { createLapack } from "./lapack.ts";
import { openLapackLibrary } from "./lapack-library.ts";
import type { LinearAlgebra } from "./linear-algebra.ts";
import { createMatrix, type Matrix, sumOfSquares, takeColumns, transpose } from "./matrix.ts";
import { openShippedLapack } from "./shipped-lapack.ts";

const library = await openLapackLibrary();
const isRequired = process.env.UNTWIST_REQUIRE_SYSTEM_PACKAGES === "1";
const shipped = createLapack(openShippedLapack());
const shared = createLapack(openShippedLapack());
shared.useThreads(3);
const backends: readonly (readonly [string, LinearAlgebra | undefined])[] = [
  ["portable", shipped],
  ["portable with threads", shared],
  ["lapack", library && createLapack(library)],
];

const shapes = [
  [1, 1],
  [1, 7],
  [7, 1],
  [2, 3],
  [5, 5],
  [40, 17],
  [17, 40],
  [96, 96],
  [130, 96],
] as const;

function noise(rows: number, columns: number, seed = 1): Matrix {
  const random = createRandom(seed, "noise", rows, columns);
  return createMatrix(
    rows,
    columns,
    Float64Array.from({ length: rows * columns }, () => random.normal()),
  );
}

/** The product by the definition, element by element. */
function naiveProduct(left: Matrix, right: Matrix): Matrix {
  const product = createMatrix(left.rows, right.columns);
  for (let i = 0; i < left.rows; i++)
    for (let j = 0; j < right.columns; j++)
      for (let k = 0; k < left.columns; k++)
        product.values[i * right.columns + j]! +=
          left.values[i * left.columns + k]! * right.values[k * right.columns + j]!;
  return product;
}

function distance(left: Matrix, right: Matrix): number {
  expect([left.rows, left.columns]).toEqual([right.rows, right.columns]);
  return Math.sqrt(sumOfSquares(left.values.map((value, index) => value - right.values[index]!)));
}

function identity(size: number): Matrix {
  return createMatrix(
    size,
    size,
    Float64Array.from({ length: size * size }, (_, index) => Number(index % (size + 1) === 0)),
  );
}

function scaled({ rows, columns, values }: Matrix, factors: Float64Array): Matrix {
  return createMatrix(
    rows,
    columns,
    values.map((value, index) => value * factors[index % columns]!),
  );
}

for (const [name, algebra] of backends)
  describe.skipIf(algebra === undefined && !isRequired)(
    `${name} backend${algebra === undefined ? " (no LAPACK here)" : ""}`,
    () => {
      const {
        multiply,
        addGram,
        decompose,
        singularValues,
        symmetricEigenpairs,
        orthogonalize,
        triangularFactor,
      } = algebra ?? shipped;

      it("is there where it is required", () => expect(algebra).toBeDefined());

      it.each(shapes)("multiplies %i × %i in every transposition", (rows, columns) => {
        const [a, b] = [noise(rows, columns), noise(columns, 6, 2)];
        const expected = naiveProduct(a, b);
        const size = Math.sqrt(sumOfSquares(a.values) * sumOfSquares(b.values));
        for (const product of [
          multiply(a, b),
          multiply(transpose(a), b, { left: true }),
          multiply(a, transpose(b), { right: true }),
          multiply(transpose(a), transpose(b), { left: true, right: true }),
        ])
          expect(distance(product, expected)).toBeLessThan(1e-14 * size);
      });

      it("refuses factors that do not fit", () => {
        expect(() => multiply(noise(2, 3), noise(2, 3))).toThrow("inner sizes 3 and 2 differ");
      });

      it.each(shapes)("adds up Grams of %i × %i, on and above the diagonal", (rows, columns) => {
        const block = noise(rows, columns);
        for (const byRows of [false, true]) {
          const expected = byRows
            ? naiveProduct(block, transpose(block))
            : naiveProduct(transpose(block), block);
          const gram = createMatrix(expected.rows, expected.rows);
          addGram(gram, block, byRows);
          addGram(gram, block, byRows);
          for (let i = 0; i < gram.rows; i++)
            for (let j = i; j < gram.rows; j++)
              expect(gram.values[i * gram.rows + j]).toBeCloseTo(2 * expected.values[i * gram.rows + j]!, 10);
        }
      });

      const cases: readonly (readonly [string, Matrix])[] = [
        ...shapes.map(([rows, columns]) => [`noise ${rows} × ${columns}`, noise(rows, columns)] as const),
        ["zeros", createMatrix(6, 4)],
        ["equal values", identity(12)],
        ["rank 3 of 30 × 20", naiveProduct(noise(30, 3), noise(3, 20, 2))],
        [
          "values over twelve decades",
          scaled(
            noise(24, 24),
            Float64Array.from({ length: 24 }, (_, i) => 10 ** (-i / 2)),
          ),
        ],
        ["equal elements", createMatrix(30, 30, new Float64Array(900).fill(0.3))],
        ["equal rows", naiveProduct(createMatrix(25, 1, new Float64Array(25).fill(1)), noise(1, 18))],
        ["equal columns", naiveProduct(noise(25, 1), createMatrix(1, 18, new Float64Array(18).fill(1)))],
        ["tiny values", scaled(noise(9, 9), new Float64Array(9).fill(1e-150))],
      ];

      it.each(cases)("decomposes %s: rebuilds it from orthonormal vectors", (_, matrix) => {
        const { left, values, right } = decompose(matrix);
        const r = Math.min(matrix.rows, matrix.columns);
        const size = Math.sqrt(sumOfSquares(matrix.values));
        expect([left.columns, values.length, right.columns]).toEqual([r, r, r]);
        expect(
          values.every(
            (value, index) => value >= 0 && value <= (values[index - 1] ?? Number.POSITIVE_INFINITY),
          ),
        ).toBe(true);
        expect(distance(multiply(scaled(left, values), right, { right: true }), matrix)).toBeLessThanOrEqual(
          1e-13 * size,
        );
        for (const vectors of [left, right])
          expect(distance(multiply(vectors, vectors, { left: true }), identity(r))).toBeLessThan(1e-12);
      });

      it.each(cases)("gives the singular values of %s alone as with vectors", (_, matrix) => {
        const [alone, values] = [singularValues(matrix), decompose(matrix).values];
        for (const [index, value] of alone.entries())
          expect(Math.abs(value - values[index]!)).toBeLessThanOrEqual(1e-13 * values[0]!);
      });

      it.each([1, 2, 5, 17, 96])(
        "gives all eigenvalues and any number of eigenvectors of order %i",
        (order) => {
          const block = noise(order + 3, order);
          const whole = multiply(block, block, { left: true });
          for (const numVectors of new Set([0, 1, Math.ceil(order / 2), order])) {
            const gram = createMatrix(order, order);
            addGram(gram, block);
            const { values, vectors } = symmetricEigenpairs(gram, numVectors);
            expect([values.length, vectors.rows, vectors.columns]).toEqual([order, order, numVectors]);
            const residual = distance(multiply(whole, vectors), scaled(vectors, values.slice(0, numVectors)));
            expect(residual).toBeLessThan(1e-12 * values[0]!);
            expect(distance(multiply(vectors, vectors, { left: true }), identity(numVectors))).toBeLessThan(
              1e-12,
            );
            const trace = values.reduce((sum, value) => sum + value, 0);
            expect(trace / sumOfSquares(block.values)).toBeCloseTo(1, 12);
            expect(
              values.every((value, index) => value <= (values[index - 1] ?? Number.POSITIVE_INFINITY)),
            ).toBe(true);
          }
        },
      );

      it("gives eigenvectors where relatively robust representations (dstemr) fail", () => {
        const order = 160;
        const graded = noise(order, order).values.map(
          (value, index) => value * 10 ** ((Math.floor(index / order) - (index % order)) / 8),
        );
        const symmetric = createMatrix(
          order,
          order,
          graded.map((value, index) => value + graded[(index % order) * order + Math.floor(index / order)]!),
        );
        const used = createMatrix(order, order, symmetric.values.slice());
        const { values, vectors } = symmetricEigenpairs(used, order / 2);
        const residual = distance(multiply(symmetric, vectors), scaled(vectors, values.slice(0, order / 2)));
        expect(residual).toBeLessThan(1e-12 * values[0]!);
        expect(distance(multiply(vectors, vectors, { left: true }), identity(order / 2))).toBeLessThan(1e-12);
      });

      it.each(shapes.filter(([rows, columns]) => rows >= columns))(
        "orthogonalizes %i × %i",
        (rows, columns) => {
          const matrix = noise(rows, columns);
          const { q, r } = orthogonalize(matrix);
          expect(distance(multiply(q, r), matrix)).toBeLessThan(
            1e-13 * Math.sqrt(sumOfSquares(matrix.values)),
          );
          expect(distance(multiply(q, q, { left: true }), identity(columns))).toBeLessThan(1e-12);
          expect(distance(triangularFactor(matrix), r)).toBe(0);
          for (let i = 0; i < columns; i++)
            for (let j = 0; j < i; j++) expect(r.values[i * columns + j]).toBe(0);
        },
      );

      it("leaves what it is given alone", () => {
        const matrix = noise(8, 5);
        const before = matrix.values.slice();
        decompose(matrix);
        singularValues(matrix);
        orthogonalize(matrix);
        multiply(matrix, takeColumns(transpose(matrix), 2));
        expect(matrix.values).toEqual(before);
      });
    },
  );
