/** Factors, angles, energies and ranks against NumPy and SciPy in 64-bit floats, on every backend of this machine. */
import { describe, expect, it } from "vitest";
import {
  createDenseSource,
  createDifference,
  type Factors,
  factorize,
  type LinearAlgebra,
  openLinearAlgebra,
  sumOfSquares,
} from "../src/weights/linalg/index.ts";
import {
  energyRank,
  entropyRank,
  fitPowerLaw,
  numericalRank,
  spectralShift,
  stableRank,
} from "../src/weights/spectra/spectrum.ts";
import { compareSubspaces, type FactorPair, pairVectors, sides } from "../src/weights/spectra/subspace.ts";
import { countIntruders, projectUpdate, splitEnergy } from "../src/weights/spectra/update.ts";
import {
  buildGoldenPair,
  type GoldenCase,
  type GoldenSummary,
  readGoldenSparsity,
  readGoldenSpectra,
} from "./support/golden-matrix.ts";

const cases = readGoldenSpectra();
const portable = await openLinearAlgebra("none");
const found = await openLinearAlgebra();
const backends: readonly (readonly [string, LinearAlgebra | undefined])[] = [
  ["portable", portable],
  ["lapack", found.name === "lapack" ? found : undefined],
];
const isRequired = process.env.UNTWIST_REQUIRE_SYSTEM_PACKAGES === "1";
const doubleEpsilon = Number.EPSILON;

/** Largest distance between lists of the same length. */
function distance(actual: ArrayLike<number>, expected: readonly number[]): number {
  expect(actual.length).toBe(expected.length);
  return expected.reduce((largest, value, index) => Math.max(largest, Math.abs(actual[index]! - value)), 0);
}

function expectSummary(
  values: Float64Array,
  expected: GoldenSummary,
  shape: { rows: number; columns: number },
): void {
  const squares = sumOfSquares(values);
  const close = (actual: number | undefined, wanted: number): void =>
    expect(Math.abs(actual! / wanted - 1)).toBeLessThan(1e-9);
  close(Math.sqrt(squares), expected.frobenius);
  close(values[0], expected.spectral);
  close(stableRank(squares, values[0]!), expected.stableRank);
  close(entropyRank(values), expected.entropyRank);
  for (const percent of [90, 95, 99] as const) {
    const wanted = expected.energyRanks[`percent${percent}`];
    if (wanted !== undefined) expect(energyRank(values, percent / 100)).toBe(wanted);
  }
  if (expected.numericalRank !== undefined)
    expect(numericalRank(values, { ...shape, epsilon: doubleEpsilon }).rank).toBe(expected.numericalRank);
  if (expected.powerLaw !== undefined) {
    const law = fitPowerLaw(values)!;
    close(law.exponent, expected.powerLaw.exponent);
    close(law.start, expected.powerLaw.lambdaMin);
    expect(law.numTail).toBe(expected.powerLaw.numTail);
    expect(law.distance).toBeCloseTo(expected.powerLaw.distance, 9);
  }
}

function expectSubspaces(golden: GoldenCase, pair: FactorPair, algebra: LinearAlgebra): void {
  const overlaps = pairVectors(pair, algebra);
  for (const { k: rank, angles, alignment } of golden.subspaces)
    for (const side of sides) {
      const compared = compareSubspaces(pair, { bases: overlaps[side], rank }, algebra);
      expect(distance(compared.angles, angles[side]), `${side} angles at ${rank}`).toBeLessThan(1e-9);
      expect(compared.error).toBeLessThan(1e-6);
      expect(compared.largestAngle).toBeLessThanOrEqual(compared.bound + 1e-9);
      if (alignment !== undefined) expect(compared.alignment).toBeCloseTo(alignment[side], 10);
    }
}

function expectEnergies(
  golden: GoldenCase,
  projected: ReturnType<typeof projectUpdate>,
  squares: number,
): void {
  const ranks = golden.subspaces.map(({ k }) => k);
  const splits = splitEnergy(projected, { ranks, squares, numElements: 1 });
  for (const [index, { energy }] of golden.subspaces.entries()) {
    if (energy === null) continue;
    const split = splits[index]!;
    expect(split.outside).toBeCloseTo(energy.outside, 9);
    expect(split.stretch + split.rotation).toBeCloseTo(energy.inside, 9);
    if (energy.stretch !== undefined) expect(split.stretch).toBeCloseTo(energy.stretch, 9);
    if (energy.rotation !== undefined) expect(split.rotation).toBeCloseTo(energy.rotation, 9);
  }
}

for (const [name, algebra = portable] of backends)
  describe.skipIf(name === "lapack" && found.name !== "lapack" && !isRequired)(
    `${name}, against SciPy`,
    () => {
      it("is the backend that it should be", () => expect(algebra.name).toBe(name));

      it.each(cases.map((golden) => [golden.spec.name, golden] as const))("%s", (_, golden) => {
        const built = buildGoldenPair(golden.spec);
        const [before, after] = [createDenseSource(built.before), createDenseSource(built.after)];
        const request = { numVectors: Number.POSITIVE_INFINITY, tolerance: 1e-10 };
        const factors = {
          before: factorize(before, request, algebra),
          after: factorize(after, request, algebra),
        };
        const update = factorize(createDifference(before, after), { ...request, numVectors: 0 }, algebra);
        const { singularValues: expected, summary } = golden;
        const check = ({ values, valueError }: Factors, wanted: readonly number[]): void => {
          expect(distance(values, wanted)).toBeLessThanOrEqual(
            1e-10 * Math.max(wanted[0]!, Number.MIN_VALUE),
          );
          expect(distance(values, wanted)).toBeLessThanOrEqual(Math.max(valueError, Number.MIN_VALUE));
        };
        check(factors.before, expected.before);
        check(factors.after, expected.after);
        check(update, expected.update);
        expect(spectralShift(factors.before.values, factors.after.values)!).toBeCloseTo(
          golden.spectralShift,
          10,
        );
        expectSummary(factors.before.values, summary.before, golden.spec);
        expectSummary(factors.after.values, summary.after, golden.spec);
        if (summary.update !== null) expectSummary(update.values, summary.update, golden.spec);
        const pair = { ...factors, spectral: update.values[0]!, isUnchanged: false };
        expectSubspaces(golden, pair, algebra);
        const projected = projectUpdate(createDifference(before, after), factors.before, algebra);
        expectEnergies(golden, projected, sumOfSquares(update.values));
        if (golden.intruders !== undefined) {
          const counted = countIntruders(pairVectors(pair, algebra).left, factors.after);
          expect(counted).toMatchObject({
            count: golden.intruders.numIntruders,
            numExamined: golden.intruders.numTested,
            numUndecided: 0,
          });
        }
      });
    },
  );

it("counts a spike as an intruder from the strength on that the paper's example says", () => {
  for (const { spec, intruders } of readGoldenSparsity().spikes) {
    const built = buildGoldenPair(spec);
    const request = { numVectors: Number.POSITIVE_INFINITY, tolerance: 1e-10 };
    const [before, after] = [built.before, built.after].map((matrix) =>
      factorize(createDenseSource(matrix), request, found),
    );
    const pair = { before: before!, after: after!, spectral: 0, isUnchanged: false };
    expect(countIntruders(pairVectors(pair, found).left, after!).count).toBe(intruders.numIntruders);
  }
});
