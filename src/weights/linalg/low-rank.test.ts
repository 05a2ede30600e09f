import fc from "fast-check";
import { expect, it } from "vitest";
import { drawNoise, multiplyNaively } from "../../../test/support/drawn-matrix.ts";
import { describeOnEveryBackend } from "../../../test/support/every-backend.ts";
import { addProducts, productValues, type ThinProduct } from "./low-rank.ts";

const draws = fc.record({
  rows: fc.integer({ min: 4, max: 30 }),
  columns: fc.integer({ min: 4, max: 30 }),
  rank: fc.integer({ min: 0, max: 4 }),
  seed: fc.nat(10_000),
});

interface Size {
  readonly rows: number;
  readonly columns: number;
  readonly rank: number;
}

const drawProduct = ({ rows, columns, rank }: Size, seed: number): ThinProduct => ({
  left: drawNoise(rows, rank, seed),
  right: drawNoise(rank, columns, seed + 1),
});

describeOnEveryBackend("productValues()", (algebra) => {
  it("gives the values of the whole product, zeros beyond its rank", () => {
    fc.assert(
      fc.property(draws, ({ seed, ...size }) => {
        const product = drawProduct(size, seed);
        const values = productValues(product, algebra);
        const whole = algebra.singularValues(multiplyNaively(product.left, product.right));
        expect(values).toHaveLength(Math.min(size.rows, size.columns));
        for (const [index, value] of values.entries())
          expect(Math.abs(value - whole[index]!)).toBeLessThanOrEqual(1e-12 * (whole[0]! || 1));
        expect(values.subarray(size.rank).every((value) => value === 0)).toBe(true);
      }),
    );
  });

  it("refuses a product that is not thin", () => {
    const product = drawProduct({ rows: 3, columns: 9, rank: 4 }, 1);
    expect(() => productValues(product, algebra)).toThrow(RangeError);
  });
});

describeOnEveryBackend("addProducts()", (algebra) => {
  it("adds two products of different ranks", () => {
    fc.assert(
      fc.property(draws, fc.integer({ min: 0, max: 3 }), ({ seed, ...size }, other) => {
        const products = [drawProduct(size, seed), drawProduct({ ...size, rank: other }, seed + 7)] as const;
        const sum = addProducts(...products);
        const whole = algebra.multiply(sum.left, sum.right);
        const [one, two] = products.map(({ left, right }) => multiplyNaively(left, right));
        for (const [index, value] of whole.values.entries())
          expect(value).toBeCloseTo(one!.values[index]! + two!.values[index]!, 10);
      }),
    );
  });
});
