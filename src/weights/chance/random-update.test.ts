import fc from "fast-check";
import { describe, expect, it } from "vitest";
import golden from "../../../test/golden/null/random-update.json" with { type: "json" };
import { type ExpectedRotation, expectRotation, type RandomUpdate } from "./random-update.ts";

const sides = ["left", "right"] as const;

/** First-order perturbation theory: Σ of the squared elements of the first correction to the vectors. */
function perturb({ rows, columns, values, frobenius }: RandomUpdate, rank: number): ExpectedRotation {
  const variance = frobenius ** 2 / rows / columns;
  const squares = Array.from(values, (value) => value ** 2);
  let [both, outside] = [0, 0];
  for (const inner of squares.slice(0, rank)) {
    outside += 1 / inner;
    for (const outer of squares.slice(rank)) both += (inner + outer) / (inner - outer) ** 2;
  }
  const lose = (dimension: number): number =>
    (variance * (both + (dimension - squares.length) * outside)) / rank;
  return { rank, left: lose(rows), right: lose(columns) };
}

/** Matrices of any shape and spectrum, values within a factor of 1e4 of each other. */
const matrices: fc.Arbitrary<Omit<RandomUpdate, "frobenius">> = fc
  .record({
    logs: fc.array(fc.double({ min: -4, max: 0, noNaN: true }), { minLength: 1, maxLength: 24 }),
    excess: fc.integer({ min: 0, max: 40 }),
    isTall: fc.boolean(),
  })
  .map(({ logs, excess, isTall }) => {
    const values = logs.map((log) => 10 ** log).sort((first, second) => second - first);
    const [short, long] = [values.length, values.length + excess];
    return { values, rows: isTall ? long : short, columns: isTall ? short : long };
  });

const norms = fc.double({ min: -6, max: 3, noNaN: true }).map((log) => 10 ** log);

const ranksOf = ({ values }: Pick<RandomUpdate, "values">): readonly number[] =>
  Array.from(values, (_, index) => index + 1);

describe("expectRotation()", () => {
  // Averages of finite matrices: at 40 × 40 predictions are up to 3.5 % too small, at 96 × 96 and above 1 % as a rule.
  for (const { name, expected, ...update } of golden.cases)
    it(`agrees with drawn updates, 3 standard errors and 3 % at most apart: ${name}`, () => {
      const found = expectRotation(
        update,
        expected.map(({ rank }) => rank),
      );
      for (const [index, one] of expected.entries())
        for (const side of sides) {
          const { mean, standardError } = one[side];
          const distance = Math.abs((found[index]?.[side] ?? Number.NaN) - mean);
          expect(distance, `rank ${one.rank} ${side}`).toBeLessThanOrEqual(3 * standardError + 0.03 * mean);
        }
    });

  it("is first-order perturbation theory for small updates, to its digits", () => {
    const values = Array.from({ length: 64 }, (_, index) => (index + 1) ** -0.7);
    for (const [rows, columns] of [
      [64, 64],
      [200, 64],
      [64, 200],
    ] as const)
      for (const frobenius of [1e-9, 1e-6, 1e-4]) {
        const update = { rows, columns, values, frobenius };
        for (const found of expectRotation(update, [1, 4, 32, 64])) {
          const first = perturb(update, found.rank);
          for (const side of sides) {
            if (found.rank === (side === "left" ? rows : columns)) expect(found[side]).toBe(0);
            else expect(Math.abs(found[side] / first[side] - 1)).toBeLessThan(1e-6);
          }
        }
      }
  });

  it("gives random subspaces for updates that drown the matrix", () => {
    fc.assert(
      fc.property(matrices, (matrix) => {
        for (const { rank, left, right } of expectRotation({ ...matrix, frobenius: 1e7 }, ranksOf(matrix))) {
          expect(left).toBeCloseTo(1 - rank / matrix.rows, 5);
          expect(right).toBeCloseTo(1 - rank / matrix.columns, 5);
        }
      }),
    );
  });

  it("mixes equal values completely, by any update that is small against the gaps around them", () => {
    const values = Array.from({ length: 30 }, (_, index) => (index < 4 ? 3 : index < 20 ? 2 : 1));
    for (const frobenius of [1e-300, 1e-100, 1e-30, 1e-15, 1e-10, 1e-7, 1e-4]) {
      // Of 16 equal values 2 are counted: each of their vectors keeps 2 / 16 of itself.
      const [found] = expectRotation({ rows: 30, columns: 50, values, frobenius }, [6]);
      for (const side of sides) expect(found?.[side]).toBeCloseTo((2 / 6) * (14 / 16), 4);
    }
  });

  it("has an answer for spectra and updates of any size", () => {
    const logs = fc.oneof(
      fc.constant(Number.NEGATIVE_INFINITY),
      fc.integer({ min: -6, max: 0 }),
      fc.double({ min: -300, max: 0, noNaN: true }),
    );
    fc.assert(
      fc.property(fc.array(logs, { minLength: 1, maxLength: 9 }), logs, (exponents, size) => {
        const values = exponents.map((log) => 10 ** log).sort((first, second) => second - first);
        const update = { rows: values.length, columns: values.length + 2, values, frobenius: 10 ** size };
        for (const { left, right } of expectRotation(update, ranksOf(update)))
          for (const mean of [left, right]) expect(mean >= 0 && mean < 1).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it("mixes the null space of a matrix completely", () => {
    const values = Array.from({ length: 20 }, (_, index) => (index < 3 ? 1 : 0));
    for (const frobenius of [1e-300, 1e-25, 1e-10, 1e-4]) {
      const [found] = expectRotation({ rows: 20, columns: 37, values, frobenius }, [5]);
      expect(found?.left).toBeCloseTo((2 / 5) * (15 / 17), 4);
      expect(found?.right).toBeCloseTo((2 / 5) * (32 / 34), 4);
    }
  });

  it("gives random subspaces for the zero matrix", () => {
    const update = { rows: 12, columns: 20, values: new Float64Array(12), frobenius: 0.5 };
    for (const { rank, left, right } of expectRotation(update, [1, 6, 11, 12])) {
      expect(left).toBeCloseTo(1 - rank / 12, 9);
      expect(right).toBeCloseTo(1 - rank / 20, 9);
    }
  });

  it("grows with the update", () => {
    fc.assert(
      fc.property(
        matrices,
        norms,
        fc.double({ min: 1, max: 3, noNaN: true }),
        (matrix, frobenius, factor) => {
          const ranks = ranksOf(matrix);
          const larger = expectRotation({ ...matrix, frobenius: frobenius * factor }, ranks);
          for (const [index, smaller] of expectRotation({ ...matrix, frobenius }, ranks).entries())
            for (const side of sides) {
              expect(smaller[side]).toBeGreaterThanOrEqual(0);
              expect(larger[index]?.[side]).toBeGreaterThanOrEqual(smaller[side] * (1 - 1e-6));
              expect(larger[index]?.[side]).toBeLessThan(1);
            }
        },
      ),
    );
  });

  it("does not depend on the unit, however large or small", () => {
    fc.assert(
      fc.property(matrices, norms, fc.integer({ min: -900, max: 900 }), (matrix, frobenius, exponent) => {
        const unit = 2 ** exponent;
        const values = Array.from(matrix.values, (value) => value * unit);
        const ranks = ranksOf(matrix);
        expect(expectRotation({ ...matrix, values, frobenius: frobenius * unit }, ranks)).toEqual(
          expectRotation({ ...matrix, frobenius }, ranks),
        );
      }),
    );
  });

  it("swaps the sides with the transpose, and has no rotation without an update", () => {
    fc.assert(
      fc.property(matrices, norms, ({ rows, columns, values }, frobenius) => {
        const ranks = ranksOf({ values });
        const turned = expectRotation({ rows: columns, columns: rows, values, frobenius }, ranks);
        expect(turned).toEqual(
          expectRotation({ rows, columns, values, frobenius }, ranks).map(({ rank, left, right }) => ({
            rank,
            left: right,
            right: left,
          })),
        );
        for (const { left, right } of expectRotation({ rows, columns, values, frobenius: 0 }, ranks))
          expect([left, right]).toEqual([0, 0]);
      }),
    );
  });

  it("refuses what it cannot answer", () => {
    const update = { rows: 3, columns: 4, values: [3, 2, 1], frobenius: 1 };
    for (const wrong of [
      { rows: 4 },
      { columns: 2.5 },
      { values: [3, 2] },
      { values: [1, 2, 3] },
      { values: [3, 2, Number.NaN] },
      { values: [3, 2, -1] },
      { frobenius: Number.NaN },
      { frobenius: -1 },
    ])
      expect(() => expectRotation({ ...update, ...wrong }, [1])).toThrow(RangeError);
    for (const rank of [0, 4, 1.5]) expect(() => expectRotation(update, [rank])).toThrow(RangeError);
  });
});
