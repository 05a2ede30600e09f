import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  drawKnown,
  drawNoise,
  type KnownMatrix,
  measureDeparture,
  measureNorm,
  multiplyNaively,
  sliceColumns,
  stretchColumns,
  subtractNaively,
} from "../../../test/support/drawn-matrix.ts";
import { anyBackend, describeOnEveryBackend, describeOnLapack } from "../../../test/support/every-backend.ts";
import { multiplyOut, numIntegerFactors } from "../../../test/support/exact-matrix.ts";
import { createRandom } from "../../base/core/index.ts";
import { type Factors, factorize } from "./factorize.ts";
import type { LinearAlgebra } from "./linear-algebra.ts";
import { createMatrix, type Matrix } from "./matrix.ts";
import { createDenseSource, type MatrixSource } from "./matrix-source.ts";
import { pairBases, principalAngles } from "./principal-angles.ts";

/** Tolerances of the values of weights and of updates. */
const [strict, loose] = [1e-8, 1e-6];
const everything = Number.POSITIVE_INFINITY;

/** What building a matrix by its decomposition loses. */
const buildingError = 4e-15;

/** Too long to be decomposed whole, and quick on every backend since the short side is small. */
const [long, short] = [21_000, 100] as const;

/** A long matrix with these values. */
function drawLong(values: readonly number[], seed: number, isWide: boolean): KnownMatrix {
  return drawKnown(isWide ? { rows: short, columns: long } : { rows: long, columns: short }, values, seed);
}

const fall = (count: number, ratio: number): readonly number[] =>
  Array.from({ length: count }, (_, index) => 3 * ratio ** (index / Math.max(1, count - 1)));

/** ‖U S Vᵀ − W‖_F. */
function misfit({ left, values, right }: Factors, matrix: Matrix): number {
  const rebuilt = anyBackend.multiply(stretchColumns(left, values), right, { right: true });
  return measureNorm(subtractNaively(rebuilt, matrix));
}

function farthest(actual: Float64Array, expected: ArrayLike<number>): number {
  expect(actual.length).toBe(expected.length);
  return actual.reduce((most, value, index) => Math.max(most, Math.abs(value - expected[index]!)), 0);
}

/** That both sides are orthonormal, and rebuild the matrix as well as the values allow. */
function expectDecomposition(factors: Factors, matrix: Matrix): void {
  const { left, right, values, valueError } = factors;
  for (const basis of [left, right]) expect(measureDeparture(basis, anyBackend)).toBeLessThan(1e-11);
  expect(misfit(factors, matrix)).toBeLessThanOrEqual(
    Math.sqrt(values.length) * (2 * valueError + 3 * buildingError * values[0]!),
  );
}

/** Descending positive values of any spread, some of them 0. */
const spectra = (count: number): fc.Arbitrary<readonly number[]> =>
  fc
    .record({
      logs: fc.array(fc.double({ min: -12, max: 0, noNaN: true }), { minLength: count, maxLength: count }),
      rank: fc.integer({ min: 1, max: count }),
      scale: fc.constantFrom(1e-6, 1, 300),
    })
    .map(({ logs, rank, scale }) =>
      logs
        .map((log, index) => (index < rank ? scale * 10 ** log : 0))
        .sort((first, second) => second - first),
    );

interface Route {
  readonly why: string;
  readonly values: readonly number[];
  readonly tolerance: number;
  readonly method: string;
}

const gramRoute: Route = {
  why: "the Gram matrix where it keeps all values",
  values: fall(short, 1e-3),
  tolerance: strict,
  method: "gram",
};
const qrRoute: Route = {
  why: "QR where the Gram matrix would lose small values",
  values: fall(short, 1e-9),
  tolerance: strict,
  method: "qr",
};
const otherRoutes: readonly Route[] = [
  {
    why: "QR for a deficient rank",
    values: [...fall(15, 0.1), ...new Array<number>(short - 15).fill(0)],
    tolerance: strict,
    method: "qr",
  },
  {
    why: "the Gram matrix where small values are not asked for",
    values: fall(short, 1e-9),
    tolerance: loose,
    method: "gram",
  },
];

function expectRoute(
  { values, tolerance, method }: Route,
  { isWide, algebra }: { readonly isWide: boolean; readonly algebra: LinearAlgebra },
): void {
  const { matrix } = drawLong(values, 2, isWide);
  const factors = factorize(createDenseSource(matrix), { numVectors: everything, tolerance }, algebra);
  expect(factors.method).toBe(method);
  expect([factors.rows, factors.columns]).toEqual([matrix.rows, matrix.columns]);
  expect([factors.left.rows, factors.left.columns]).toEqual([matrix.rows, short]);
  expect([factors.right.rows, factors.right.columns]).toEqual([matrix.columns, short]);
  expect(factors.valueError).toBeLessThanOrEqual(tolerance * factors.values[0]!);
  expect(farthest(factors.values, values)).toBeLessThanOrEqual(
    factors.valueError + buildingError * values[0]!,
  );
  expectDecomposition(factors, matrix);
}

describeOnEveryBackend("factorize()", (algebra) => {
  const run = (matrix: Matrix, numVectors = everything, tolerance: number = strict): Factors =>
    factorize(createDenseSource(matrix), { numVectors, tolerance }, algebra);

  it(`takes ${gramRoute.why}`, () => {
    const { matrix, values, left } = drawLong(gramRoute.values, 2, true);
    const factors = run(matrix, 3);
    expect(factors.method).toBe("gram");
    expect(factors.valueError).toBeLessThanOrEqual(strict * values[0]!);
    expect(farthest(factors.values, values)).toBeLessThanOrEqual(
      factors.valueError + buildingError * values[0]!,
    );
    for (const basis of [factors.left, factors.right])
      expect(measureDeparture(basis, anyBackend)).toBeLessThan(1e-11);
    const angles = principalAngles(pairBases(sliceColumns(left, 0, 3), factors.left, algebra), 3, algebra);
    expect(angles.at(-1)).toBeLessThan(1e-9);
  });

  it("finds small values of a tall matrix by QR where no vectors are asked for", () => {
    const { matrix, values } = drawLong(qrRoute.values, 2, false);
    const alone = run(matrix, 0);
    expect([alone.left.columns, alone.right.columns]).toEqual([0, 0]);
    expect(alone.valueError).toBeLessThanOrEqual(strict * values[0]!);
    expect(farthest(alone.values, values)).toBeLessThanOrEqual(alone.valueError + buildingError * values[0]!);
  });

  it("decomposes small matrices whole, with an error bound that holds against exact values", () => {
    const choices = fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 0, maxLength: 5 });
    const draws = fc.record({ left: choices, right: choices, seed: fc.nat(1000) }).chain((draw) =>
      fc.record({
        draw: fc.constant(draw),
        diagonal: fc.array(fc.oneof(fc.integer({ min: 1, max: 2 ** 20 }), fc.integer({ min: 0, max: 4 })), {
          minLength: 2 ** Math.min(draw.left.length, draw.right.length),
          maxLength: 2 ** Math.min(draw.left.length, draw.right.length),
        }),
      }),
    );
    fc.assert(
      fc.property(draws, ({ draw: { left, right }, diagonal }) => {
        const [first, second] = [multiplyOut(left), multiplyOut(right)];
        const middle = createMatrix(first.matrix.rows, second.matrix.rows);
        for (const [index, value] of diagonal.entries())
          middle.values[index * (second.matrix.rows + 1)] = value;
        const matrix = multiplyNaively(multiplyNaively(first.matrix, middle), second.matrix);
        const scale = first.norm * second.norm;
        const expected = diagonal.map((value) => value * scale).sort((a, b) => b - a);
        for (const numVectors of [0, 1]) {
          const { values, valueError, method } = run(matrix, numVectors);
          expect(method).toBe("svd");
          expect(farthest(values, expected)).toBeLessThanOrEqual(valueError);
        }
      }),
      { numRuns: 150 },
    );
  });

  it("bounds the error of clustered values, too, which LAPACK's quickest way finds less exactly", () => {
    const random = createRandom(1, "clusters");
    for (let time = 0; time < 300; time++) {
      const draw = (): Matrix =>
        multiplyOut(Array.from({ length: 4 }, () => random.integer(0, numIntegerFactors - 1))).matrix;
      const [first, second] = [draw(), draw()];
      const rank = random.integer(1, 16);
      const middle = createMatrix(16, 16);
      for (let index = 0; index < rank; index++) middle.values[index * 17] = 2 ** 20 - random.integer(0, 2);
      const matrix = multiplyNaively(multiplyNaively(first, middle), second);
      // The factors' rows are orthogonal and as long as each other.
      const scale = measureNorm(first) * measureNorm(second) * (1 / 16);
      const expected = [...middle.values].filter((_, index) => index % 17 === 0).sort((a, b) => b - a);
      const { values, valueError } = run(matrix, 0);
      expect(
        farthest(
          values,
          expected.map((value) => value * scale),
        ),
      ).toBeLessThanOrEqual(valueError);
    }
  });

  it("rebuilds small matrices of any shape and spectrum from orthonormal vectors", () => {
    const sides = fc.integer({ min: 1, max: 40 });
    const draws = fc
      .tuple(sides, sides)
      .chain(([rows, columns]) =>
        fc.tuple(fc.constant({ rows, columns }), spectra(Math.min(rows, columns)), fc.nat(1000)),
      );
    fc.assert(
      fc.property(draws, ([shape, values, seed]) => {
        const { matrix } = drawKnown(shape, values, seed);
        const factors = run(matrix);
        expect(factors.left.columns).toBe(values.length);
        expectDecomposition(factors, matrix);
        const alone = run(matrix, 0);
        expect([alone.left.columns, alone.right.columns]).toEqual([0, 0]);
        expect(farthest(alone.values, factors.values)).toBeLessThanOrEqual(
          alone.valueError + factors.valueError,
        );
        const most = Math.ceil(values.length / 2);
        const some = run(matrix, most);
        expect(some.left).toEqual(sliceColumns(factors.left, 0, most));
        expect(some.right).toEqual(sliceColumns(factors.right, 0, most));
      }),
      { numRuns: 40 },
    );
  });

  it("takes the zero matrix", () => {
    const matrix = createMatrix(7, 4);
    const factors = run(matrix);
    expect(factors.values).toEqual(new Float64Array(4));
    expect(factors.valueError).toBe(0);
    expectDecomposition(factors, matrix);
  });

  it("leaves the matrix as it is", () => {
    const matrix = drawNoise(9, 14, 1);
    const before = matrix.values.slice();
    run(matrix);
    expect(matrix.values).toEqual(before);
  });
});

describeOnLapack("factorize() of a long matrix", (algebra) => {
  const run = (matrix: Matrix, numVectors = everything, tolerance: number = strict): Factors =>
    factorize(createDenseSource(matrix), { numVectors, tolerance }, algebra);

  describe.each([
    ["tall", false],
    ["wide", true],
  ] as const)("that is %s", (_, isWide) => {
    it.each([gramRoute, qrRoute, ...(isWide ? [] : otherRoutes)])(
      "takes $why, and is as exact as it says",
      (route) => expectRoute(route, { isWide, algebra }),
    );

    it("gives the leading vectors and all values", () => {
      const values = fall(short, 1e-2);
      const { matrix, left, right } = drawLong(values, 3, isWide);
      const factors = run(matrix, 5);
      expect([factors.left.columns, factors.right.columns, factors.values.length]).toEqual([5, 5, short]);
      for (const [exact, found] of [
        [left, factors.left],
        [right, factors.right],
      ] as const) {
        expect(measureDeparture(found, algebra)).toBeLessThan(1e-11);
        const angles = principalAngles(pairBases(sliceColumns(exact, 0, 5), found, algebra), 5, algebra);
        expect(angles.at(-1)).toBeLessThan(1e-11);
      }
    });

    it.each([strict, loose])("gives the values alone, as with vectors, at tolerance %d", (tolerance) => {
      const { matrix } = drawLong(fall(short, 1e-9), 4, isWide);
      const [alone, whole] = [run(matrix, 0, tolerance), run(matrix, everything, tolerance)];
      expect([alone.left.rows, alone.left.columns]).toEqual([matrix.rows, 0]);
      expect([alone.right.rows, alone.right.columns]).toEqual([matrix.columns, 0]);
      expect(farthest(alone.values, whole.values)).toBeLessThanOrEqual(alone.valueError + whole.valueError);
    });

    it("is exact and orthonormal for zeros", () => {
      const matrix = isWide ? createMatrix(short, long) : createMatrix(long, short);
      for (const tolerance of [strict, 0]) {
        const factors = run(matrix, everything, tolerance);
        expect(factors.values).toEqual(new Float64Array(short));
        expect(factors.valueError).toBe(0);
        expectDecomposition(factors, matrix);
      }
    });
  });

  it.each([
    [1, 2_200_000],
    [2_200_000, 1],
  ])("finds the length of a single row or column: %i × %i", (rows, columns) => {
    const matrix = drawNoise(rows, columns, 1);
    const { values, left, right, valueError } = run(matrix);
    expect(Math.abs(values[0]! - measureNorm(matrix))).toBeLessThanOrEqual(valueError);
    expect([left.columns, right.columns]).toEqual([1, 1]);
  });

  it.each([loose, strict])(
    "bounds the error of every value, whatever the spectrum, within %d",
    (tolerance) => {
      fc.assert(
        fc.property(spectra(short), fc.nat(1000), fc.boolean(), (values, seed, isWide) => {
          const factors = run(drawLong(values, seed, isWide).matrix, 3, tolerance);
          expect(factors.valueError).toBeLessThanOrEqual(tolerance * factors.values[0]!);
          expect(farthest(factors.values, values)).toBeLessThanOrEqual(
            factors.valueError + buildingError * values[0]!,
          );
        }),
        { numRuns: 3 },
      );
    },
  );

  it("bounds the error also where all elements are alike, so that roundings add up", () => {
    const matrix = createMatrix(long, short, new Float64Array(long * short).fill(0.1));
    const exact = 0.1 * Math.sqrt(long * short);
    for (const tolerance of [loose, strict]) {
      const { values, valueError } = run(matrix, 0, tolerance);
      expect(Math.abs(values[0]! - exact)).toBeLessThanOrEqual(valueError);
      expect(values[1]!).toBeLessThanOrEqual(valueError);
    }
  });

  it("leaves the matrix as it is", () => {
    const { matrix } = drawLong(fall(short, 1e-9), 5, false);
    const before = matrix.values.slice();
    run(matrix);
    expect(matrix.values.every((value, index) => value === before[index])).toBe(true);
  });
});

describeOnLapack("factorize() of matrices with two long sides", (algebra) => {
  const run = (matrix: Matrix, numVectors = everything, tolerance: number = strict): Factors =>
    factorize(createDenseSource(matrix), { numVectors, tolerance }, algebra);

  const cases = [
    { rows: 520, columns: 560, ratio: 1e-2, tolerance: strict, method: "gram" },
    { rows: 560, columns: 520, ratio: 1e-10, tolerance: loose, method: "gram" },
    { rows: 560, columns: 520, ratio: 1e-10, tolerance: strict, method: "qr" },
    { rows: 520, columns: 3000, ratio: 1e-10, tolerance: loose, method: "gram" },
    { rows: 520, columns: 3000, ratio: 1e-10, tolerance: strict, method: "qr" },
    { rows: 3000, columns: 520, ratio: 1e-2, tolerance: strict, method: "gram" },
    { rows: 520, columns: 520, ratio: 1e-2, tolerance: strict, method: "gram" },
    { rows: 520, columns: 520, ratio: 1e-10, tolerance: strict, method: "svd" },
  ] as const;
  it.each(cases)(
    "takes the route $method for $rows × $columns over $ratio within $tolerance",
    ({ rows, columns, ratio, tolerance, method }) => {
      const values = fall(Math.min(rows, columns), ratio);
      const { matrix } = drawKnown({ rows, columns }, values, 6);
      const factors = run(matrix, everything, tolerance);
      const allowed = factors.valueError + 10 * buildingError * values[0]!;
      expect(factors.method).toBe(method);
      expect(factors.valueError).toBeLessThanOrEqual(tolerance * values[0]!);
      expect(farthest(factors.values, values)).toBeLessThanOrEqual(allowed);
      expect(farthest(factors.values, algebra.singularValues(matrix))).toBeLessThanOrEqual(allowed);
      expectDecomposition(factors, matrix);
    },
  );

  it("keeps vectors orthonormal where most values are rounding", () => {
    const values = [...fall(40, 0.1), ...new Array<number>(480).fill(0)];
    for (const shape of [
      { rows: 520, columns: 700 },
      { rows: 700, columns: 520 },
    ])
      for (const tolerance of [strict, loose]) {
        const { matrix } = drawKnown(shape, values, 7);
        const factors = run(matrix, everything, tolerance);
        expectDecomposition(factors, matrix);
        expect(farthest(factors.values, values)).toBeLessThanOrEqual(factors.valueError + 1e-13);
      }
  });

  it("reads the matrix in blocks: a source that makes them on the way gives the same", () => {
    const [rows, columns] = [520, 8200];
    const dense = createDenseSource(drawNoise(rows, columns, 8));
    const sizes: number[] = [];
    const watched: MatrixSource = {
      ...dense,
      readBlock: (start, end) => {
        sizes.push(end - start);
        return dense.readBlock(start, end);
      },
    };
    const blocked = factorize(watched, { numVectors: 4, tolerance: loose }, algebra);
    expect(Math.max(...sizes)).toBeLessThan(columns);
    const whole = algebra.singularValues(dense.readBlock(0, columns));
    expect(farthest(blocked.values, whole)).toBeLessThanOrEqual(blocked.valueError);
  });
});
