/** What must not change a comparison: order, signs, rotations and scale of both matrices. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { subtractNaively } from "../../../test/support/drawn-matrix.ts";
import { drawnUpdates, scale, shuffle } from "../../../test/support/drawn-update.ts";
import { anyBackend } from "../../../test/support/every-backend.ts";
import { compareStored, readStored, storeMatrix } from "../../../test/support/stored-matrix.ts";
import { createRandom } from "../../base/core/index.ts";
import { createMatrix, type Matrix } from "../linalg/index.ts";
import type { MatrixComparison } from "./record/matrix-spectra.ts";
import type { StoredTensor } from "./stored-tensor.ts";

const sides = ["left", "right"] as const;
const ranks = [1, 2, 5, 8, 16, 100];
const compare = (pair: { readonly before: StoredTensor; readonly after: StoredTensor }): MatrixComparison =>
  compareStored(pair, ranks, anyBackend);

describe("compareMatrices()", () => {
  it("says the same of both in another order, with other signs", () => {
    fc.assert(
      fc.property(drawnUpdates, fc.nat(1000), ({ before, after }, seed) => {
        const move = (tensor: StoredTensor): StoredTensor =>
          storeMatrix(shuffle(readStored(tensor), seed).both);
        expectAlike(
          compare({ before: storeMatrix(readStored(before)), after: storeMatrix(readStored(after)) }),
          compare({ before: move(before), after: move(after) }),
        );
      }),
      { numRuns: 40 },
    );
  });

  it("says the same of both rotated on both sides", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 5 }),
        fc.nat(1000),
        (m, n, seed) => {
          const random = createRandom(seed, "coarse");
          // Few bits a number: the rotations by halves are then exact in 32-bit floats.
          const draw = (step: number): Matrix =>
            createMatrix(
              4 * m,
              4 * n,
              Float64Array.from({ length: 16 * m * n }, () => random.integer(-500, 500) * step),
            );
          const first = draw(1 / 64);
          const step = draw(1 / 4096);
          const second = subtractNaively(first, step);
          expectAlike(
            compare({ before: storeMatrix(first), after: storeMatrix(second) }),
            compare({ before: storeMatrix(rotateBoth(first)), after: storeMatrix(rotateBoth(second)) }),
          );
        },
      ),
      { numRuns: 25 },
    );
  });

  it("says the same at another scale", () => {
    fc.assert(
      fc.property(drawnUpdates, fc.constantFrom(2 ** -20, 2 ** 20), ({ before, after }, factor) => {
        const move = (tensor: StoredTensor): StoredTensor => storeMatrix(scale(readStored(tensor), factor));
        const [one, other] = [
          compare({ before: storeMatrix(readStored(before)), after: storeMatrix(readStored(after)) }),
          compare({ before: move(before), after: move(after) }),
        ];
        expectAlike(one, other, factor);
      }),
      { numRuns: 25 },
    );
  });

  it("turns back by as much as it turned", () => {
    fc.assert(
      fc.property(drawnUpdates, ({ before, after }) => {
        const [there, back] = [compare({ before, after }), compare({ before: after, after: before })];
        for (const side of sides)
          for (const [index, subspace] of there.subspaces[side].entries()) {
            const other = back.subspaces[side][index]!;
            const slack = subspace.error + other.error + 1e-12;
            expect(Math.abs(subspace.largestAngle - other.largestAngle)).toBeLessThanOrEqual(slack);
          }
        expect(back.update.frobenius).toBe(there.update.frobenius);
      }),
      { numRuns: 30 },
    );
  });
});

/** Rows and columns rotated by an orthogonal matrix of halves, four by four. */
function rotateBoth({ rows, columns, values }: Matrix): Matrix {
  const signs = [1, 1, 1, 1, 1, -1, 1, -1, 1, 1, -1, -1, 1, -1, -1, 1];
  const half = (row: number, inner: number): number =>
    row >> 2 === inner >> 2 ? signs[(row & 3) * 4 + (inner & 3)]! / 2 : 0;
  const rotated = createMatrix(rows, columns);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++)
      for (let k = i - (i & 3); k < i - (i & 3) + 4; k++)
        for (let l = j - (j & 3); l < j - (j & 3) + 4; l++)
          rotated.values[i * columns + j]! += half(i, k) * half(j, l) * values[k * columns + l]!;
  return rotated;
}

/** That two comparisons agree where rounding leaves anything to agree on; the second at `factor` times the scale. */
function expectAlike(one: MatrixComparison, other: MatrixComparison, factor = 1): void {
  const size = one.singularValues.before[0]! + one.singularValues.after[0]!;
  for (const [index, value] of one.singularValues.after.entries())
    expect(Math.abs(other.singularValues.after[index]! / factor - value)).toBeLessThanOrEqual(1e-13 * size);
  expect(other.update.frobenius / factor / (one.update.frobenius || 1)).toBeCloseTo(
    Number(one.update.frobenius > 0),
    12,
  );
  for (const side of sides)
    for (const [position, subspace] of one.subspaces[side].entries()) {
      const slack = subspace.error + other.subspaces[side][position]!.error + 1e-12;
      const angles = other.principalAngles[side][subspace.rank]!;
      for (const [index, angle] of one.principalAngles[side][subspace.rank]!.entries())
        expect(Math.abs(angles[index]! - angle)).toBeLessThanOrEqual(slack);
      if (subspace.error < 1e-9 && subspace.chance !== undefined)
        expect(other.subspaces[side][position]!.chance).toBeCloseTo(subspace.chance, 9);
    }
  expect(other.flags).toEqual(one.flags);
}
