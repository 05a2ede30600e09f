/** Everything that two checkpoints say about each other, and what of it is worth saying first. */

import { quantile } from "../../../base/statistics/index.ts";
import type { ConfigDifference, FloatDtype } from "../../checkpoint/index.ts";
import { acceptedError, chooseHeadlineRank } from "../compare.ts";
import type { Coverage, UnmatchedTensor } from "../match/match-tensors.ts";
import { type CombinedSparsity, combineSparsity } from "../sparsity.ts";
import type { Comparison } from "./matrix-spectra.ts";
import {
  type BothSides,
  type Flag,
  flags,
  type MatrixComparison,
  type MatrixSpectra,
  type SubspaceRecord,
  type TensorLabel,
  type VectorComparison,
  type VectorSpectra,
} from "./matrix-spectra.ts";
import { dropUndefined } from "./present.ts";

/** Two checkpoints compared. */
export interface PairSpectra {
  readonly before: string;
  readonly after: string;
  readonly coverage: Coverage;
  /** What rotated most comes first. */
  readonly matrices: readonly MatrixSpectra[];
  readonly vectors: readonly VectorSpectra[];
  /** What their folders say differently. */
  readonly config: readonly ConfigDifference[];
}

/** Sorts the compared tensors of a pair into matrices and others. */
export function collectPair(
  {
    config = [],
    ...names
  }: Pick<PairSpectra, "before" | "after" | "coverage"> & Partial<Pick<PairSpectra, "config">>,
  compared: readonly (TensorLabel & Comparison)[],
): PairSpectra {
  const matrices = compared.filter((one): one is TensorLabel & MatrixComparison => "singularValues" in one);
  const vectors = compared.filter((one): one is TensorLabel & VectorComparison => !("singularValues" in one));
  const rotationOf = (matrix: MatrixSpectra): number => describeRotation(matrix)?.angle ?? 0;
  return { ...names, matrices: [...matrices].sort((a, b) => rotationOf(b) - rotationOf(a)), vectors, config };
}

/** How far the leading subspaces of one matrix rotated, both sides together. */
export interface Rotation {
  readonly rank: number;
  /** asin of the root mean square sine of the free angles of both sides, radians. */
  readonly angle: number;
  /** The same of one side; absent where the dimension forces all of its angles to 0. */
  readonly sides: Partial<BothSides<number>>;
  /** The largest principal angle of either side. */
  readonly largestAngle: number;
  /** What a random update of the same size would do; absent where the null is not known. */
  readonly chance?: number;
  /** Ratio of the root mean square sines. */
  readonly beyondChance?: number;
}

/**
 * The rotation at the largest rank that leaves all angles free on both sides, or at the smallest rank asked for. A side
 * whose angles are all forced to 0, or not determined, says nothing and is left out; absent where that is both.
 */
export function describeRotation({
  shape: [rows, columns],
  subspaces,
}: MatrixComparison): Rotation | undefined {
  const ranks = subspaces.left.map((subspace) => subspace.rank);
  const rank = chooseHeadlineRank(ranks, { rows, columns });
  const find = (side: readonly SubspaceRecord[]): SubspaceRecord | undefined =>
    side.find((one) => one.rank === rank && one.numForced < one.rank && one.error <= acceptedError);
  const [left, right] = [find(subspaces.left), find(subspaces.right)];
  const free = [left, right].filter((subspace) => subspace !== undefined);
  if (rank === undefined || free.length === 0) return undefined;
  const sine = meanSine(free.map(({ chordal }) => chordal));
  const chances = free.map(({ chance }) => chance).filter((chance) => chance !== undefined);
  const chance = chances.length < free.length ? undefined : meanSine(chances);
  return {
    rank,
    angle: Math.asin(sine),
    sides: dropUndefined({ left: angleOf(left), right: angleOf(right) }),
    largestAngle: Math.max(...free.map(({ largestAngle }) => largestAngle)),
    ...(chance !== undefined && { chance: Math.asin(chance) }),
    ...(chance !== undefined && chance > 0 && { beyondChance: sine / chance }),
  };
}

function meanSine(sines: readonly number[]): number {
  return Math.min(1, Math.sqrt(sines.reduce((sum, sine) => sum + sine * sine, 0) / sines.length));
}

function angleOf(subspace: SubspaceRecord | undefined): number | undefined {
  return subspace && Math.asin(Math.min(1, subspace.chordal));
}

/** Sparsity of the whole model and of each layer, matrices and all other tensors together. */
export interface SparsityTotals {
  readonly model: CombinedSparsity;
  readonly layers: readonly { readonly layer: number; readonly sparsity: CombinedSparsity }[];
}

/** Adds up what stayed the same. `undefined` where nothing was compared. */
export function totalSparsity({ matrices, vectors }: PairSpectra): SparsityTotals | undefined {
  const all = [...matrices, ...vectors];
  const combine = (tensors: readonly (MatrixSpectra | VectorSpectra)[]): CombinedSparsity | undefined =>
    combineSparsity(tensors.map(({ elements }) => elements));
  const model = combine(all);
  if (model === undefined) return undefined;
  const numbers = new Set(all.map(({ layer }) => layer).filter((layer) => layer !== undefined));
  const layers = [...numbers]
    .sort((a, b) => a - b)
    .flatMap((layer) => {
      const sparsity = combine(all.filter((tensor) => tensor.layer === layer));
      return sparsity === undefined ? [] : [{ layer, sparsity }];
    });
  return { model, layers };
}

/** Least, middle and largest of several numbers. */
export interface Spread {
  readonly least: number;
  readonly median: number;
  readonly largest: number;
}

/** A pair of checkpoints in a few numbers, over its matrices that changed; angles in radians. */
export interface PairHeadline {
  readonly before: string;
  readonly after: string;
  readonly numMatrices: number;
  /** Matrices whose numbers changed by more than the rounding to another format: what all spreads are over. */
  readonly numChanged: number;
  /** ‖Δσ‖ / ‖σ‖. */
  readonly spectralShift?: Spread;
  /** The same of a random update of equal size, where it was drawn for all of them. */
  readonly spectralShiftChance?: Spread;
  /** ‖Δ‖_F / ‖before‖_F. */
  readonly relativeUpdate?: Spread;
  readonly rotation?: Spread;
  /** The largest principal angle at the same rank, of either side. */
  readonly largestAngle?: Spread;
  readonly chance?: Spread;
  readonly beyondChance?: Spread;
  /** Share of the update in the span of the leading directions on both sides, and that of a random update. */
  readonly inside?: Spread;
  readonly insideChance?: Spread;
  /** Ranks at which the rotations were taken. */
  readonly ranks: readonly number[];
  /** Matrices that rotated furthest beyond chance, first the furthest. */
  readonly mostRotated: readonly string[];
  /** Share of all scalars that are the same to the last bit; each tensor counting alike in the other. */
  readonly unchanged?: { readonly weighted: number; readonly unweighted: number };
  readonly flags: Readonly<Partial<Record<Flag, number>>>;
  readonly coverage: PairCoverage;
  /** What the folders of the two say differently. */
  readonly config: readonly ConfigDifference[];
  /** In words. */
  readonly reading: string;
}

/** How much of two models was compared. */
export interface PairCoverage {
  readonly numMatched: number;
  readonly numLeftOut: number;
  readonly unmatched: Coverage["unmatched"];
  readonly notes: Coverage["notes"];
  /** Matrices that either checkpoint holds. */
  readonly numMatrices: number;
  /** Share of all parameters that was compared. */
  readonly parameterFraction: number;
  /** Whether all was compared that was asked for. */
  readonly isComplete: boolean;
  /** Where not all of the model was compared: how much, in a sentence without its full stop. */
  readonly incomplete?: string;
}

/** Whether a matrix or other tensor changed by more than the rounding to another format. */
function isChanged({ flags }: Pick<MatrixSpectra, "flags">): boolean {
  return !flags.includes("unchanged") && !flags.includes("rounded");
}

/** The headline of a pair. */
export function describePair(pair: PairSpectra): PairHeadline {
  const { matrices, coverage } = pair;
  const changed = matrices.filter(isChanged);
  const rotated = listRotated(changed);
  const sparsity = totalSparsity(pair)?.model;
  const furthest = [...rotated].sort((a, b) => (b.beyondChance ?? 0) - (a.beyondChance ?? 0));
  const shiftChances = changed.map(({ nulls }) => nulls.spectralShift);
  const numbers = {
    spectralShift: spread(changed.map(({ spectralShift }) => spectralShift)),
    // One draw is too dear for large matrices: a median over the others would be of other matrices.
    spectralShiftChance: shiftChances.includes(undefined) ? undefined : spread(shiftChances),
    relativeUpdate: spread(changed.map(({ update }) => update.relative)),
    rotation: spread(rotated.map(({ angle }) => angle)),
    largestAngle: spread(rotated.map(({ largestAngle }) => largestAngle)),
    chance: spread(rotated.map(({ chance }) => chance)),
    beyondChance: spread(rotated.map(({ beyondChance }) => beyondChance)),
    inside: spread(changed.map(({ update: { energy } }) => energy && energy.stretch + energy.rotation)),
    insideChance: spread(changed.map(({ update: { energy } }) => energy?.insideChance)),
    unchanged: sparsity && {
      weighted: sparsity.weighted.bitwise,
      unweighted: sparsity.unweighted.bitwise,
    },
  };
  const headline = {
    before: pair.before,
    after: pair.after,
    numMatrices: matrices.length,
    numChanged: changed.length,
    ...dropUndefined(numbers),
    ranks: [...new Set(rotated.map(({ rank }) => rank))].sort((a, b) => a - b),
    mostRotated: furthest.slice(0, 3).map(({ name }) => name),
    flags: countFlags([...matrices.flatMap((matrix) => matrix.flags), ...listFlags(coverage.unmatched)]),
    coverage: describeCoverage(pair),
    config: pair.config,
  };
  return { ...headline, reading: readPair(headline, pair) };
}

/** Rotations; where chance is known for any, of those for which it is. */
function listRotated(changed: readonly MatrixSpectra[]): readonly (Rotation & { readonly name: string })[] {
  const rotated = changed.flatMap((matrix) => {
    const rotation = describeRotation(matrix);
    return rotation === undefined ? [] : [{ name: matrix.name, ...rotation }];
  });
  const known = rotated.filter(({ beyondChance }) => beyondChance !== undefined);
  return known.length === 0 ? rotated : known;
}

function listFlags(unmatched: readonly UnmatchedTensor[]): readonly Flag[] {
  return unmatched.flatMap(({ flag }) => (flag === undefined ? [] : [flag]));
}

/** How much was compared. */
function describeCoverage({ coverage, matrices, vectors }: PairSpectra): PairCoverage {
  const { matched, numLeftOut, unmatched, notes, total } = coverage;
  const numCompared = [...matrices, ...vectors].reduce(
    (sum, { elements }) => sum + elements.counts.numElements,
    0,
  );
  const parameterFraction = total.numElements === 0 ? 0 : numCompared / total.numElements;
  const counts = {
    numMatched: matched.length,
    numLeftOut,
    unmatched,
    notes,
    numMatrices: total.numMatrices,
    parameterFraction,
    isComplete: numCompared + total.numElementsLeftOut === total.numElements && total.numEmpty === 0,
  };
  if (counts.isComplete && numCompared === total.numElements) return counts;
  const parts = [
    ...(unmatched.length === 0
      ? []
      : [`${unmatched.length} ${unmatched.length === 1 ? "tensor" : "tensors"} could not be`]),
    ...(numLeftOut === 0 ? [] : [`${numLeftOut} not asked for`]),
  ];
  const why = parts.length === 0 ? "" : ` (${parts.join(", ")})`;
  const incomplete = `compared ${matrices.length} of ${total.numMatrices} matrices, ${formatPart(parameterFraction)} of the parameters${why}`;
  return { ...counts, incomplete };
}

/** A share that is less than all, so never written as 100 %. */
function formatPart(share: number): string {
  return share < 0.99 ? formatPercent(share) : `${(Math.min(0.999, share) * 100).toFixed(1)} %`;
}

function spread(values: readonly (number | undefined)[]): Spread | undefined {
  const known = values.filter((value) => value !== undefined).sort((a, b) => a - b);
  const [least, largest] = [known[0], known.at(-1)];
  if (least === undefined || largest === undefined) return undefined;
  return { least, median: quantile(known, 0.5), largest };
}

function countFlags(raised: readonly Flag[]): PairHeadline["flags"] {
  const counts = flags.map((flag) => [flag, raised.filter((one) => one === flag).length] as const);
  return Object.fromEntries(counts.filter(([, count]) => count > 0));
}

/** What a pair says in a sentence, each number beside what a random update of the same size would give. */
function readPair(headline: Omit<PairHeadline, "reading">, pair: PairSpectra): string {
  const { numMatrices, numChanged, coverage } = headline;
  if (numMatrices === 0) return "no matrix was compared";
  const where = coverage.incomplete === undefined ? "" : "of what was compared, ";
  if (numChanged === 0) return `${where}${readSame(pair)}`;
  const numbers = readChanged(headline);
  if (numChanged === numMatrices) return `${where}${numbers}`;
  return `${where}${numChanged} of ${numMatrices} matrices changed; in ${numChanged === 1 ? "it" : "these"}, ${numbers}`;
}

/** What there is to say where no matrix changed but for its format. */
function readSame({ matrices, vectors }: PairSpectra): string {
  const numOthers = vectors.filter(isChanged).length;
  const others = numOthers === 0 ? "" : `; ${numOthers} other ${numOthers === 1 ? "tensor" : "tensors"} did`;
  const rounded = [...matrices, ...vectors].filter(({ flags: raised }) => raised.includes("rounded"));
  if (rounded.length === 0) return `no matrix changed${others}`;
  const formats = [...new Set(rounded.map(({ dtype }) => coarserOf(dtype)))].join(" and ");
  return `no matrix changed but for rounding: ${numOthers === 0 ? "the checkpoints" : "the matrices"} are equal once both are in ${formats}${others}`;
}

/** Formats, the finest first. */
const byPrecision: readonly FloatDtype[] = ["F64", "F32", "F16", "BF16"];

/** Doubles are read as 32-bit floats. */
function coarserOf({ before, after }: MatrixSpectra["dtype"]): FloatDtype {
  return byPrecision.slice(1).findLast((dtype) => dtype === before || dtype === after) ?? "F32";
}

/** The numbers of what changed. */
function readChanged(headline: Omit<PairHeadline, "reading">): string {
  const { spectralShift, spectralShiftChance, rotation, chance, largestAngle } = headline;
  const { inside, insideChance } = headline;
  const parts: string[] = [];
  if (spectralShift !== undefined)
    parts.push(
      `singular values move by ${formatSpread(spectralShift, formatPercent)}${formatChance(spectralShiftChance, formatPercent)}`,
    );
  if (rotation !== undefined && largestAngle !== undefined)
    parts.push(
      `the leading ${formatRanks(headline.ranks)} directions rotate by ${formatSpread(rotation, formatDegrees)}${formatChance(chance, formatDegrees)}${formatBeyond(headline)}, single ones by up to ${formatDegrees(largestAngle.largest)}`,
    );
  if (inside !== undefined)
    parts.push(
      `${formatSpread(inside, formatPercent)} of the update lies in their span${formatChance(insideChance, formatPercent)}`,
    );
  return parts.join("; ");
}

function formatChance(chance: Spread | undefined, format: (value: number) => string): string {
  return chance === undefined ? "" : `, by chance ${formatSpread(chance, format)}`;
}

/** Rotating further than this times chance is worth a name. */
const remarkable = 2;

function formatBeyond({
  beyondChance,
  mostRotated,
}: Pick<PairHeadline, "beyondChance" | "mostRotated">): string {
  if (beyondChance === undefined) return "";
  const where =
    beyondChance.largest >= remarkable ? `, most in ${mostRotated.slice(0, 2).join(" and ")}` : "";
  return `, that is ${formatSpread(beyondChance, (value) => `${value.toPrecision(2)}×`)} chance${where}`;
}

/** The median, and the ends where they differ. */
function formatSpread({ least, median, largest }: Spread, format: (value: number) => string): string {
  return format(least) === format(largest)
    ? format(median)
    : `${format(median)} (${format(least)} to ${format(largest)})`;
}

/** `8`, `8 or 32`, `8 to 128`. */
export function formatRanks(ranks: readonly number[]): string {
  return ranks.length > 2 ? `${ranks[0]} to ${ranks.at(-1)}` : ranks.join(" or ");
}

/** A share as a percentage of two digits. */
export function formatPercent(share: number): string {
  const percent = 100 * share;
  if (percent === 0) return "0 %";
  return `${percent >= 99.5 ? percent.toLocaleString("en", { maximumFractionDigits: 0 }) : percent.toPrecision(2)} %`;
}

function formatDegrees(radians: number): string {
  const degrees = (180 / Math.PI) * radians;
  return `${degrees.toPrecision(degrees >= 10 ? 3 : 2)}°`;
}
