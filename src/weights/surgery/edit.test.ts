/** Properties of edits: the low-rank form against the spliced one, and what must not change. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createRandom } from "../../base/core/index.ts";
import {
  createDenseSource,
  createMatrix,
  type Factors,
  factorize,
  type Matrix,
  openLinearAlgebra,
  sumOfSquares,
} from "../linalg/index.ts";
import { applyEdit, findCopy } from "./apply.ts";
import { demandVectors, type Edit, type FactorPair, limitRank, needsSource, planEdit } from "./edit.ts";
import { listRanks, type Operation, type Restorable, type Restore, restorables } from "./plan.ts";

const algebra = await openLinearAlgebra("none");

function randomMatrix(rows: number, columns: number, seed: number): Matrix {
  const random = createRandom(seed, "matrix", rows, columns);
  return createMatrix(
    rows,
    columns,
    Float64Array.from({ length: rows * columns }, () => random.normal()),
  );
}

interface Pair extends FactorPair {
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
  readonly matrices: { readonly target: Matrix; readonly source: Matrix };
  readonly source: Factors;
}

function createPair(rows: number, columns: number, seed: number): Pair {
  const source = randomMatrix(rows, columns, seed);
  const noise = randomMatrix(rows, columns, seed + 1);
  const target = createMatrix(
    rows,
    columns,
    source.values.map((value, index) => value + 0.3 * noise.values[index]!),
  );
  const decompose = (matrix: Matrix): Factors =>
    factorize(createDenseSource(matrix), { numVectors: Math.min(rows, columns), tolerance: 1e-7 }, algebra);
  return {
    name: "m",
    rows,
    columns,
    matrices: { target, source },
    target: decompose(target),
    source: decompose(source),
  };
}

const pairs = fc
  .record({
    rows: fc.integer({ min: 1, max: 9 }),
    columns: fc.integer({ min: 1, max: 9 }),
    seed: fc.nat(1000),
  })
  .map(({ rows, columns, seed }) => createPair(rows, columns, seed));

const restorations = fc.record({
  what: fc.constantFrom(...restorables),
  top: fc.double({ min: 0, max: 0.999, noNaN: true }),
  tail: fc.double({ min: 0, max: 0.999, noNaN: true }),
  strength: fc.constantFrom(0, 0.3, 1),
});

const restore = (fields: Omit<Restore, "operation">): Restore => ({ operation: "restore", ...fields });

function wholeOf({ matrices, rows }: Pair): Parameters<typeof applyEdit>[1] {
  return { start: 0, end: rows, target: matrices.target.values, source: matrices.source.values };
}

function perform(operation: Operation, pair: Pair): Matrix {
  const edit = planEdit(operation, pair, pair, algebra);
  return applyEdit(edit, wholeOf(pair), algebra);
}

/** Largest difference of two matrices, relative to the largest element of the second. */
function distance(actual: Matrix, expected: Matrix): number {
  const size = expected.values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-300);
  return (
    actual.values.reduce(
      (most, value, index) => Math.max(most, Math.abs(value - expected.values[index]!)),
      0,
    ) / size
  );
}

/** U_new · S_new · V_newᵀ, put together column by column. */
function splice(
  { what, top, tail, strength }: Restore,
  { target, source, matrices, rows, columns }: Pair,
): Matrix {
  const rank = Math.min(rows, columns);
  const chosen = new Set(listRanks({ top, tail }, rank, "m"));
  const spliced = createMatrix(rows, columns);
  const takes = (part: Restorable, index: number): boolean =>
    chosen.has(index) &&
    (what === part || what === "vectors" || (what === "directions" && part !== "values"));
  for (let index = 0; index < rank; index++) {
    const [left, right] = [takes("left", index) ? source : target, takes("right", index) ? source : target];
    const value = (takes("values", index) ? source : target).values[index]!;
    const dot = (side: "left" | "right"): number => {
      const [own, other] = [target[side], source[side]];
      let sum = 0;
      for (let row = 0; row < own.rows; row++)
        sum += own.values[row * own.columns + index]! * other.values[row * other.columns + index]!;
      return sum;
    };
    const isMixed = (left === source) !== (right === source);
    const sum = dot("left") + dot("right");
    const decisive = Math.abs(sum) < 1e-9 ? dot(left === source ? "right" : "left") : sum;
    const sign = isMixed && decisive < 0 ? -1 : 1;
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++)
        spliced.values[row * columns + column]! +=
          sign *
          value *
          left.left.values[row * left.left.columns + index]! *
          right.right.values[column * right.right.columns + index]!;
  }
  for (let index = 0; index < spliced.values.length; index++)
    spliced.values[index] =
      (1 - strength) * matrices.target.values[index]! + strength * spliced.values[index]!;
  return spliced;
}

describe("restoring", () => {
  it("in its low-rank form equals splicing all vectors, to 1e-10", () => {
    fc.assert(
      fc.property(pairs, restorations, (pair, fields) => {
        const operation = restore(fields);
        expect(distance(perform(operation, pair), splice(operation, pair))).toBeLessThan(1e-10);
      }),
      { numRuns: 300 },
    );
  });

  it("all vectors is copying the source, no rank is leaving the target", () => {
    fc.assert(
      fc.property(pairs, (pair) => {
        const all = planEdit(
          restore({ what: "vectors", top: "all", tail: 0, strength: 1 }),
          pair,
          pair,
          algebra,
        );
        expect(findCopy(all)).toBe("source");
        for (const what of restorables) {
          const none = planEdit(restore({ what, top: 0, tail: 0, strength: 1 }), pair, pair, algebra);
          expect(findCopy(none)).toBe("target");
        }
      }),
    );
  });

  it("has no larger rank than twice the ranks it takes", () => {
    fc.assert(
      fc.property(pairs, restorations, (pair, fields) => {
        const numRanks = listRanks(fields, Math.min(pair.rows, pair.columns), "m").length;
        const { left, right } = planEdit(restore(fields), pair, pair, algebra);
        expect(left.columns).toBe(right.columns);
        const isPair = fields.what === "vectors" || fields.what === "directions";
        expect(left.columns).toBeLessThanOrEqual(isPair ? 2 * numRanks : numRanks);
        expect(left.columns).toBeLessThanOrEqual(2 * limitRank(restore(fields), pair));
      }),
    );
  });

  it("does not depend on the signs of the source's pairs of vectors", () => {
    fc.assert(
      fc.property(pairs, restorations, (pair, fields) => {
        const flip = (matrix: Matrix): Matrix => ({
          ...matrix,
          values: matrix.values.map((value) => -value),
        });
        const flipped = {
          ...pair,
          source: { ...pair.source, left: flip(pair.source.left), right: flip(pair.source.right) },
        };
        const [one, other] = [perform(restore(fields), pair), perform(restore(fields), flipped)];
        expect(distance(other, one)).toBeLessThan(1e-12);
      }),
    );
  });

  it("needs no more vectors than it says", () => {
    fc.assert(
      fc.property(pairs, restorations, (pair, fields) => {
        const operation = restore(fields);
        const demand = demandVectors(operation, pair);
        const trim = (factors: Factors, count: number): Factors => {
          const take = (matrix: Matrix): Matrix =>
            createMatrix(
              matrix.rows,
              count,
              Float64Array.from(
                { length: matrix.rows * count },
                (_, index) => matrix.values[Math.floor(index / count) * matrix.columns + (index % count)]!,
              ),
            );
          return { ...factors, left: take(factors.left), right: take(factors.right) };
        };
        const trimmed = {
          ...pair,
          target: trim(pair.target, demand.target),
          source: trim(pair.source, demand.source),
        };
        expect(distance(perform(operation, trimmed), perform(operation, pair))).toBeLessThan(1e-12);
      }),
    );
  });
});

describe("the controls", () => {
  it("rebuild the target to rounding", () => {
    fc.assert(
      fc.property(pairs, (pair) => {
        expect(distance(perform({ operation: "rebuild" }, pair), pair.matrices.target)).toBeLessThan(1e-12);
      }),
    );
  });

  it("roll back to the source, or part of the way", () => {
    fc.assert(
      fc.property(pairs, fc.double({ min: 0, max: 1, noNaN: true }), (pair, strength) => {
        const { target, source } = pair.matrices;
        const expected = createMatrix(
          pair.rows,
          pair.columns,
          target.values.map((value, index) => value + strength * (source.values[index]! - value)),
        );
        expect(distance(perform({ operation: "rollback", strength }, pair), expected)).toBeLessThan(1e-12);
      }),
    );
  });

  it("scramble by an update with the singular values of the one it stands beside, in other directions", () => {
    fc.assert(
      fc.property(pairs, restorations, fc.nat(100), (pair, fields, seed) => {
        const update = (operation: Operation): Float64Array => {
          const edited = perform(operation, pair);
          const moved = edited.values.map((value, index) => value - pair.matrices.target.values[index]!);
          return algebra.singularValues(createMatrix(pair.rows, pair.columns, moved));
        };
        const [real, random] = [update(restore(fields)), update({ ...fields, operation: "scramble", seed })];
        const largest = Math.max(real[0]!, 1e-3);
        for (const [index, value] of real.entries())
          expect(Math.abs(random[index]! - value)).toBeLessThan(1e-9 * largest);
      }),
    );
  });

  it("scramble alike for one seed, differently for another", () => {
    const pair = createPair(8, 6, 3);
    const scramble = (seed: number): Matrix =>
      perform({ operation: "scramble", what: "directions", top: 0.5, tail: 0, strength: 1, seed }, pair);
    expect(scramble(1).values).toEqual(scramble(1).values);
    expect(distance(scramble(2), scramble(1))).toBeGreaterThan(0.01);
  });

  /** What a scramble of rank `top` adds to a matrix. */
  const scrambled = (pair: Pair, top: number, seed: number): readonly number[] => {
    const fields = { what: "values", top, tail: 0, strength: 1, seed } as const;
    const { values } = perform({ operation: "scramble", ...fields }, pair);
    return [...values].map((value, index) => value - pair.matrices.target.values[index]!);
  };

  it("scramble with either sign as often", () => {
    const pair = createPair(5, 4, 11);
    const firsts = Array.from({ length: 200 }, (_, seed) => scrambled(pair, 1, seed)[0]!);
    const numPositive = firsts.filter((value) => value > 0).length;
    // 100 ± 7.1 of fair signs.
    expect(numPositive).toBeGreaterThan(70);
    expect(numPositive).toBeLessThan(130);
  });

  it("scramble other ranks in directions of their own", () => {
    const pair = createPair(24, 20, 13);
    const [one, two] = [scrambled(pair, 1, 1), scrambled(pair, 2, 1)];
    const dot = (a: readonly number[], b: readonly number[]): number =>
      a.reduce((sum, value, index) => sum + value * b[index]!, 0);
    // Of two random directions in 480 dimensions: 0 ± 0.05.
    expect(Math.abs(dot(one, two)) / Math.sqrt(dot(one, one) * dot(two, two))).toBeLessThan(0.2);
  });
});

describe("values", () => {
  it("aims at values that the edited matrix has where vectors stay orthonormal", () => {
    fc.assert(
      fc.property(pairs, fc.double({ min: 0.1, max: 0.99, noNaN: true }), (pair, share) => {
        const operations: readonly Operation[] = [
          restore({ what: "values", top: share, tail: 0, strength: 1 }),
          { operation: "rescale", factor: 0.5, top: share, tail: 0 },
          { operation: "truncate", keep: share, strength: 1 },
          { operation: "rebuild" },
          { operation: "rollback", strength: 1 },
        ];
        for (const operation of operations) {
          const { intended } = planEdit(operation, pair, pair, algebra);
          const sorted = intended!.slice().sort((a, b) => b - a);
          const achieved = algebra.singularValues(perform(operation, pair));
          for (const [index, value] of sorted.entries())
            expect(Math.abs(achieved[index]! - value)).toBeLessThan(1e-10 * (sorted[0]! + 1));
        }
      }),
    );
  });

  it("truncated leave exactly as many as are kept", () => {
    const pair = createPair(9, 7, 5);
    const truncated = perform({ operation: "truncate", keep: 3, strength: 1 }, pair);
    const values = algebra.singularValues(truncated);
    expect(values[2]).toBeCloseTo(pair.target.values[2]!, 10);
    expect(values[3]).toBeLessThan(1e-12);
    const rest = pair.target.values.slice(3);
    const lost = truncated.values.map((value, index) => value - pair.matrices.target.values[index]!);
    expect(Math.sqrt(sumOfSquares(lost))).toBeCloseTo(Math.sqrt(sumOfSquares(rest)), 10); // Eckart and Young
  });
});

describe("applying", () => {
  it("by blocks of rows gives what the whole gives", () => {
    const pair = createPair(9, 5, 7);
    const edit: Edit = planEdit(
      restore({ what: "directions", top: 2, tail: 1, strength: 0.5 }),
      pair,
      pair,
      algebra,
    );
    const whole = applyEdit(edit, wholeOf(pair), algebra);
    const rows = ({ values }: Matrix, start: number, end: number): Float64Array =>
      values.slice(start * 5, end * 5);
    const parts = [0, 2, 3, 9].flatMap((end, index, ends) => {
      const start = ends[index - 1] ?? 0;
      const { target, source } = pair.matrices;
      const block = { start, end, target: rows(target, start, end), source: rows(source, start, end) };
      return end === 0 ? [] : [...applyEdit(edit, block, algebra).values];
    });
    expect(distance(createMatrix(9, 5, Float64Array.from(parts)), whole)).toBeLessThan(1e-15);
  });

  it("refuses an edit that needs a source which is not there", () => {
    const pair = createPair(3, 3, 1);
    const edit = planEdit({ operation: "rollback", strength: 0.5 }, pair, pair, algebra);
    expect(() => applyEdit(edit, { ...wholeOf(pair), source: undefined }, algebra)).toThrow(RangeError);
  });

  it("knows which operations take from a source", () => {
    expect(needsSource({ operation: "truncate", keep: 1, strength: 1 })).toBe(false);
    expect(needsSource({ operation: "rescale", factor: 2, top: 1, tail: 0 })).toBe(false);
    expect(needsSource({ operation: "rebuild" })).toBe(false);
    expect(needsSource({ operation: "rollback", strength: 1 })).toBe(true);
    expect(needsSource({ operation: "damp", factor: 0.75 })).toBe(true);
    expect(needsSource(restore({ what: "values", top: 1, tail: 0, strength: 1 }))).toBe(true);
  });
});
