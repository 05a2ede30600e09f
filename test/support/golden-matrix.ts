/**
 * The pairs of weight matrices of `test/golden/spectra`, built from their specs to the last bit as
 * `tools/golden/make-spectra-golden.py` builds them: integer hashes, then single additions, products, divisions and square roots in
 * the same order. Also what the golden files say of them, as types.
 */
import { readFileSync } from "node:fs";

/** A matrix in C order: element (i, j) is `values[i * columns + j]`. */
export interface GoldenMatrix {
  readonly rows: number;
  readonly columns: number;
  readonly values: Float64Array;
}

/** Singular values with how often each occurs, descending. */
type Blocks = readonly (readonly [value: number, count: number])[];
/** Two columns of singular vectors and the tangent of half the angle by which they are turned. */
type Plane = readonly [first: number, second: number, halfAngleTangent: number];
/** A new value of one element. */
type Entry = readonly [row: number, column: number, value: number];

/** Which noise of a seed: keeps a replacement apart (0 by default). */
interface Stream {
  readonly stream?: number;
}

/** How `before` is made. */
export type GoldenBase =
  | ({ readonly kind: "gaussian"; readonly scale: number } & Stream)
  | ({ readonly kind: "power-law"; readonly power: 0.5 | 1 | 1.5 } & Stream)
  | ({ readonly kind: "rank-deficient"; readonly rank: number; readonly scale: number } & Stream)
  | { readonly kind: "hadamard"; readonly blocks: Blocks }
  | { readonly kind: "diagonal"; readonly blocks: Blocks; readonly stride: number };

/** How far an update goes: Frobenius norm relative to `before`, or absolute; with neither, as it is drawn. */
interface Extent {
  readonly size?: number;
  readonly norm?: number;
}

/** How `after` is made of `before`. A rotation is of a Hadamard base. */
export type GoldenUpdate =
  | { readonly kind: "none" }
  | ({ readonly kind: "gaussian" } & Extent)
  | ({ readonly kind: "low-rank"; readonly rank: number; readonly scale?: number } & Extent)
  | { readonly kind: "rotation"; readonly side: "left" | "right" | "both"; readonly planes: readonly Plane[] }
  | { readonly kind: "sign-flip" }
  | { readonly kind: "row-permutation"; readonly stride: number }
  | { readonly kind: "keep-columns"; readonly count: number }
  | { readonly kind: "entries"; readonly entries: readonly Entry[] }
  | { readonly kind: "replace"; readonly by: GoldenBase };

/** What a pair is made from. */
export interface GoldenSpec {
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
  readonly seed: number;
  readonly base: GoldenBase;
  readonly update: GoldenUpdate;
  /** The k for which subspaces were asked for; ill-determined ones have no entry. */
  readonly ranks: readonly number[];
}

/** One for each matrix of a pair. */
interface Pair<Value> {
  readonly before: Value;
  readonly after: Value;
}

/** One for each side of a matrix: left singular vectors and right ones. */
interface Sides<Value> {
  readonly left: Value;
  readonly right: Value;
}

/** What is said of one matrix; a missing key is a rank or a fit that the last digits could turn. */
export interface GoldenSummary {
  readonly frobenius: number;
  readonly spectral: number;
  readonly stableRank: number;
  readonly entropyRank: number;
  readonly energyRanks: { readonly [Share in "percent90" | "percent95" | "percent99"]?: number };
  readonly numericalRank?: number;
  /** A fit to the largest λ = σ²; its conventions are in the generator. */
  readonly powerLaw?: {
    readonly exponent: number;
    readonly lambdaMin: number;
    readonly numTail: number;
    readonly distance: number;
  };
}

/** Fractions of the squared Frobenius norm of the update, seen from the first k vectors of `before`. */
interface GoldenEnergy {
  readonly inside: number;
  readonly outside: number;
  /** With `rotation`, missing where single vectors are ill-determined. */
  readonly stretch?: number;
  readonly rotation?: number;
}

/** What is said of the spans of the first k singular vectors. */
export interface GoldenSubspace {
  readonly k: number;
  /** (σ_k − σ_k+1) / σ_1, with σ_k+1 = 0 where k is the last: angles are known to about 1e-15 / gap. */
  readonly gap: Pair<number>;
  /** k principal angles of each side, in radians, ascending. */
  readonly angles: Sides<readonly number[]>;
  /** null for an update of zeros. */
  readonly energy: GoldenEnergy | null;
  /** Mean over i of max_j |(U_bᵀU_a)_ij|; missing where single vectors are ill-determined. */
  readonly alignment?: Sides<number>;
}

/** The first left vectors of `after` against all left vectors of `before`. */
interface GoldenIntruders {
  readonly numTested: number;
  /** Of those, how many have a largest |cosine| below 0.5. */
  readonly numIntruders: number;
  readonly largestCosines: readonly number[];
}

/** One pair of spectra.json. */
export interface GoldenCase {
  readonly spec: GoldenSpec;
  /** SHA-256, in hex, of the little-endian values, row after row. */
  readonly checksum: Pair<string>;
  readonly singularValues: Pair<readonly number[]> & { readonly update: readonly number[] };
  /** ‖σ_after − σ_before‖ / ‖σ_before‖. */
  readonly spectralShift: number;
  /** `update` is null where it is zero. */
  readonly summary: Pair<GoldenSummary> & { readonly update: GoldenSummary | null };
  readonly subspaces: readonly GoldenSubspace[];
  /** Missing where single vectors are ill-determined. */
  readonly intruders?: GoldenIntruders;
}

/** A weight in bfloat16, its next neighbor away from zero, and whether the two count as equal. */
interface GoldenSparsityVector {
  readonly weight: number;
  /** As in "0x3f80". */
  readonly bits: string;
  readonly value: number;
  readonly nextBits: string;
  readonly next: number;
  readonly difference: number;
  readonly isEqualWithinTolerance: boolean;
  readonly isEqualRelatively: boolean;
}

/** A rank-one update of that norm to a 256 × 256 matrix of noise whose largest singular value is about 2. */
interface GoldenSpike {
  readonly strength: number;
  readonly spec: GoldenSpec;
  readonly checksum: Pair<string>;
  readonly intruders: GoldenIntruders;
}

/** sparsity.json. */
export interface GoldenSparsity {
  readonly tolerance: number;
  /** The tolerance in bfloat16. */
  readonly toleranceBits: string;
  readonly toleranceValue: number;
  readonly relativeTolerance: number;
  readonly vectors: readonly GoldenSparsityVector[];
  readonly spikes: readonly GoldenSpike[];
}

/** Reads the cases of spectra.json. */
export function readGoldenSpectra(): readonly GoldenCase[] {
  return (readGolden("spectra") as { readonly cases: readonly GoldenCase[] }).cases;
}

/** Reads sparsity.json. */
export function readGoldenSparsity(): GoldenSparsity {
  return readGolden("sparsity") as GoldenSparsity;
}

function readGolden(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`../golden/spectra/${name}.json`, import.meta.url), "utf8"));
}

/** Builds both matrices of a spec; the update is after − before. */
export function buildGoldenPair(spec: GoldenSpec): Pair<GoldenMatrix> {
  const before = buildBase(spec.base, spec);
  return { before, after: buildAfter(before, spec) };
}

function create(rows: number, columns: number): GoldenMatrix {
  return { rows, columns, values: new Float64Array(rows * columns) };
}

/** Scatters the bits of a 32-bit integer. */
function mix(x: number): number {
  let mixed = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x846ca68b);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

/** Σ of four uniforms − 2 at each (i, j), exact: 20-bit integers that depend on seed, stream, i and j only. */
function drawNoise({ seed, stream }: Draw, { rows, columns }: Shape): GoldenMatrix {
  const noise = create(rows, columns);
  const starts = [0, 1, 2, 3].map((draw) => mix(seed * 256 + stream * 4 + draw));
  for (let i = 0; i < rows; i++) {
    const words = starts.map((start) => mix(start + Math.imul(i, 0x9e3779b9)));
    for (let j = 0; j < columns; j++) {
      const place = Math.imul(j, 0x85ebca6b);
      let total = 2;
      for (const word of words) total += mix(word ^ place) >>> 12;
      noise.values[i * columns + j] = total / 1048576 - 2;
    }
  }
  return noise;
}

type Draw = Required<Stream> & Pick<GoldenSpec, "seed">;
type Shape = Pick<GoldenMatrix, "rows" | "columns">;

interface OuterProducts extends Sides<GoldenMatrix> {
  readonly weights: readonly number[];
}

/** Σ_r weights[r] · left[:, r] · right[r, :], added in the order of r. */
function sumOuter({ left, right, weights }: OuterProducts): GoldenMatrix {
  const sum = create(left.rows, right.columns);
  for (const [r, weight] of weights.entries())
    for (let i = 0; i < left.rows; i++) {
      const factor = weight * left.values[i * left.columns + r]!;
      const [start, source] = [i * right.columns, r * right.columns];
      for (let j = 0; j < right.columns; j++)
        sum.values[start + j] = sum.values[start + j]! + factor * right.values[source + j]!;
    }
  return sum;
}

function multiplyNoise(draw: Draw & Pick<OuterProducts, "weights">, { rows, columns }: Shape): GoldenMatrix {
  const { seed, stream, weights } = draw;
  const rank = weights.length;
  const left = drawNoise({ seed, stream }, { rows, columns: rank });
  const right = drawNoise({ seed, stream: stream + 1 }, { rows: rank, columns });
  return sumOuter({ left, right, weights });
}

function decay(power: 0.5 | 1 | 1.5, r: number): number {
  const n = r + 1;
  return power === 0.5 ? 1 / Math.sqrt(n) : power === 1 ? 1 / n : 1 / (n * Math.sqrt(n));
}

/** The first columns of the Hadamard matrix of a power of two, each as a row: (−1)^popcount(i & r). */
function listSigns(size: number, count: number): readonly Float64Array[] {
  return Array.from({ length: count }, (_, r) =>
    Float64Array.from({ length: size }, (_, i) => (isOdd(i & r) ? -1 : 1)),
  );
}

/** Whether the number of set bits is odd. */
function isOdd(bits: number): boolean {
  let odd = false;
  for (let rest = bits; rest !== 0; rest &= rest - 1) odd = !odd;
  return odd;
}

/** Turns pairs of vectors, in place. */
function turn(vectors: readonly Float64Array[], planes: readonly Plane[]): void {
  for (const [first, second, t] of planes) {
    const [cosine, sine] = [(1 - t * t) / (1 + t * t), (2 * t) / (1 + t * t)];
    const [a, b] = [vectors[first]!, vectors[second]!];
    for (const [i, x] of a.entries()) {
      const y = b[i]!;
      a[i] = cosine * x + sine * y;
      b[i] = cosine * y - sine * x;
    }
  }
}

function expand(blocks: Blocks): readonly number[] {
  return blocks.flatMap(([value, count]) => new Array<number>(count).fill(value));
}

type Turns = Partial<Sides<readonly Plane[]>>;

function buildHadamard({ rows, columns }: Shape, blocks: Blocks, turns: Turns = {}): GoldenMatrix {
  const values = expand(blocks);
  const [left, right] = [listSigns(rows, values.length), listSigns(columns, values.length)];
  turn(left, turns.left ?? []);
  turn(right, turns.right ?? []);
  const factor = 1 / Math.sqrt(rows * columns);
  const matrix = create(rows, columns);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) {
      let sum = 0;
      for (const [r, value] of values.entries()) sum += value * left[r]![i]! * right[r]![j]!;
      matrix.values[i * columns + j] = sum * factor;
    }
  return matrix;
}

type Diagonal = Extract<GoldenBase, { kind: "diagonal" }>;

function buildDiagonal({ rows, columns }: Shape, { blocks, stride }: Diagonal): GoldenMatrix {
  const matrix = create(rows, columns);
  for (const [i, value] of expand(blocks).entries())
    matrix.values[((i * stride) % rows) * columns + i] = value;
  return matrix;
}

function buildBase(base: GoldenBase, { rows, columns, seed }: GoldenSpec): GoldenMatrix {
  const shape = { rows, columns };
  switch (base.kind) {
    case "gaussian":
      return scale(drawNoise({ seed, stream: base.stream ?? 0 }, shape), base.scale);
    case "power-law": {
      const weights = Array.from({ length: Math.min(rows, columns) }, (_, r) => decay(base.power, r));
      return multiplyNoise({ seed, stream: base.stream ?? 0, weights }, shape);
    }
    case "rank-deficient": {
      const weights = new Array<number>(base.rank).fill(base.scale);
      return multiplyNoise({ seed, stream: base.stream ?? 0, weights }, shape);
    }
    case "hadamard":
      return buildHadamard(shape, base.blocks);
    case "diagonal":
      return buildDiagonal(shape, base);
  }
}

function scale(matrix: GoldenMatrix, factor: number): GoldenMatrix {
  return { ...matrix, values: matrix.values.map((value) => value * factor) };
}

function measureFrobenius({ values }: GoldenMatrix): number {
  let sum = 0;
  for (const value of values) sum += value * value;
  return Math.sqrt(sum);
}

function addScaled(before: GoldenMatrix, change: GoldenMatrix, { size, norm }: Extent): GoldenMatrix {
  let factor = 1;
  if (size !== undefined) factor = (size * measureFrobenius(before)) / measureFrobenius(change);
  else if (norm !== undefined) factor = norm / measureFrobenius(change);
  const values = before.values.map((value, index) => value + factor * change.values[index]!);
  return { ...before, values };
}

function buildAfter(before: GoldenMatrix, spec: GoldenSpec): GoldenMatrix {
  const { update, seed } = spec;
  switch (update.kind) {
    case "none":
      return replaceEntries(before, []);
    case "gaussian":
      return addScaled(before, drawNoise({ seed, stream: 8 }, before), update);
    case "low-rank": {
      const weights = new Array<number>(update.rank).fill(update.scale ?? 1);
      return addScaled(before, multiplyNoise({ seed, stream: 8, weights }, before), update);
    }
    case "rotation":
      return rotate(spec, update);
    case "sign-flip":
      return { ...before, values: before.values.map((value) => -value) };
    case "row-permutation":
      return mapElements(before, (i, j) => ({ i: (i * update.stride + 1) % before.rows, j }));
    case "keep-columns":
      return mapElements(before, (i, j) => (j < update.count ? { i, j } : undefined));
    case "entries":
      return replaceEntries(before, update.entries);
    case "replace":
      return buildBase(update.by, spec);
  }
}

type Rotation = Extract<GoldenUpdate, { kind: "rotation" }>;

function rotate(spec: GoldenSpec, { side, planes }: Rotation): GoldenMatrix {
  if (spec.base.kind !== "hadamard") throw new TypeError(`Cannot rotate the base of ${spec.name}`);
  const [left, right] = [side === "right" ? [] : planes, side === "left" ? [] : planes];
  return buildHadamard(spec, spec.base.blocks, { left, right });
}

/** The matrix whose element (i, j) is the one at `place(i, j)`, or 0. */
function mapElements(
  { rows, columns, values }: GoldenMatrix,
  place: (i: number, j: number) => { readonly i: number; readonly j: number } | undefined,
): GoldenMatrix {
  const mapped = create(rows, columns);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const source = place(row, column);
      mapped.values[row * columns + column] = source ? values[source.i * columns + source.j]! : 0;
    }
  return mapped;
}

function replaceEntries(before: GoldenMatrix, entries: readonly Entry[]): GoldenMatrix {
  const values = before.values.slice();
  for (const [row, column, value] of entries) values[row * before.columns + column] = value;
  return { ...before, values };
}
