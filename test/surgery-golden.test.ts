/** Edits of matrices against NumPy, which splices singular vectors literally, on every backend of this machine. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  createDenseSource,
  createMatrix,
  type Factors,
  factorize,
  type LinearAlgebra,
  type Matrix,
} from "../src/weights/linalg/index.ts";
import { findIntruders } from "../src/weights/spectra/index.ts";
import {
  applyEdit,
  type FactorPair,
  measureDeparture,
  type Operation,
  planEdit,
  type Restore,
} from "../src/weights/surgery/index.ts";
import { describeOnEveryBackend } from "./support/every-backend.ts";

interface GoldenEdit {
  readonly operation: string;
  readonly expected: readonly number[];
  readonly intruders?: readonly number[];
}

interface GoldenSplice {
  readonly what: "vectors" | "directions";
  readonly top: number;
  readonly tail: number;
  readonly departure: { readonly left: number; readonly right: number };
  readonly singularValues: readonly number[];
}

interface GoldenCase {
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
  readonly target: readonly number[];
  readonly source: readonly number[];
  readonly edits: readonly GoldenEdit[];
  readonly spliced: readonly GoldenSplice[];
}

const golden = new URL("golden/surgery/surgery.json", import.meta.url);
const { cases } = JSON.parse(readFileSync(golden, "utf8")) as { cases: readonly GoldenCase[] };

function factorizeWhole(matrix: Matrix, algebra: LinearAlgebra): Factors {
  const numVectors = Math.min(matrix.rows, matrix.columns);
  return factorize(createDenseSource(matrix), { numVectors, tolerance: 1e-7 }, algebra);
}

interface Prepared {
  readonly target: Matrix;
  readonly source: Matrix;
  readonly factors: FactorPair;
}

function prepare({ rows, columns, target, source }: GoldenCase, algebra: LinearAlgebra): Prepared {
  const matrices = {
    target: createMatrix(rows, columns, Float64Array.from(target)),
    source: createMatrix(rows, columns, Float64Array.from(source)),
  };
  const factors = {
    target: factorizeWhole(matrices.target, algebra),
    source: factorizeWhole(matrices.source, algebra),
  };
  return { ...matrices, factors };
}

function edit(operation: Operation, one: GoldenCase, algebra: LinearAlgebra): Matrix {
  const { target, source, factors } = prepare(one, algebra);
  const planned = planEdit(operation, factors, one, algebra);
  const rows = { start: 0, end: one.rows, target: target.values, source: source.values };
  return applyEdit(planned, rows, algebra);
}

/** ‖a − b‖ / ‖b‖, Frobenius. */
function relativeError(actual: ArrayLike<number>, expected: readonly number[]): number {
  expect(actual.length).toBe(expected.length);
  let [difference, size] = [0, 0];
  for (const [index, value] of expected.entries()) {
    difference += (actual[index]! - value) ** 2;
    size += value ** 2;
  }
  return Math.sqrt(difference / size);
}

function describeGolden({ expected: _, intruders: __, ...operation }: GoldenEdit): string {
  return Object.values(operation).join(" ");
}

describeOnEveryBackend("an edit", (algebra) => {
  for (const one of cases)
    describe(`${one.name}`, () => {
      for (const { expected, intruders: _, ...fields } of one.edits) {
        const operation = fields as unknown as Operation;
        it(`${describeGolden({ ...fields, expected })} is what NumPy makes of it`, () => {
          // The bar is 1e-6; inputs have 9 digits, results 12.
          expect(relativeError(edit(operation, one, algebra).values, expected)).toBeLessThan(1e-10);
        });
      }

      for (const { what, top, tail, departure, singularValues } of one.spliced)
        it(`${what}, top ${top}: departs from orthonormal, and has the values, that NumPy finds`, () => {
          const operation: Restore = { operation: "restore", what, top, tail, strength: 1 };
          const { factors } = prepare(one, algebra);
          const measured = measureDeparture(operation, factors, algebra);
          for (const side of ["left", "right"] as const)
            expect(Math.abs(measured![side] - departure[side])).toBeLessThan(1e-9);
          const values = algebra.singularValues(edit(operation, one, algebra));
          for (const [index, value] of singularValues.entries())
            expect(Math.abs(values[index]! - value)).toBeLessThan(1e-9 * singularValues[0]!);
        });

      it("finds the same intruders", () => {
        const { factors } = prepare(one, algebra);
        const overlap = algebra.multiply(factors.source!.left, factors.target.left, { left: true });
        const expected = one.edits.find(({ operation }) => operation === "damp")?.intruders;
        expect(findIntruders(overlap)).toEqual(expected);
      });
    });
});

it("covers every operation that has a definition outside of this project", () => {
  const names = new Set(cases.flatMap(({ edits }) => edits.map(({ operation }) => operation)));
  expect([...names].sort()).toEqual(["damp", "rebuild", "rescale", "restore", "rollback", "truncate"]);
  expect(cases.some(({ edits }) => edits.some(({ intruders }) => (intruders?.length ?? 0) > 0))).toBe(true);
});
