import fc from "fast-check";
import { expect, it } from "vitest";
import { drawKnown, measureDeparture, sliceColumns } from "../../../test/support/drawn-matrix.ts";
import { describeOnEveryBackend } from "../../../test/support/every-backend.ts";
import { type Factors, subspaceError } from "./factorize.ts";
import { createMatrix, type Matrix } from "./matrix.ts";
import { createDenseSource } from "./matrix-source.ts";
import { pairBases, principalAngles } from "./principal-angles.ts";
import { factorizeRandomly } from "./randomize.ts";

/** Two orientations, and a square. */
const shapes = [
  { rows: 90, columns: 60 },
  { rows: 60, columns: 90 },
  { rows: 60, columns: 60 },
] as const;

/** As weights fall off. */
const slowDecay = Array.from({ length: 60 }, (_, index) => 5 * (index + 1) ** -0.5);

/** Without vectors of their own, the factors as lists. */
const listFactors = ({ left, values, right }: Factors): unknown => [
  [...left.values],
  [...values],
  [...right.values],
];

describeOnEveryBackend("factorizeRandomly()", (algebra) => {
  const run = (matrix: Matrix, numVectors: number, seed = 1): Factors =>
    factorizeRandomly(createDenseSource(matrix), { numVectors, seed }, algebra);

  it.each(shapes)("gives leading triplets of $rows × $columns within the residual it states", (shape) => {
    const { matrix, values } = drawKnown(shape, slowDecay, 1);
    const found = run(matrix, 8);
    expect(found.method).toBe("randomized");
    expect([found.rows, found.columns]).toEqual([shape.rows, shape.columns]);
    expect([found.left.rows, found.left.columns]).toEqual([shape.rows, 8]);
    expect([found.right.rows, found.right.columns]).toEqual([shape.columns, 8]);
    expect(found.values.length).toBe(8);
    for (const basis of [found.left, found.right])
      expect(measureDeparture(basis, algebra)).toBeLessThan(1e-12);
    expect(found.valueError).toBeGreaterThan(0);
    expect(found.valueError).toBeLessThan(0.05 * values[0]!);
    for (const [index, value] of found.values.entries()) {
      const nearest = Math.min(...values.map((exact) => Math.abs(exact - value)));
      expect(nearest).toBeLessThanOrEqual(found.valueError + 1e-13);
      // A projection never makes a value larger.
      expect(value).toBeLessThanOrEqual(values[index]! + 1e-13);
    }
    expect(Math.abs(found.values[0]! - values[0]!)).toBeLessThan(1e-3 * values[0]!);
  });

  it.each(shapes)("states the largest ‖A v − σ u‖ of $rows × $columns as error", (shape) => {
    const { matrix } = drawKnown(shape, slowDecay, 2);
    const { left, values, right, valueError } = run(matrix, 6);
    const image = algebra.multiply(matrix, right);
    const otherImage = algebra.multiply(matrix, left, { left: true });
    const residuals = [...values].flatMap((value, index) =>
      [
        [image, left],
        [otherImage, right],
      ].map(([product, vectors]) => {
        let squares = 0;
        for (let row = 0; row < product!.rows; row++)
          squares += (product!.values[row * 6 + index]! - value * vectors!.values[row * 6 + index]!) ** 2;
        return Math.sqrt(squares);
      }),
    );
    expect(Math.abs(Math.max(...residuals) - valueError)).toBeLessThan(1e-12);
  });

  it("repeats to the last bit from the same seed, and differs from another", () => {
    for (const shape of shapes) {
      const { matrix } = drawKnown(shape, slowDecay, 3);
      expect(listFactors(run(matrix, 5, 7))).toEqual(listFactors(run(matrix, 5, 7)));
      expect(listFactors(run(matrix, 5, 8))).not.toEqual(listFactors(run(matrix, 5, 7)));
    }
  });

  it("is exact for matrices of low rank", () => {
    const draws = fc.record({
      shape: fc.constantFrom(...shapes),
      logs: fc.array(fc.double({ min: -3, max: 0, noNaN: true }), { minLength: 1, maxLength: 9 }),
      seed: fc.nat(1000),
    });
    fc.assert(
      fc.property(draws, ({ shape, logs, seed }) => {
        const values = logs.map((log) => 10 ** log).sort((first, second) => second - first);
        const { matrix, left, right } = drawKnown(shape, values, seed);
        const found = run(matrix, values.length, seed);
        for (const [index, value] of found.values.entries())
          expect(Math.abs(value - values[index]!)).toBeLessThan(1e-13);
        expect(found.valueError).toBeLessThan(1e-13);
        for (const [exact, vectors] of [
          [left, found.left],
          [right, found.right],
        ] as const)
          expect(
            principalAngles(pairBases(exact, vectors, algebra), values.length, algebra).at(-1),
          ).toBeLessThan(1e-10);
      }),
      { numRuns: 25 },
    );
  });

  it("finds subspaces behind a wide gap", () => {
    const values = [...new Array<number>(6).fill(1), ...new Array<number>(54).fill(0.05)];
    const { matrix, left } = drawKnown(shapes[0], values, 4);
    const found = run(matrix, 6);
    const angles = principalAngles(pairBases(sliceColumns(left, 0, 6), found.left, algebra), 6, algebra);
    expect(angles.at(-1)).toBeLessThan(1e-8);
  });

  it("gives no more triplets than there are", () => {
    const { matrix } = drawKnown({ rows: 7, columns: 4 }, [4, 3, 2, 1], 5);
    const found = run(matrix, 100);
    expect([found.left.columns, found.right.columns, found.values.length]).toEqual([4, 4, 4]);
    for (const [index, value] of found.values.entries()) expect(value).toBeCloseTo(4 - index, 12);
    expect(found.valueError).toBeLessThan(1e-13);
  });

  it("takes the zero matrix", () => {
    const found = run(createMatrix(40, 30), 3);
    expect(found.values).toEqual(new Float64Array(3));
    expect([found.valueError, found.rounding]).toEqual([0, 0]);
    for (const basis of [found.left, found.right])
      expect(measureDeparture(basis, algebra)).toBeLessThan(1e-12);
  });

  it("does not promise a subspace whose next value it does not know", () => {
    // The next value is equal to the last one kept: what spans the leading 5 is arbitrary.
    const values = [...new Array<number>(4).fill(2), ...new Array<number>(56).fill(1)];
    const { matrix } = drawKnown(shapes[0], values, 6);
    const found = run(matrix, 5);
    expect(subspaceError(found, 4)).toBeLessThan(0.1);
    expect(subspaceError(found, 5)).toBe(Math.PI / 2);
  });

  it("leaves the matrix alone", () => {
    const { matrix } = drawKnown(shapes[1], slowDecay, 7);
    const before = matrix.values.slice();
    run(matrix, 4);
    expect(matrix.values).toEqual(before);
  });
});
