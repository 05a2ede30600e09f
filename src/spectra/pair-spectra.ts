/** Everything that two checkpoints say about each other, and what of it is worth saying first. */
import { quantile } from "../statistics/index.ts";
import { acceptedError, chooseHeadlineRank } from "./compare.ts";
import type { Comparison } from "./factor-cache.ts";
import type { Coverage } from "./match-tensors.ts";
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
import { type CombinedSparsity, combineSparsity } from "./sparsity.ts";

/** Two checkpoints compared. */
export interface PairSpectra {
  readonly before: string;
  readonly after: string;
  readonly coverage: Coverage;
  /** What rotated most comes first. */
  readonly matrices: readonly MatrixSpectra[];
  readonly vectors: readonly VectorSpectra[];
}

/** Sorts the compared tensors of a pair into matrices and others. */
export function collectPair(
  names: Pick<PairSpectra, "before" | "after" | "coverage">,
  compared: readonly (TensorLabel & Comparison)[],
): PairSpectra {
  const matrices = compared.filter((one): one is TensorLabel & MatrixComparison => "singularValues" in one);
  const vectors = compared.filter((one): one is TensorLabel & VectorComparison => !("singularValues" in one));
  const rotationOf = (matrix: MatrixSpectra): number => describeRotation(matrix)?.angle ?? 0;
  return { ...names, matrices: [...matrices].sort((a, b) => rotationOf(b) - rotationOf(a)), vectors };
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

/** A pair of checkpoints in a few numbers, over its matrices; angles in radians. */
export interface PairHeadline {
  readonly before: string;
  readonly after: string;
  readonly numMatrices: number;
  /** ‖Δσ‖ / ‖σ‖. */
  readonly spectralShift?: Spread;
  /** The same of a random update of equal size, where it was drawn. */
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
  readonly coverage: {
    readonly numMatched: number;
    readonly numLeftOut: number;
    readonly unmatched: Coverage["unmatched"];
  };
  /** In words. */
  readonly reading: string;
}

/** The headline of a pair. */
export function describePair(pair: PairSpectra): PairHeadline {
  const { matrices, coverage } = pair;
  const rotated = matrices.flatMap((matrix) => {
    const rotation = describeRotation(matrix);
    return rotation === undefined ? [] : [{ name: matrix.name, ...rotation }];
  });
  const sparsity = totalSparsity(pair)?.model;
  const furthest = [...rotated].sort((a, b) => (b.beyondChance ?? 0) - (a.beyondChance ?? 0));
  const numbers = {
    spectralShift: spread(matrices.map(({ spectralShift }) => spectralShift)),
    spectralShiftChance: spread(matrices.map(({ nulls }) => nulls.spectralShift)),
    relativeUpdate: spread(matrices.map(({ update }) => update.relative)),
    rotation: spread(rotated.map(({ angle }) => angle)),
    largestAngle: spread(rotated.map(({ largestAngle }) => largestAngle)),
    chance: spread(rotated.map(({ chance }) => chance)),
    beyondChance: spread(rotated.map(({ beyondChance }) => beyondChance)),
    inside: spread(matrices.map(({ update: { energy } }) => energy && energy.stretch + energy.rotation)),
    insideChance: spread(matrices.map(({ update: { energy } }) => energy?.insideChance)),
    unchanged: sparsity && {
      weighted: sparsity.weighted.bitwise,
      unweighted: sparsity.unweighted.bitwise,
    },
  };
  const headline = {
    before: pair.before,
    after: pair.after,
    numMatrices: matrices.length,
    ...dropUndefined(numbers),
    ranks: [...new Set(rotated.map(({ rank }) => rank))].sort((a, b) => a - b),
    mostRotated: furthest.slice(0, 3).map(({ name }) => name),
    flags: countFlags(matrices),
    coverage: {
      numMatched: coverage.matched.length,
      numLeftOut: coverage.numLeftOut,
      unmatched: coverage.unmatched,
    },
  };
  return { ...headline, reading: readPair(headline) };
}

function spread(values: readonly (number | undefined)[]): Spread | undefined {
  const known = values.filter((value) => value !== undefined).sort((a, b) => a - b);
  const [least, largest] = [known[0], known.at(-1)];
  if (least === undefined || largest === undefined) return undefined;
  return { least, median: quantile(known, 0.5), largest };
}

function countFlags(matrices: readonly MatrixSpectra[]): PairHeadline["flags"] {
  const counts = flags.map(
    (flag) => [flag, matrices.filter((matrix) => matrix.flags.includes(flag)).length] as const,
  );
  return Object.fromEntries(counts.filter(([, count]) => count > 0));
}

/** What a pair says in a sentence, each number beside what a random update of the same size would give. */
function readPair(headline: Omit<PairHeadline, "reading">): string {
  const { numMatrices, spectralShift, spectralShiftChance, rotation, chance, largestAngle } = headline;
  const { inside, insideChance } = headline;
  if (numMatrices === 0) return "no matrix was compared";
  if (headline.flags.unchanged === numMatrices) return "no matrix changed";
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
