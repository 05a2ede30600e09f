import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UsageError } from "../../../base/core/index.ts";
import type { Split } from "../environment.ts";
import { determinant } from "./determinant.ts";
import { computeDeterminant, computeRank, type IntegerMatrix } from "./exact-matrix.ts";
import { rank } from "./rank.ts";

/** By Laplace's expansion along the first row: slow, and nothing like elimination. */
function expand(matrix: IntegerMatrix): bigint {
  const [first, ...others] = matrix;
  if (first === undefined) return 1n;
  return first.reduce((sum, value, column) => {
    const minor = others.map((row) => row.filter((_, index) => index !== column));
    return sum + (column % 2 === 0 ? 1n : -1n) * BigInt(value) * expand(minor);
  }, 0n);
}

function listSubsets(count: number, size: number): readonly (readonly number[])[] {
  if (size === 0) return [[]];
  return Array.from({ length: count }, (_, last) => last).flatMap((last) =>
    listSubsets(last, size - 1).map((subset) => [...subset, last]),
  );
}

/** The size of the largest minor that is not zero: the definition. */
function rankByMinors(matrix: IntegerMatrix): number {
  const [numRows, numColumns] = [matrix.length, matrix[0]?.length ?? 0];
  for (let size = Math.min(numRows, numColumns); size > 0; size--)
    for (const rows of listSubsets(numRows, size))
      for (const columns of listSubsets(numColumns, size))
        if (expand(rows.map((row) => columns.map((column) => matrix[row]![column]!))) !== 0n) return size;
  return 0;
}

const matrixOf = (rows: number, columns: number, limit: number): fc.Arbitrary<number[][]> =>
  fc.array(fc.array(fc.integer({ min: -limit, max: limit }), { minLength: columns, maxLength: columns }), {
    minLength: rows,
    maxLength: rows,
  });

describe("computeDeterminant()", () => {
  it("agrees with Laplace's expansion", () => {
    const sizes = fc.integer({ min: 1, max: 5 }).chain((size) => matrixOf(size, size, 9));
    fc.assert(
      fc.property(sizes, (matrix) => {
        expect(BigInt(computeDeterminant(matrix))).toBe(expand(matrix));
      }),
    );
  });

  it("knows determinants by hand, zero pivots included", () => {
    expect(
      computeDeterminant([
        [0, 1],
        [1, 0],
      ]),
    ).toBe(-1);
    expect(
      computeDeterminant([
        [0, 0],
        [1, 0],
      ]),
    ).toBe(0);
    expect(
      computeDeterminant([
        [0, 2, 1],
        [0, 0, 3],
        [4, 0, 0],
      ]),
    ).toBe(24);
    expect(() => computeDeterminant([[1, 2]])).toThrow(RangeError);
  });
});

describe("computeRank()", () => {
  it("agrees with the largest minor that is not zero", () => {
    const sizes = fc
      .tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 }))
      .chain(([rows, columns]) => matrixOf(rows, columns, 2));
    fc.assert(
      fc.property(sizes, (matrix) => {
        expect(computeRank(matrix)).toBe(rankByMinors(matrix));
      }),
    );
  });
});

describe("matrix tasks", () => {
  const draw = (environment: typeof rank, split: Split): readonly IntegerMatrix[] =>
    Array.from(
      { length: 600 },
      (_, index) => environment.createTask({ split, seed: 3, index, promptFormat: "chat" }).matrix,
    );

  it("of determinants have the sizes, entries and symmetry that they claim, and are never singular", () => {
    for (const [split, size, limit] of [
      ["id", 2, 4],
      ["ood", 3, 5],
    ] as const) {
      const matrices = draw(determinant, split);
      for (const matrix of matrices) {
        expect([matrix.length, ...matrix.map((row) => row.length)]).toEqual(
          Array.from({ length: size + 1 }, () => size),
        );
        expect(Math.max(...matrix.flat().map(Math.abs))).toBeLessThanOrEqual(limit);
        expect(expand(matrix)).not.toBe(0n);
      }
      const isSymmetric = (matrix: IntegerMatrix): boolean =>
        matrix.every((row, i) => row.every((value, j) => value === matrix[j]![i]));
      const share = matrices.filter(isSymmetric).length / matrices.length;
      expect(share).toBeGreaterThan(0.45);
      expect(share).toBeLessThan(0.7);
    }
  });

  it("of ranks have all ranks from 0 to 4 about equally often", () => {
    for (const [split, rows, columns] of [
      ["id", 4, 5],
      ["ood", 5, 4],
    ] as const) {
      const matrices = draw(rank, split);
      expect(new Set(matrices.map((matrix) => `${matrix.length}x${matrix[0]!.length}`))).toEqual(
        new Set([`${rows}x${columns}`]),
      );
      const counts = [0, 1, 2, 3, 4].map(
        (wanted) => matrices.filter((matrix) => computeRank(matrix) === wanted).length,
      );
      for (const count of counts) expect(Math.abs(count - 120)).toBeLessThan(45);
    }
  });

  it.each([
    ['{"answer": -2}', ["correct", 5, true]],
    ['First, ad − bc. {"answer": 1} No: {"answer": "-2"}.', ["correct", 5, true]],
    ['```json\n{"answer": -2.0}\n```', ["correct", 5, true]],
    ['{"answer": 2}', ["incorrect", -1, true]],
    ['{"answer": 998}', ["incorrect", -1, true]],
    ["-2", ["illegal", -1, false]],
    ['{"answer": "two"}', ["illegal", -1, false]],
    ['{"answer": -2.5}', ["illegal", -1, false]],
    ['{"answer": [-2]}', ["illegal", -1, false]],
    ["", ["illegal", -1, false]],
    ['{"answer": 1e400}', ["illegal", -1, false]],
  ] as const)("grade %j as the determinant −2", (answer, [outcome, reward, format]) => {
    const task = determinant.parseTask({
      matrix: [
        [1, 2],
        [3, 4],
      ],
    });
    const grade = determinant.grade(task, answer, { promptFormat: "chat" });
    expect([grade.outcome, grade.reward, grade.parts.format]).toEqual([outcome, reward, format]);
  });

  it("take any integer, modulo 1000, where the reference implementation is repeated", () => {
    const task = determinant.parseTask({
      matrix: [
        [1, 2],
        [3, 4],
      ],
    });
    const grade = (answer: string): boolean =>
      determinant.grade(task, answer, { promptFormat: "chat", compat: true }).parts.solved;
    expect(["so it is -2", '"answer": -2, as I said', '{"answer": 998}'].map(grade)).toEqual([
      true,
      true,
      true,
    ]);
    expect(["so it is 2", "no idea"].map(grade)).toEqual([false, false]);
  });

  it("are refused in another shape", () => {
    for (const wrong of [{}, { matrix: [] }, { matrix: [[1, 2], [3]] }, { matrix: [[0.5]] }, [[1]], null]) {
      expect(() => rank.parseTask(wrong)).toThrow(UsageError);
      expect(() => determinant.parseTask(wrong)).toThrow(UsageError);
    }
    expect(() => determinant.parseTask({ matrix: [[1, 2]] })).toThrow(UsageError);
    expect(rank.parseTask({ matrix: [[1, 2]] }).matrix).toEqual([[1, 2]]);
  });
});
