/** What must hold of every comparison of two matrices, whatever their shapes, spectra and updates. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { createRandom, type Random } from "../src/base/core/index.ts";
import {
  createMatrix,
  type Factors,
  factorize,
  type LinearAlgebra,
  type Matrix,
} from "../src/weights/linalg/index.ts";
import {
  compareMatrices,
  createStoredSource,
  type MatrixComparison,
  type StoredTensor,
} from "../src/weights/spectra/index.ts";
import { drawKnown, drawNoise, measureNorm, multiplyNaively, turnOver } from "./support/drawn-matrix.ts";
import { describeOnEveryBackend, describeOnLapack } from "./support/every-backend.ts";
import { factorizeStored, readStored, storeMatrix } from "./support/stored-matrix.ts";

const sides = ["left", "right"] as const;
const ranks = [1, 2, 3, 5, 8, 16, 40];
const rightAngle = Math.PI / 2;

interface Sample {
  readonly before: Matrix;
  readonly after: Matrix;
  readonly seed: number;
}

const updateKinds = ["dense", "low-rank", "zero", "huge", "unrelated"] as const;

function zip(one: Matrix, other: Matrix, combine: (a: number, b: number) => number): Matrix {
  return { ...one, values: one.values.map((value, index) => combine(value, other.values[index]!)) };
}

/** Shapes from 1 × 1 to 40 × 40, any rank, slow or fast decay. */
const samples: fc.Arbitrary<Sample> = fc
  .record({
    rows: fc.integer({ min: 1, max: 40 }),
    columns: fc.integer({ min: 1, max: 40 }),
    trueRank: fc.integer({ min: 1, max: 80 }),
    decay: fc.constantFrom(1, 0.9, 0.6),
    kind: fc.constantFrom(...updateKinds),
    logSize: fc.double({ min: -6, max: 0, noNaN: true }),
    seed: fc.nat(1_000_000),
  })
  .map(({ rows, columns, trueRank, decay, kind, logSize, seed }) => {
    const shape = { rows, columns };
    const values = Array.from({ length: Math.min(trueRank, rows, columns) }, (_, i) => 3 * decay ** i);
    const before = drawKnown(shape, values, seed).matrix;
    const size = 10 ** logSize;
    const updates: { readonly [Kind in (typeof updateKinds)[number]]: () => Matrix } = {
      dense: () => scale(drawNoise(rows, columns, seed), size / Math.sqrt(rows + columns)),
      "low-rank": () => drawKnown(shape, [size, size / 2].slice(0, Math.min(rows, columns)), seed + 1).matrix,
      zero: () => createMatrix(rows, columns),
      huge: () => scale(drawNoise(rows, columns, seed), 1e12),
      unrelated: () => zip(drawNoise(rows, columns, seed), before, (drawn, value) => drawn - value),
    };
    return { before, after: zip(before, updates[kind](), (a, b) => a + b), seed };
  });

/** Seeded, so that every run tries the same. */
function expectOfAll(check: (sample: Sample) => void, numRuns = 30): void {
  fc.assert(fc.property(samples, check), { numRuns, seed: 20_250_801 });
}

function scale(matrix: Matrix, factor: number): Matrix {
  return { ...matrix, values: matrix.values.map((value) => factor * value) };
}

/** Both matrices stored, factorized separately, and compared without the shortcut for equal bytes. */
function compare(sample: Pick<Sample, "before" | "after">, algebra: LinearAlgebra): MatrixComparison {
  const [before, after] = [storeMatrix(sample.before), storeMatrix(sample.after)];
  const factors = { before: factorizeStored(before, algebra), after: factorizeStored(after, algebra) };
  const context = { settings: { ranks }, algebra };
  return compareMatrices({ before, after, isUnchanged: false }, factors, context);
}

function compareUnchanged(tensor: StoredTensor, algebra: LinearAlgebra): MatrixComparison {
  const factors = factorizeStored(tensor, algebra);
  const context = { settings: { ranks }, algebra };
  return compareMatrices(
    { before: tensor, after: tensor, isUnchanged: true },
    { before: factors, after: factors },
    context,
  );
}

/** Every side and rank, with its angles. */
function listSubspaces(comparison: MatrixComparison) {
  const [rows, columns] = comparison.shape;
  return sides.flatMap((side) =>
    comparison.subspaces[side].map((subspace) => ({
      ...subspace,
      side,
      dimension: side === "left" ? rows : columns,
      angles: comparison.principalAngles[side][subspace.rank]!,
    })),
  );
}

const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);
const farthest = (one: readonly number[], other: readonly number[]): number =>
  one.reduce((most, value, index) => Math.max(most, Math.abs(value - other[index]!)), 0);

/** The least gap around the first `rank` values before, as a fraction of the largest; 0 for the zero matrix. */
function leastGap({ singularValues: { before } }: MatrixComparison, rank: number): number {
  const gaps = before.slice(0, rank).map((value, index) => value - (before[index + 1] ?? 0));
  return before[0] === 0 ? 0 : Math.min(...gaps) / before[0]!;
}

/** That two comparisons agree; where rounding is told to have no effect, to 1e-8. */
function expectSame(one: MatrixComparison, other: MatrixComparison): void {
  for (const time of ["before", "after"] as const)
    expect(farthest(one.singularValues[time], other.singularValues[time])).toBeLessThanOrEqual(
      one.singularValues.error[time] + other.singularValues.error[time],
    );
  for (const norm of ["frobenius", "spectral"] as const)
    expect(Math.abs(other.update[norm] - one.update[norm])).toBeLessThanOrEqual(1e-12 * one.update.frobenius);
  const others = listSubspaces(other);
  for (const [index, { angles, error, bound, ...measured }] of listSubspaces(one).entries()) {
    const { angles: otherAngles, error: otherError, ...otherMeasured } = others[index]!;
    // An estimate without a proof: equal values in small matrices exceed it threefold, rarely.
    expect(farthest(angles, otherAngles)).toBeLessThanOrEqual(4 * (error + otherError) + 1e-12);
    expect(otherMeasured.numForced).toBe(measured.numForced);
    if (error > 1e-9 || otherError > 1e-9) continue;
    expect(farthest(angles, otherAngles)).toBeLessThanOrEqual(1e-8);
    expect(otherMeasured.chordal).toBeCloseTo(measured.chordal, 8);
    expect(otherMeasured.projection).toBeCloseTo(measured.projection, 7);
    // The arcsine is steep at 1, and its domain ends there.
    expect(Math.sin(otherMeasured.bound)).toBeCloseTo(Math.sin(bound), 6);
    if (measured.chance !== undefined) expect(otherMeasured.chance).toBeCloseTo(measured.chance, 6);
  }
  for (const [index, energy] of one.update.energyByRank.entries()) {
    if (leastGap(one, energy.rank) < 1e-3) continue;
    expect(other.update.energyByRank[index]!.stretch).toBeCloseTo(energy.stretch, 8);
    expect(other.update.energyByRank[index]!.rotation).toBeCloseTo(energy.rotation, 8);
    expect(other.update.energyByRank[index]!.outside).toBeCloseTo(energy.outside, 8);
  }
}

/** Rows in another order, some with another sign. */
function reorderRows(random: Random, rows: number): (matrix: Matrix) => Matrix {
  const order = random.shuffle([...Array(rows).keys()]);
  const signs = order.map(() => random.pick([-1, 1]));
  return ({ columns, values }) => ({
    rows,
    columns,
    values: Float64Array.from(
      order.flatMap((row, place) => [...take(values, row, columns)].map((v) => signs[place]! * v)),
    ),
  });
}

const take = (values: Float64Array, row: number, columns: number): Float64Array =>
  values.subarray(row * columns, (row + 1) * columns);

/** Reflections of rows in fours, x − v (v · x) / 2 with v of ±1: orthogonal, and without rounding for short numbers. */
function rotateRows(random: Random, rows: number): (matrix: Matrix) => Matrix {
  const turns = Array.from({ length: 3 }, () => random.shuffle([...Array(rows).keys()])).flatMap((order) =>
    Array.from({ length: Math.floor(rows / 4) }, (_, index) =>
      order.slice(4 * index, 4 * index + 4).map((row) => [row, random.pick([-1, 1])] as const),
    ),
  );
  return (matrix) => {
    const rotated = createMatrix(rows, matrix.columns, matrix.values.slice());
    for (const turn of turns)
      for (let column = 0; column < matrix.columns; column++) {
        const at = (row: number): number => row * matrix.columns + column;
        const along = sumOf(turn.map(([row, sign]) => sign * rotated.values[at(row)]!)) / 2;
        for (const [row, sign] of turn) rotated.values[at(row)]! -= sign * along;
      }
    return rotated;
  };
}

/** The same change of rows, then of columns, of both matrices. */
function moveBoth(
  { before, after, seed }: Sample,
  move: (random: Random, rows: number) => (matrix: Matrix) => Matrix,
): Pick<Sample, "before" | "after"> {
  const random = createRandom(seed, "move");
  const [onRows, onColumns] = [move(random, before.rows), move(random, before.columns)];
  const apply = (matrix: Matrix): Matrix => turnOver(onColumns(turnOver(onRows(matrix))));
  return { before: apply(before), after: apply(after) };
}

/** Few bits an element, so that rotating by halves three times on either side stays exact in 32-bit floats. */
function shorten({ before, after, seed }: Sample): Sample {
  const largest = Math.max(...before.values.map(Math.abs), ...after.values.map(Math.abs));
  const unit = 2 ** (Math.ceil(Math.log2(largest)) - 11);
  const round = (matrix: Matrix): Matrix => ({
    ...matrix,
    values: matrix.values.map((value) => unit * Math.round(value / unit)),
  });
  return { before: round(before), after: round(after), seed };
}

describeOnEveryBackend("compareMatrices()", (algebra) => {
  it("finds no change at all between a tensor and itself", () => {
    expectOfAll(({ before }) => {
      const comparison = compareUnchanged(storeMatrix(before), algebra);
      expect(comparison.flags).toEqual(["unchanged"]);
      for (const { angles, alignment, meanAngle, chordal, bound, ...rest } of listSubspaces(comparison)) {
        const { largestAngle, projection, error } = rest;
        expect([...angles, meanAngle, largestAngle, chordal, projection, bound, error].some(Boolean)).toBe(
          false,
        );
        expect(alignment).toBe(1);
      }
      const { directions, update } = comparison;
      for (const numbers of [directions.left, directions.right, directions.bounds, update.singularValues])
        expect(numbers.every((value) => value === 0)).toBe(true);
      expect(directions.weighted).toEqual({ left: 0, right: 0 });
      const { frobenius, spectral, intruders } = update;
      expect([comparison.spectralShift, frobenius, spectral, intruders.count]).toEqual([0, 0, 0, 0]);
      expect(comparison.relativeChange).toEqual({ mean: 0, largest: 0 });
      expect(update.energyByRank).toEqual([]);
    });
  });

  it("finds next to none where equal bytes are compared the long way", () => {
    expectOfAll(({ before }) => {
      const comparison = compare({ before, after: before }, algebra);
      expect(comparison.flags).toEqual(["unchanged"]);
      for (const { largestAngle } of listSubspaces(comparison))
        expect(largestAngle).toBeLessThanOrEqual(1e-7);
      const { left, right } = comparison.directions;
      expect(Math.max(...left, ...right)).toBeLessThanOrEqual(1e-7);
      expect([comparison.spectralShift, comparison.update.spectral]).toEqual([0, 0]);
    });
  });

  it("does not depend on the order and the signs of rows and columns", () => {
    expectOfAll((sample) =>
      expectSame(compare(sample, algebra), compare(moveBoth(sample, reorderRows), algebra)),
    );
  });

  it("does not depend on the bases of rows and columns", () => {
    expectOfAll((drawn) => {
      const sample = shorten(drawn);
      const moved = moveBoth(sample, rotateRows);
      for (const { values } of [moved.before, moved.after]) expect(values.map(Math.fround)).toEqual(values);
      expectSame(compare(sample, algebra), compare(moved, algebra));
    });
  });

  it("rebuilds the matrix from its factors", () => {
    expectOfAll(({ after }) => {
      const tensor = storeMatrix(after);
      const { left, values, right } = factorizeStored(tensor, algebra);
      const stretched = {
        ...left,
        values: left.values.map((value, i) => value * values[i % values.length]!),
      };
      const rebuilt = multiplyNaively(stretched, turnOver(right));
      const stored = readStored(tensor);
      expect(measureNorm(zip(rebuilt, stored, (a, b) => a - b))).toBeLessThanOrEqual(
        1e-13 * measureNorm(stored),
      );
    });
  });

  it("keeps every number in its range and every angle in order", () => {
    expectOfAll((sample) => {
      const comparison = compare(sample, algebra);
      for (const { angles, rank, numForced, dimension, ...measured } of listSubspaces(comparison)) {
        expect(angles).toHaveLength(rank);
        expect(numForced).toBe(Math.min(rank, Math.max(0, 2 * rank - dimension)));
        expect(angles.every((angle, i) => angle >= (angles[i - 1] ?? 0) && angle <= rightAngle)).toBe(true);
        expect(angles.slice(0, numForced).every((angle) => angle === 0)).toBe(true);
        if (rank === dimension)
          expect([...angles, measured.bound, measured.error]).toEqual(Array(rank + 2).fill(0));
        expect(measured.largestAngle).toBe(angles.at(-1));
        expect(measured.meanAngle).toBeLessThanOrEqual(measured.largestAngle * (1 + 1e-15));
        const squares = sumOf(angles.map((angle) => Math.sin(angle) ** 2));
        expect(measured.projection).toBeCloseTo(Math.sqrt(2 * squares), 12);
        expect(measured.chordal).toBeCloseTo(Math.sqrt(squares / Math.max(1, rank - numForced)), 12);
        for (const share of [measured.chordal, measured.alignment, measured.chance ?? 0]) {
          expect(share).toBeGreaterThanOrEqual(0);
          expect(share).toBeLessThanOrEqual(1 + 1e-14);
        }
      }
      for (const side of sides)
        for (const angle of comparison.directions[side]) {
          expect(angle).toBeGreaterThanOrEqual(0);
          expect(angle).toBeLessThanOrEqual(rightAngle);
        }
    });
  });

  it("keeps within the bounds of Weyl, of Hoffman and Wielandt, and of Wedin", () => {
    expectOfAll((sample) => {
      const comparison = compare(sample, algebra);
      const { singularValues, update, directions } = comparison;
      const { before, after, error } = singularValues;
      const slack = error.before + error.after;
      expect(farthest(before, after)).toBeLessThanOrEqual(update.spectral * (1 + 1e-6) + slack);
      const shift = Math.sqrt(sumOf(before.map((value, index) => (value - after[index]!) ** 2)));
      expect(shift).toBeLessThanOrEqual(update.frobenius + slack * Math.sqrt(before.length));
      for (const { largestAngle, bound, error: rounding } of listSubspaces(comparison))
        if (rounding < 1e-9) expect(largestAngle).toBeLessThanOrEqual(bound + 1e-8);
      for (const [index, bound] of directions.bounds.entries())
        if (bound < rightAngle)
          for (const side of sides) expect(directions[side][index]).toBeLessThanOrEqual(bound + 1e-8);
    }, 60);
  });

  it("splits all of the update's energy, more of it inside at each higher rank", () => {
    expectOfAll((sample) => {
      const { energyByRank, frobenius } = compare(sample, algebra).update;
      if (frobenius > 0) expect(energyByRank.length).toBeGreaterThan(0);
      for (const [index, { stretch, rotation, outside }] of energyByRank.entries()) {
        expect(stretch + rotation + outside).toBeCloseTo(1, 12);
        expect(Math.min(stretch, rotation, outside)).toBeGreaterThanOrEqual(0);
        expect(outside).toBeLessThanOrEqual((energyByRank[index - 1]?.outside ?? 1) + 1e-15);
      }
    });
  });

  it("gives the same angles from after to before", () => {
    expectOfAll(({ before, after }) => {
      const forward = compare({ before, after }, algebra);
      const backward = compare({ before: after, after: before }, algebra);
      const backwards = listSubspaces(backward);
      for (const [index, { angles, bound, error }] of listSubspaces(forward).entries()) {
        // Neither factorization changes: whatever subspaces it found, they are the same.
        expect(farthest(angles, backwards[index]!.angles)).toBeLessThanOrEqual(1e-12);
        expect(backwards[index]!.error).toBeCloseTo(error, 12);
        expect(backwards[index]!.bound).toBeCloseTo(bound, 6);
      }
      for (const side of sides)
        expect(farthest(forward.directions[side], backward.directions[side])).toBeLessThanOrEqual(1e-12);
    });
  });

  it("swaps left and right with rows and columns", () => {
    expectOfAll(({ before, after }) => {
      const plain = compare({ before, after }, algebra);
      const turned = compare({ before: turnOver(before), after: turnOver(after) }, algebra);
      const { principalAngles: angles, subspaces } = turned;
      const principalAngles = { left: angles.right, right: angles.left };
      const swapped = { left: subspaces.right, right: subspaces.left };
      expectSame(plain, { ...turned, shape: plain.shape, principalAngles, subspaces: swapped });
    });
  });

  it("counts no fewer scalars as unchanged under a wider tolerance", () => {
    expectOfAll((sample) => {
      const { bitwise, byTolerance, relative, bitwiseInBf16 } = compare(sample, algebra).sparsity;
      const names = ["1e-8", "1e-7", "1e-6", "1e-5", "1e-4"] as const;
      const shares = [bitwise, ...names.map((name) => byTolerance[name])];
      expect(shares).toEqual([...shares].sort((a, b) => a - b));
      expect(Math.min(relative, bitwiseInBf16)).toBeGreaterThanOrEqual(bitwise);
      expect(Math.max(...shares, relative, bitwiseInBf16)).toBeLessThanOrEqual(1);
    });
  });

  it("calls a subspace undetermined exactly where two values at its cut are equal", () => {
    const { flags, subspaces } = compareDiagonal(1e-2, algebra);
    expect(flags).toEqual(["undetermined"]);
    expect(subspaces.left.map(({ error }) => error === rightAngle)).toEqual([false, true, false, false]);
  });

  it("tells updates that are too small for bf16 from those that are larger than the weights", () => {
    expect(compareDiagonal(1e-4, algebra).flags).toEqual(["below-rounding", "undetermined"]);
    expect(compareDiagonal(2, algebra).flags).toEqual(["replaced", "undetermined"]);
    expect(compareDiagonal(0, algebra).flags).toEqual(["unchanged"]);
  });
});

/** 6 × 4 with the values 4, 2, 2 and 1, and noise of that size added. */
function compareDiagonal(size: number, algebra: LinearAlgebra): MatrixComparison {
  const before = createMatrix(6, 4);
  for (const [index, value] of [4, 2, 2, 1].entries()) before.values[5 * index] = value;
  return compare({ before, after: zip(before, drawNoise(6, 4, 1), (a, b) => a + size * b) }, algebra);
}

describeOnLapack("compareMatrices() of large matrices", (algebra) => {
  it("says that noise replaced noise", () => {
    const draw = (seed: number): StoredTensor => storeMatrix(drawNoise(1024, 1024, seed));
    const [before, after] = [draw(1), draw(2)];
    const request = { numVectors: 16, tolerance: 1e-6 };
    const factorizeLeading = (tensor: StoredTensor): Factors =>
      factorize(createStoredSource(tensor), request, algebra);
    const { flags } = compareMatrices(
      { before, after, isUnchanged: false },
      { before: factorizeLeading(before), after: factorizeLeading(after) },
      { settings: { ranks: [8] }, algebra },
    );
    expect(flags).toEqual(["random-before", "random-after", "replaced"]);
  });
});
