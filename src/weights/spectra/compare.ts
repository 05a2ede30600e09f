/** The comparison of one tensor of two checkpoints: all measures, nulls, guards and flags of it. */

import { fitMarchenkoPastur, type MarchenkoPasturFit } from "../chance/index.ts";
import {
  createDifference,
  createMatrix,
  type Factors,
  factorize,
  factorizeRandomly,
  type LinearAlgebra,
  type Matrix,
  productValues,
  type ThinProduct,
  trimFactors,
} from "../linalg/index.ts";
import { compareElements } from "./elements.ts";
import { computeNulls, drawSpectralShift } from "./nulls.ts";
import {
  type BothSides,
  type ByRank,
  type Change,
  type ElementComparison,
  type Flag,
  flags,
  type MatrixComparison,
  type SubspaceRecord,
  type UpdateRecord,
  type VectorComparison,
} from "./record/matrix-spectra.ts";
import { dropUndefined } from "./record/present.ts";
import { shareOf } from "./sparsity.ts";
import {
  energyRank,
  entropyRank,
  fitPowerLaw,
  numericalRank,
  spectralShift,
  stableRank,
} from "./spectrum.ts";
import { createStoredSource, type StoredTensor } from "./stored-tensor.ts";
import {
  compareDirections,
  compareSubspaces,
  type FactorPair,
  type Overlaps,
  pairVectors,
  type Side,
  type SubspaceComparison,
  sides,
} from "./subspace.ts";
import { countIntruders, projectProduct, projectUpdate, splitEnergy } from "./update.ts";

/** How matrices are factorized and compared. */
export interface SpectraSettings {
  /** Ranks of the subspaces to compare, ascending; larger ones than a matrix has are taken as all it has. */
  readonly ranks: readonly number[];
  /** Seed of randomized factorizations; absent for exact ones. */
  readonly randomizedSeed?: number;
}

/** A tensor in both checkpoints, and whether it is the same to the last bit. */
export interface TensorPair {
  readonly before: StoredTensor;
  readonly after: StoredTensor;
  readonly isUnchanged: boolean;
  /** The update as adapters of one base made it, free of the rounding of the stored sums; absent for any other. */
  readonly product?: ThinProduct;
}

/**
 * Largest errors of singular values, as fractions of the largest: of weights as of an SVD in 32-bit floats at its best;
 * of updates what their ranks need.
 */
export const tolerances = { weight: 1e-7, update: 1e-5 } as const;

/** The ranks that a matrix of that size can be asked for. */
export function clipRanks(
  ranks: readonly number[],
  { rows, columns }: Pick<Factors, "rows" | "columns">,
): readonly number[] {
  return [...new Set(ranks.map((rank) => Math.min(rank, rows, columns)))].sort((a, b) => a - b);
}

/** Compares a tensor of any number of axes by its elements. */
export function compareVectors({ before, after, isUnchanged }: TensorPair): VectorComparison {
  const elements = compareElements(before, after);
  return {
    shape: before.shape,
    dtype: { before: before.dtype, after: after.dtype },
    update: sizeUpdate(elements),
    sparsity: shareOf(elements.counts),
    elements,
    flags: findSame(elements, { before, after, isUnchanged }) ?? [],
  };
}

/** The flag of a tensor that did not change but for its format; `undefined` for one that did. */
function findSame(
  { updateSquares, isRounded }: ElementComparison,
  { before, after, isUnchanged }: TensorPair,
): readonly Flag[] | undefined {
  if (isUnchanged) return ["unchanged"];
  // Equal numbers may be stored in different formats; doubles are read as 32-bit floats.
  if (updateSquares === 0) return [before.dtype === "F64" || after.dtype === "F64" ? "rounded" : "unchanged"];
  return isRounded ? ["rounded"] : undefined;
}

/** The rank to speak of first: the largest that leaves all angles of both sides free, or else the smallest. */
export function chooseHeadlineRank(
  ranks: readonly number[],
  { rows, columns }: Pick<Factors, "rows" | "columns">,
): number | undefined {
  return ranks.findLast((rank) => 2 * rank <= Math.min(rows, columns)) ?? ranks[0];
}

/** What comparing needs besides the tensors. */
export interface ComparisonContext {
  readonly settings: SpectraSettings;
  readonly algebra: LinearAlgebra;
}

/** Compares a matrix, given the factors of both sides with vectors up to the largest rank at least. */
export function compareMatrices(
  tensors: TensorPair,
  given: Change<Factors>,
  context: ComparisonContext,
): MatrixComparison {
  const factors = alignFactors(given);
  const { before, after, isUnchanged } = tensors;
  const { rows, columns } = factors.before;
  const ranks = clipRanks(context.settings.ranks, factors.before);
  const counted = compareElements(before, after);
  // What an adapter adds, however little, is not rounding.
  const elements = tensors.product === undefined ? counted : { ...counted, isRounded: false };
  const update = examineUpdate(tensors, factors.before, context);
  const pair: FactorPair = { ...factors, spectral: update.values[0] ?? 0, isUnchanged };
  const overlaps = pairVectors(pair, context.algebra);
  const nulls = {
    ...computeNulls({ before: factors.before, elements, ranks }),
    ...dropUndefined({ spectralShift: drawShift(before, factors.before, { elements, context }) }),
  };
  const compared = bothSides((side) =>
    ranks.map((rank) => compareSubspaces(pair, { bases: overlaps[side], rank }, context.algebra)),
  );
  const comparison = {
    shape: [rows, columns] as const,
    dtype: { before: before.dtype, after: after.dtype },
    ...describeValues(factors, elements),
    principalAngles: bothSides((side) =>
      Object.fromEntries(compared[side].map(({ rank, angles }) => [String(rank), [...angles]])),
    ),
    subspaces: bothSides((side) => compared[side].map((one) => toRecord(one, nulls.randomUpdate?.[side]))),
    directions: describeDirections(pair, overlaps),
    update: {
      ...describeUpdate(update.values, { factors: factors.before, elements }),
      ...describeEnergy(update.projected, { ranks, factors: factors.before, elements }),
      intruders: countIntruders(overlaps.left, factors.after),
    },
    sparsity: shareOf(elements.counts),
    elements,
    nulls,
    randomness: mapChange(factors, detectRandomness),
  };
  return { ...comparison, flags: raiseFlags(comparison, tensors) };
}

/** Where the update's energy lies, by rank, and at the rank to speak of first. */
function describeEnergy(
  projected: Matrix,
  {
    ranks,
    factors,
    elements,
  }: { readonly ranks: readonly number[]; readonly factors: Factors; readonly elements: ElementComparison },
): Pick<UpdateRecord, "energy" | "energyByRank"> {
  const energyByRank = splitEnergy(projected, {
    ranks,
    squares: elements.updateSquares,
    numElements: factors.rows * factors.columns,
  });
  const headlineRank = chooseHeadlineRank(ranks, factors);
  const energy = energyByRank.find(({ rank }) => rank === headlineRank);
  return { ...(energy !== undefined && { energy }), energyByRank };
}

/** Both factorizations with the same number of vectors. */
function alignFactors({ before, after }: Change<Factors>): Change<Factors> {
  const numVectors = Math.min(before.left.columns, after.left.columns);
  return { before: trimFactors(before, numVectors), after: trimFactors(after, numVectors) };
}

/** Null (a) of the singular values. */
function drawShift(
  tensor: StoredTensor,
  before: Factors,
  { elements, context }: { readonly elements: ElementComparison; readonly context: ComparisonContext },
): number | undefined {
  const frobenius = Math.sqrt(elements.updateSquares);
  return drawSpectralShift({ before, source: createStoredSource(tensor), frobenius }, context.algebra);
}

/** Singular values of the update, and the update in the basis before. */
function examineUpdate(
  { before, after, isUnchanged, product }: TensorPair,
  factors: Factors,
  { settings: { randomizedSeed }, algebra }: ComparisonContext,
): { readonly values: Float64Array; readonly projected: Matrix } {
  const numVectors = factors.left.columns;
  if (isUnchanged)
    return { values: factors.values.map(() => 0), projected: createMatrix(numVectors, numVectors) };
  if (product !== undefined && 2 * product.left.columns <= Math.min(factors.rows, factors.columns))
    return { values: productValues(product, algebra), projected: projectProduct(product, factors, algebra) };
  const difference = createDifference(createStoredSource(before), createStoredSource(after));
  const { values } =
    randomizedSeed === undefined
      ? factorize(difference, { numVectors: 0, tolerance: tolerances.update }, algebra)
      : factorizeRandomly(difference, { numVectors, seed: randomizedSeed }, algebra);
  return { values, projected: projectUpdate(difference, factors, algebra) };
}

function describeValues(
  factors: Change<Factors>,
  { squares }: ElementComparison,
): Pick<
  MatrixComparison,
  "singularValues" | "spectralShift" | "relativeChange" | "stableRank" | "entropyRank" | "powerLaw"
> {
  const { before, after } = factors;
  const shift = spectralShift(before.values, after.values);
  const relativeChange = describeRelativeChange(factors);
  const ofExact = <Value>(measure: (values: Float64Array) => Value | undefined): Partial<Change<Value>> =>
    mapChange(factors, ({ values, method }) => (method === "randomized" ? undefined : measure(values)));
  return {
    singularValues: {
      before: [...before.values],
      after: [...after.values],
      method: { before: before.method, after: after.method },
      error: { before: before.valueError, after: after.valueError },
    },
    ...(shift !== undefined && { spectralShift: shift }),
    ...(relativeChange !== undefined && { relativeChange }),
    stableRank: dropUndefined({
      before: stableRank(squares.before, before.values[0] ?? 0),
      after: stableRank(squares.after, after.values[0] ?? 0),
    }),
    entropyRank: ofExact(entropyRank),
    powerLaw: ofExact(fitPowerLaw),
  };
}

/** |Δσ| / σ over the values that are more than rounding. */
function describeRelativeChange({ before, after }: Change<Factors>): MatrixComparison["relativeChange"] {
  const { rank } = numericalRank(before.values, before);
  if (rank === 0) return undefined;
  let [sum, largest] = [0, 0];
  for (const [index, value] of before.values.subarray(0, rank).entries()) {
    const change = Math.abs((after.values[index] ?? 0) - value) / value;
    sum += change;
    largest = Math.max(largest, change);
  }
  return { mean: sum / rank, largest };
}

function describeDirections(pair: FactorPair, overlaps: Overlaps): MatrixComparison["directions"] {
  const { angles, bounds, weighted } = compareDirections(pair, overlaps);
  return { left: [...angles.left], right: [...angles.right], bounds: [...bounds], weighted };
}

function sizeUpdate({
  squares,
  updateSquares,
}: ElementComparison): Pick<UpdateRecord, "frobenius" | "relative"> {
  const frobenius = Math.sqrt(updateSquares);
  return { frobenius, ...(squares.before > 0 && { relative: frobenius / Math.sqrt(squares.before) }) };
}

function describeUpdate(
  values: Float64Array,
  { factors, elements }: { readonly factors: Factors; readonly elements: ElementComparison },
): Omit<UpdateRecord, "energyByRank" | "intruders"> {
  const [spectral = 0] = values;
  return {
    ...sizeUpdate(elements),
    spectral,
    singularValues: [...values],
    ...dropUndefined({ stableRank: stableRank(elements.updateSquares, spectral) }),
    ...(factors.method !== "randomized" && {
      ...dropUndefined({ entropyRank: entropyRank(values) }),
      energyRanks: {
        "90": energyRank(values, 0.9),
        "95": energyRank(values, 0.95),
        "99": energyRank(values, 0.99),
      },
      numericalRank: numericalRank(values, factors),
    }),
  };
}

/** A subspace without its angles, beside what a random update would give. */
function toRecord(
  { angles: _, ...measures }: SubspaceComparison,
  chances: ByRank<number> | undefined,
): SubspaceRecord {
  const chance = chances?.[String(measures.rank)];
  if (chance === undefined) return measures;
  return { ...measures, chance, ...(chance > 0 && { beyondChance: measures.chordal / chance }) };
}

function detectRandomness({ values, rows, columns, method }: Factors): MarchenkoPasturFit | undefined {
  if (method === "randomized" || (values[0] ?? 0) === 0) return undefined;
  return fitMarchenkoPastur(values, { rows, columns });
}

/** Subspaces that rounding may have turned by more are undetermined, radians. */
export const acceptedError = 0.01;

/** Sums of squares that differ by less, relatively, differ by their order only. */
const roundingOfSums = 1e-9;

function raiseFlags(
  {
    subspaces,
    update,
    elements,
    randomness,
  }: Pick<MatrixComparison, "subspaces" | "update" | "elements" | "randomness">,
  tensors: TensorPair,
): readonly Flag[] {
  const { frobenius } = update;
  const same = findSame(elements, tensors);
  if (same !== undefined) return same;
  const raised: Readonly<Partial<Record<Flag, boolean | undefined>>> = {
    "random-before": randomness.before?.looksRandom,
    "random-after": randomness.after?.looksRandom,
    // Weights that were doubled are as large as their update, in whatever order they are added up.
    replaced: frobenius ** 2 > elements.squares.before * (1 + roundingOfSums),
    "below-rounding": frobenius ** 2 < elements.roundingSquares,
    undetermined: sides.some((side) => subspaces[side].some(({ error }) => error > acceptedError)),
  };
  return flags.filter((flag) => raised[flag] === true);
}

function bothSides<Value>(compute: (side: Side) => Value): BothSides<Value> {
  return { left: compute("left"), right: compute("right") };
}

/** The measure of both, without those that are undefined. */
function mapChange<Value, Result>(
  { before, after }: Change<Value>,
  measure: (value: Value) => Result | undefined,
): Partial<Change<Result>> {
  return dropUndefined({ before: measure(before), after: measure(after) });
}
