import { describe, expect, it } from "vitest";
import golden from "../../../test/golden/null/random-initialisation.json" with { type: "json" };
import { fitMarchenkoPastur, type MatrixShape } from "./random-initialization.ts";

/** Singular values of noise of standard deviation 0.02 that NumPy drew and decomposed. */
function noiseOf({ rows, columns }: MatrixShape): readonly number[] {
  const found = golden.cases.find(
    (one) => one.rows === rows && one.columns === columns && one.law === "normal" && one.ratio === 1,
  );
  expect(found).toBeDefined();
  return found?.values ?? [];
}

const shapes: readonly MatrixShape[] = [
  { rows: 1024, columns: 1024 },
  { rows: 256, columns: 1024 },
  { rows: 1024, columns: 3584 },
];

/** The law's quantile σ² / long by bisection on a midpoint sum over its density, in λ; slow and plain. */
function plainQuantile(share: number, { rows, columns }: MatrixShape): number {
  const y = Math.min(rows, columns) / Math.max(rows, columns);
  const [low, high] = [(1 - Math.sqrt(y)) ** 2, (1 + Math.sqrt(y)) ** 2];
  const steps = 200_000;
  let above = 0;
  for (let step = steps - 1; step >= 0; step--) {
    const x = low + ((high - low) * (step + 0.5)) / steps;
    above += (((high - low) / steps) * Math.sqrt((high - x) * (x - low))) / (2 * Math.PI * y * x);
    if (above >= share) return Math.sqrt(x * Math.max(rows, columns));
  }
  return 0;
}

describe("fitMarchenkoPastur()", () => {
  it("flags the matrices that NumPy drew, normal and uniform, and no others", () => {
    for (const { rows, columns, ratio, values, law } of golden.cases) {
      const fit = fitMarchenkoPastur(values, { rows, columns });
      expect(fit, `${law} ${rows} × ${columns}, ratio ${ratio}`).toMatchObject({
        isConclusive: true,
        looksRandom: ratio === 1,
      });
      if (ratio === 1) expect(Math.abs(fit.scale / 0.02 - 1)).toBeLessThan(0.005);
      else expect(fit.maxRelativeError).toBeGreaterThan(0.03);
    }
    expect(golden.cases.length).toBe(7);
  });

  it("gives the same answer for the transpose and for any unit", () => {
    for (const { rows, columns } of shapes) {
      const values = noiseOf({ rows, columns });
      const fit = fitMarchenkoPastur(values, { rows, columns });
      expect(fitMarchenkoPastur(values, { rows: columns, columns: rows })).toEqual(fit);
      const scaled = fitMarchenkoPastur(
        values.map((value) => value * 2 ** -70),
        { rows, columns },
      );
      expect(scaled.maxRelativeError).toBeCloseTo(fit.maxRelativeError, 12);
    }
  });

  it("does not flag a spike twice as large as the edge", () => {
    for (const { rows, columns } of shapes) {
      const [edge = 0, ...rest] = noiseOf({ rows, columns });
      const fit = fitMarchenkoPastur([2 * edge, ...rest], { rows, columns });
      expect(fit.looksRandom).toBe(false);
      expect(fit.maxRelativeError).toBeGreaterThan(0.9);
    }
  });

  it("does not flag power laws, low ranks, equal values and zeros", () => {
    const shape = { rows: 1024, columns: 1024 };
    const order = Array.from({ length: 1024 }, (_, index) => index + 1);
    for (const power of [0.05, 0.3, 1, 2]) {
      const values = order.map((index) => index ** -power);
      expect(fitMarchenkoPastur(values, shape).looksRandom, `power ${power}`).toBe(false);
    }
    for (const values of [order.map((index) => (index <= 8 ? 1 : 0)), order.map(() => 1), order.map(() => 0)])
      expect(fitMarchenkoPastur(values, shape).looksRandom).toBe(false);
    expect(
      fitMarchenkoPastur(
        order.map(() => 0),
        shape,
      ),
    ).toMatchObject({ scale: 0, maxRelativeError: 0 });
  });

  it("compares with the quantiles of the law's density", () => {
    const shape = { rows: 600, columns: 900 };
    const values = Array.from({ length: 600 }, (_, index) => plainQuantile((index + 0.5) / 600, shape));
    const fit = fitMarchenkoPastur(values, shape);
    expect(fit.maxRelativeError).toBeLessThan(2e-4);
    expect(fit.scale).toBeCloseTo(1, 3);
  });

  it("is conclusive for large matrices alone", () => {
    const isConclusive = (rows: number, columns: number): boolean =>
      fitMarchenkoPastur(new Float64Array(Math.min(rows, columns)), { rows, columns }).isConclusive;
    for (const [rows, columns] of [
      [4096, 4096],
      [4096, 14336],
      [512, 512],
      [256, 1024],
      [64, 8192],
    ] as const)
      expect(isConclusive(rows, columns), `${rows} × ${columns}`).toBe(true);
    for (const [rows, columns] of [
      [256, 256],
      [96, 384],
      [4, 4096],
      [1, 1],
    ] as const)
      expect(isConclusive(rows, columns), `${rows} × ${columns}`).toBe(false);
  });

  it("refuses a part of the values", () => {
    expect(() => fitMarchenkoPastur([1, 2], { rows: 3, columns: 3 })).toThrow(RangeError);
    expect(() => fitMarchenkoPastur([], { rows: 0, columns: 3 })).toThrow(RangeError);
  });
});
