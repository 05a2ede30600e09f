import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { countElements } from "../../weights/spectra/stored-tensor.ts";
import { numExaminedForIntruders } from "../../weights/spectra/update.ts";
import { countVectors, isReadWhole, planComparison, planFactors, planFingerprint } from "./work.ts";

const seeded = { seed: 29, numRuns: 300 };
const side = fc.integer({ min: 1, max: 40_000 });
const matrixShape = fc.tuple(side, side);
const largestRank = fc.integer({ min: 1, max: 2000 });
const bytesPerElement = fc.constantFrom(2, 4, 8);
const drawnMatrix = fc
  .record({ shape: matrixShape, largestRank, bytesPerElement })
  .map(({ shape, largestRank: rank, bytesPerElement: size }) => ({
    shape,
    numBytes: size * countElements(shape),
    numVectors: countVectors(shape, { ranks: [rank] }),
  }));

describe("countVectors()", () => {
  it("keeps at least the largest rank and those examined for intruders, at most all there are", () => {
    fc.assert(
      fc.property(matrixShape, largestRank, (shape, rank) => {
        const short = Math.min(...shape);
        const numVectors = countVectors(shape, { ranks: [rank] });
        expect(numVectors).toBeLessThanOrEqual(short);
        expect(numVectors).toBeGreaterThanOrEqual(Math.min(short, Math.max(rank, numExaminedForIntruders)));
      }),
      seeded,
    );
  });

  it.each([
    [[512, 4096], 8, 512],
    [[4096, 512], 8, 512],
    [[513, 4096], 8, numExaminedForIntruders],
    [[4096, 513], 64, 64],
    [[513, 513], 600, 513],
    [[1, 7], 64, 1],
  ])("keeps of %j for rank %i: %i", (shape, rank, expected) => {
    expect(countVectors(shape, { ranks: [rank] })).toBe(expected);
  });

  it("keeps one more of a randomized factorization, and no more than that of a small one", () => {
    expect(countVectors([4096, 513], { ranks: [8, 64], randomizedSeed: 1 })).toBe(65);
    expect(countVectors([100, 100], { ranks: [8, 64], randomizedSeed: 1 })).toBe(65);
  });

  it("is the same for a matrix and its transpose, and never falls with the rank", () => {
    fc.assert(
      fc.property(matrixShape, largestRank, ([rows, columns], rank) => {
        expect(countVectors([rows, columns], { ranks: [rank] })).toBe(
          countVectors([columns, rows], { ranks: [rank] }),
        );
        expect(countVectors([rows, columns], { ranks: [rank + 1] })).toBeGreaterThanOrEqual(
          countVectors([rows, columns], { ranks: [rank] }),
        );
      }),
      seeded,
    );
  });
});

describe("isReadWhole()", () => {
  it.each([
    [[8192, 8192], 2 ** 28, true],
    [[8192, 8192], 2 ** 28 + 1, false],
    [[8193, 8192], 2 ** 28 + 1, false],
    [[8192, 8193], 2 ** 31, true],
    [[8192, 2 ** 19], 2 ** 33, false],
    [[2 ** 30], 2 ** 31, false],
    [[2, 4096, 65_536], 2 ** 30, false],
    [[], 4, true],
  ])("%j in %i bytes: %s", (shape, numBytes, expected) => {
    expect(isReadWhole(shape, numBytes)).toBe(expected);
  });
});

describe("planFingerprint()", () => {
  it("costs more the more bytes there are", () => {
    fc.assert(
      fc.property(
        matrixShape,
        fc.nat(2 ** 34),
        fc.integer({ min: 1, max: 2 ** 30 }),
        (shape, numBytes, more) => {
          expect(planFingerprint(shape, numBytes + more).cost).toBeGreaterThan(
            planFingerprint(shape, numBytes).cost,
          );
        },
      ),
      seeded,
    );
  });

  it("takes the memory of a tensor that is read whole, and of a few blocks for every other", () => {
    fc.assert(
      fc.property(drawnMatrix, ({ shape, numBytes }) => {
        const { bytes } = planFingerprint(shape, numBytes);
        if (isReadWhole(shape, numBytes)) expect(bytes).toBeGreaterThan(numBytes);
        else expect(bytes).toBeLessThanOrEqual(2 ** 27);
        expect(bytes).toBeGreaterThan(0);
      }),
      seeded,
    );
  });
});

describe.each([
  ["planFactors()", planFactors, 1],
  ["planComparison()", planComparison, 2],
] as const)("%s", (_name, planTask, numTensors) => {
  it("costs more with every size", () => {
    fc.assert(
      fc.property(drawnMatrix, fc.integer({ min: 1, max: 500 }), ({ shape, ...sizes }, more) => {
        const [rows, columns] = shape;
        const { cost } = planTask(shape, sizes);
        expect(planTask([rows + more, columns], sizes).cost).toBeGreaterThan(cost);
        expect(planTask([rows, columns + more], sizes).cost).toBeGreaterThan(cost);
        const numVectors = sizes.numVectors + more;
        expect(planTask(shape, { ...sizes, numVectors }).cost).toBeGreaterThan(cost);
      }),
      seeded,
    );
  });

  it("takes the memory of what is read whole, of the vectors and of the square of the short side", () => {
    fc.assert(
      fc.property(drawnMatrix, ({ shape, numBytes, numVectors }) => {
        const { bytes } = planTask(shape, { numBytes, numVectors });
        const [long, short] = [Math.max(...shape), Math.min(...shape)];
        const held = isReadWhole(shape, numBytes) ? numTensors * numBytes : 0;
        const vectors = 8 * numTensors * numVectors * (long + short);
        expect(bytes).toBeGreaterThan(held + vectors + 8 * short ** 2);
      }),
      seeded,
    );
  });

  it("takes more memory with more vectors, and as much for the transpose where both are read whole", () => {
    fc.assert(
      fc.property(drawnMatrix, ({ shape, numBytes, numVectors }) => {
        const { bytes } = planTask(shape, { numBytes, numVectors });
        expect(planTask(shape, { numBytes, numVectors: numVectors + 1 }).bytes).toBeGreaterThan(bytes);
        const [rows, columns] = shape;
        const transposed = planTask([columns, rows], { numBytes, numVectors });
        if (isReadWhole(shape, numBytes) === isReadWhole([columns, rows], numBytes))
          expect(transposed.bytes).toBe(bytes);
      }),
      seeded,
    );
  });
});

describe("planComparison() of what is not a matrix", () => {
  const sizes = (shape: readonly number[]): { readonly numBytes: number; readonly numVectors: number } => ({
    numBytes: 4 * countElements(shape),
    numVectors: 0,
  });

  it.each([[[4096]], [[8, 16, 32]], [[]]])("takes both tensors of %j whole", (shape) => {
    const { bytes, cost } = planComparison(shape, sizes(shape));
    expect(bytes).toBeGreaterThanOrEqual(8 * countElements(shape));
    expect(cost).toBeGreaterThan(0);
  });

  it("costs more the more elements there are", () => {
    fc.assert(
      fc.property(side, side, (length, more) => {
        const [smaller, larger] = [[length], [length + more]];
        expect(planComparison(larger, sizes(larger)).cost).toBeGreaterThan(
          planComparison(smaller, sizes(smaller)).cost,
        );
      }),
      seeded,
    );
  });

  it("takes some memory where it is read block by block", () => {
    const shape = [2 ** 28];
    expect(isReadWhole(shape, 4 * 2 ** 28)).toBe(false);
    expect(planComparison(shape, sizes(shape)).bytes).toBeGreaterThan(0);
  });
});
