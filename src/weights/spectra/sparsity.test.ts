import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  combineSparsity,
  createSparsityCounter,
  type SparsityCounts,
  shareOf,
  tolerances,
} from "./sparsity.ts";

type Pair = readonly [number, number];

const count = (before: Float32Array, after: Float32Array): SparsityCounts => {
  const counter = createSparsityCounter();
  counter.add(before, after);
  return counter.read();
};
const countPairs = (pairs: readonly Pair[]): SparsityCounts =>
  count(
    Float32Array.from(pairs, ([before]) => before),
    Float32Array.from(pairs, ([, after]) => after),
  );

/** The nearest number of 8 significant bits and 8 of exponent, ties to even; zeros are +0. */
function toBf16(value: number): number {
  const size = Math.abs(value);
  const exponent = Math.max(-126, Math.floor(Math.log2(size)));
  const step = 2 ** (exponent - 7);
  const numSteps = size / step;
  const below = Math.floor(numSteps);
  const isUp = numSteps - below > 0.5 || (numSteps - below === 0.5 && below % 2 === 1);
  const rounded = (below + Number(isUp)) * step;
  return Math.sign(value) * (rounded >= 2 ** 128 ? Infinity : rounded) || 0;
}

/** The counts by their definitions, one scalar at a time. */
function countByDefinition(pairs: readonly Pair[]): SparsityCounts {
  const countOf = (holds: (before: number, after: number) => boolean): number =>
    pairs.filter(([before, after]) => holds(before, after)).length;
  const within = (tolerance: number): number => countOf((w, v) => Math.abs(v - w) <= tolerance);
  return {
    numElements: pairs.length,
    bitwise: countOf((w, v) => w === v),
    byTolerance: {
      "1e-8": within(1e-8),
      "1e-7": within(1e-7),
      "1e-6": within(1e-6),
      "1e-5": within(1e-5),
      "1e-4": within(1e-4),
    },
    relative: countOf((w, v) => Math.abs(v - w) <= 1e-3 * Math.max(Math.abs(w), Math.abs(v))),
    bitwiseInBf16: countOf((w, v) => toBf16(w) === toBf16(v)),
  };
}

const single = fc.float({ noNaN: true, noDefaultInfinity: true });
const weight = fc.float({ noNaN: true, min: -1, max: 1 });
const nudge = fc.integer({ min: -2, max: 2 }).map((step) => 1 + step * 2 ** -24);
/** Numbers at and beside the point half-way between two bf16 numbers, where rounding turns. */
const halfWay = fc
  .tuple(fc.integer({ min: 0x3f00, max: 0x3f03 }), fc.constantFrom(0, 0x7fff, 0x8000, 0x8001))
  .map(([upper, lower]) => new Float32Array(Uint32Array.of((upper << 16) | lower).buffer)[0]!);
/** Pairs of every closeness: equal, any two numbers, a small step apart, and close to where a count turns. */
const pair: fc.Arbitrary<Pair> = fc.oneof(
  weight.map((value): Pair => [value, value]),
  fc.tuple(single, single),
  fc
    .tuple(weight, fc.double({ noNaN: true, min: -9, max: -2 }), fc.constantFrom(-1, 1))
    .map(([value, size, sign]): Pair => [value, Math.fround(value + sign * 10 ** size)]),
  fc
    .tuple(fc.constantFrom(...tolerances), nudge)
    .map(([name, factor]): Pair => [0, Math.fround(Number(name) * factor)]),
  fc.tuple(weight, nudge, fc.boolean()).map(([value, factor, isRising]): Pair => {
    const smaller = Math.fround(value * (1 - 1e-3 * factor));
    return isRising ? [smaller, value] : [value, smaller];
  }),
  fc.tuple(halfWay, halfWay),
);
const pairs = fc.array(pair, { maxLength: 60 });

describe("createSparsityCounter()", () => {
  // [w as bf16, the next bf16 number, within 1e-5]: shared/spec/related-systems.md, A1.
  it.each([
    [0.001, 0.00099945068359375, 0.001007080078125, true],
    [0.0019, 0.00189971923828125, 0.0019073486328125, true],
    [0.002, 0.0019989013671875, 0.00201416015625, false],
    [0.01, 0.010009765625, 0.01007080078125, false],
    [1.0, 1.0, 1.0078125, false],
  ])("sees the step from %s to the next bf16 number as its gap says", (value, before, after, isWithin) => {
    expect(toBf16(value)).toBe(before);
    const { byTolerance, ...counts } = countPairs([[before, after]]);
    expect(counts).toEqual({ numElements: 1, bitwise: 0, relative: 0, bitwiseInBf16: 0 });
    expect(byTolerance["1e-5"]).toBe(isWithin ? 1 : 0);
    expect(byTolerance["1e-6"]).toBe(0);
  });

  it("counts by the definitions", () => {
    fc.assert(
      fc.property(pairs, (list) => {
        expect(countPairs(list)).toEqual(countByDefinition(list));
      }),
      { numRuns: 1000 },
    );
  });

  it("counts bf16 numbers by the definitions", () => {
    fc.assert(
      fc.property(pairs, (list) => {
        const rounded = list.map(([before, after]): Pair => [toBf16(before), toBf16(after)]);
        fc.pre(rounded.flat().every(Number.isFinite));
        const counts = countPairs(rounded);
        expect(counts).toEqual(countByDefinition(rounded));
        expect([counts.relative, counts.bitwiseInBf16]).toEqual([counts.bitwise, counts.bitwise]);
      }),
    );
  });

  it("counts the same in any chunks, at any address, beyond one block", () => {
    const cuts = fc.array(fc.nat({ max: 5000 }), { maxLength: 6 });
    fc.assert(
      fc.property(pairs, cuts, fc.nat({ max: 3 }), (list, places, shift) => {
        fc.pre(list.length > 0);
        const repeated = Array.from({ length: 5000 }, (_, index) => list[(index * 7) % list.length]!);
        const before = Float32Array.from([...new Array(shift).fill(0), ...repeated.map(([w]) => w)]);
        const after = Float32Array.from(repeated, ([, v]) => v);
        const counter = createSparsityCounter();
        const edges = [0, ...places.sort((a, b) => a - b), 5000];
        for (const [index, end] of edges.entries()) {
          const start = edges[index - 1] ?? 0;
          counter.add(before.subarray(shift).subarray(start, end), after.subarray(start, end));
        }
        expect(counter.read()).toEqual(countByDefinition(repeated));
      }),
      { numRuns: 20 },
    );
  });

  it("sees nothing changed in a copy, nor in a zero that changes its sign", () => {
    const values = Float32Array.from({ length: 3001 }, (_, index) => Math.sin(index));
    for (const [before, after] of [
      [values, values.slice()],
      [Float32Array.of(0, -0, 0, -0, 0), Float32Array.of(-0, 0, 0, -0, -0)],
      [Float32Array.of(0, 1, -0), Float32Array.of(-0, 1, 0)],
    ] as const)
      expect(shareOf(count(before, after))).toEqual({
        bitwise: 1,
        byTolerance: { "1e-8": 1, "1e-7": 1, "1e-6": 1, "1e-5": 1, "1e-4": 1 },
        relative: 1,
        bitwiseInBf16: 1,
      });
  });

  it("sees a sign change of the smallest numbers, which bf16 drops to zeros", () => {
    const counts = countPairs([[2 ** -149, -(2 ** -149)]]);
    expect([counts.bitwise, counts.relative, counts.bitwiseInBf16]).toEqual([0, 0, 1]);
  });

  it("stays between bitwise and all, and never falls with the tolerance", () => {
    fc.assert(
      fc.property(pairs, (list) => {
        const { numElements, bitwise, byTolerance, relative, bitwiseInBf16 } = countPairs(list);
        const rising = [bitwise, ...tolerances.map((name) => byTolerance[name]), numElements];
        expect(rising).toEqual(rising.toSorted((a, b) => a - b));
        for (const value of [relative, bitwiseInBf16]) {
          expect(value).toBeGreaterThanOrEqual(bitwise);
          expect(value).toBeLessThanOrEqual(numElements);
        }
      }),
    );
  });

  it("refuses chunks of different lengths", () => {
    expect(() => count(new Float32Array(2), new Float32Array(3))).toThrow(
      new TypeError("Cannot compare 2 scalars with 3: chunks must match"),
    );
  });
});

describe("combineSparsity()", () => {
  it("weighs scalars in one share and tensors in the other", () => {
    const matrix = count(new Float32Array(8), Float32Array.of(0, 0, 0, 0, 0, 0, 1, 1));
    const norm = count(new Float32Array(2), Float32Array.of(0, 1e-5));
    const combined = combineSparsity([
      { counts: matrix },
      { counts: norm },
      { counts: count(new Float32Array(0), new Float32Array(0)) },
    ]);
    expect(combined).toMatchObject({ numTensors: 2, numElements: 10 });
    expect(combined?.weighted).toEqual({
      bitwise: 7 / 10,
      byTolerance: { "1e-8": 0.7, "1e-7": 0.7, "1e-6": 0.7, "1e-5": 0.8, "1e-4": 0.8 },
      relative: 0.7,
      bitwiseInBf16: 0.7,
    });
    expect(combined?.unweighted.bitwise).toBe((6 / 8 + 1 / 2) / 2);
    expect(combined?.unweighted.byTolerance["1e-5"]).toBe((6 / 8 + 1) / 2);
  });

  it("gives both ways the same share for tensors of one size", () => {
    const chunk = fc.array(pair, { minLength: 4, maxLength: 4 });
    fc.assert(
      fc.property(fc.array(chunk, { minLength: 1, maxLength: 5 }), (lists) => {
        const combined = combineSparsity(lists.map((list) => ({ counts: countPairs(list) })));
        expect(combined?.unweighted.bitwise).toBeCloseTo(combined!.weighted.bitwise, 12);
        expect(combined?.weighted).toEqual(shareOf(countPairs(lists.flat())));
      }),
    );
  });

  it("has no share where there is no scalar", () => {
    const none = count(new Float32Array(0), new Float32Array(0));
    expect(() => shareOf(none)).toThrow(new RangeError("Cannot take a share of a tensor: it has no scalars"));
    expect(combineSparsity([{ counts: none }])).toBeUndefined();
    expect(combineSparsity([])).toBeUndefined();
  });
});
