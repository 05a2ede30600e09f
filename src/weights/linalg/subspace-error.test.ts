/** What `subspaceError` promises of factors, which are made beside it in factorize.ts. */
import { expect, it } from "vitest";
import { drawKnown, type KnownMatrix } from "../../../test/support/drawn-matrix.ts";
import { describeOnEveryBackend, describeOnLapack } from "../../../test/support/every-backend.ts";
import { type Factors, factorize, subspaceError } from "./factorize.ts";
import type { LinearAlgebra } from "./linear-algebra.ts";
import { createMatrix } from "./matrix.ts";
import { createDenseSource } from "./matrix-source.ts";
import { pairBases, principalAngles } from "./principal-angles.ts";

const request = { numVectors: Number.POSITIVE_INFINITY, tolerance: 1e-8 };

describeOnEveryBackend("subspaceError()", (algebra) => {
  const errorOf = (values: readonly number[], rank: number, columns = values.length): number => {
    const { matrix } = drawKnown({ rows: values.length, columns }, values, 9);
    return subspaceError(factorize(createDenseSource(matrix), request, algebra), rank);
  };

  it("is 0 for all of a square matrix, where nothing can rotate", () => {
    expect(errorOf([3, 2, 1, 1e-9], 4)).toBe(0);
    expect(errorOf([3, 2, 1, 0], 4)).toBe(0);
  });

  it("is not 0 for all of the smaller space: the larger has more", () => {
    expect(errorOf([3, 2, 1], 3, 5)).toBeGreaterThan(0);
    expect(errorOf([3, 2, 0], 3, 5)).toBe(Math.PI / 2);
  });

  it("is a right angle where no gap fixes the subspace", () => {
    const equal: Factors = { ...exactFactors([2, 1, 1, 0.5]), rounding: 1e-15 };
    expect(subspaceError(equal, 2)).toBe(Math.PI / 2);
    expect(subspaceError(equal, 1)).toBeLessThan(1e-14);
    expect(subspaceError({ ...equal, values: new Float64Array(4) }, 2)).toBe(Math.PI / 2);
    expect(errorOf([1, 1e-15, 1e-15], 2)).toBeGreaterThan(0.1);
  });

  it("shrinks as the gap grows, and more slowly found by a Gram matrix", () => {
    for (const method of ["svd", "qr", "gram"] as const) {
      const errors = [1e-12, 1e-6, 1e-2, 0.5].map((gap) =>
        subspaceError({ ...exactFactors([1, 0.6, 0.6 - gap, 0.05]), method }, 2),
      );
      for (const [index, error] of errors.entries())
        expect(error).toBeLessThan(errors[index - 1] ?? Math.PI / 2 + 1e-9);
    }
    const small = exactFactors([1, 1e-3, 1e-4, 1e-5]);
    expect(subspaceError({ ...small, method: "gram" }, 2)).toBeGreaterThan(10 * subspaceError(small, 2));
  });

  it("is more than the computed vectors of a small matrix are off", () => {
    for (const gap of [0.2, 1e-4]) {
      const values = spreadOut(6, gap);
      expectBounded(drawKnown({ rows: 6, columns: 9 }, values, 10), algebra);
    }
  });
});

describeOnLapack("subspaceError() of a long matrix", (algebra) => {
  it("is more than the vectors found by its Gram matrix are off", () => {
    for (const gap of [0.2, 1e-4]) {
      const values = spreadOut(100, gap);
      expectBounded(drawKnown({ rows: 100, columns: 21_000 }, values, 10), algebra);
    }
  });
});

/** Values that fall slowly from 1, with a wider gap after the third. */
function spreadOut(count: number, gap: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => 1 - (0.1 * index) / count - (index < 3 ? 0 : gap));
}

function expectBounded({ matrix, left, right }: KnownMatrix, algebra: LinearAlgebra): void {
  const factors = factorize(createDenseSource(matrix), request, algebra);
  const bound = subspaceError(factors, 3);
  for (const [exact, found] of [
    [left, factors.left],
    [right, factors.right],
  ] as const) {
    const angles = principalAngles(pairBases(exact, found, algebra), 3, algebra);
    // The exact vectors are orthonormal to some 1e-15 themselves.
    expect(angles.at(-1)).toBeLessThan(bound + 2e-14);
  }
}

/** Factors as if found with rounding 1e-14. */
function exactFactors(values: readonly number[]): Factors {
  const identity = createMatrix(values.length, values.length);
  for (const index of values.keys()) identity.values[index * (values.length + 1)] = 1;
  return {
    rows: values.length,
    columns: values.length,
    values: Float64Array.from(values),
    left: identity,
    right: identity,
    method: "svd",
    valueError: 1e-14,
    rounding: 1e-14,
  };
}
