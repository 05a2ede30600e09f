/**
 * Untwist's side of the spectra benchmark, and the matrices that both sides read. bench/spectra.ts starts it as a
 * process of its own, so that its peak memory is its own: measure-spectra.ts describe|make|measure '{…}'.
 */
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { createRandom, type Random } from "../src/base/core/index.ts";
import {
  createDenseSource,
  createDifference,
  createMatrix,
  type Factors,
  factorize,
  type LinearAlgebra,
  type Matrix,
  openLinearAlgebra,
  pairBases,
  principalAngles,
} from "../src/weights/linalg/index.ts";
import {
  compareMatrices,
  createStoredSource,
  type StoredTensor,
  tolerances,
} from "../src/weights/spectra/index.ts";

/** What is measured, and where the matrices lie. */
export interface MeasureRequest {
  readonly folder: string;
  readonly rows: number;
  readonly columns: number;
  /** Vectors on each side, and the rank of the subspaces that are compared. */
  readonly rank: number;
  readonly numThreads: number;
  /** "none" for the LAPACK that ships; absent for the usual one. */
  readonly lapack?: string;
  /** Leaves out the second checkpoint of a trail. */
  readonly isShort?: boolean;
}

/** What came of it. */
export interface Measured {
  /** By the name of the stage. */
  readonly seconds: Readonly<Record<string, number>>;
  readonly methods: Readonly<Record<string, string>>;
  /** Peak resident memory up to the angles, and up to the end; kilobytes. */
  readonly peak: number;
  readonly peakAtEnd: number;
  readonly backend: string;
}

/** The base matrix, one with an update, and one with a second update on top. */
const names = ["before", "after", "later"] as const;
type Name = (typeof names)[number];

/** Standard deviation of the base's noise; ‖update‖ / ‖base‖ in the Frobenius norm; directions of its heavy half. */
const [noiseSize, updateSize, updateRank] = [0.02, 1e-2, 16];
const seed = 1;
const blockRows = 256;

/** Leading values over the edge of the noise, and how they fall: index to that power. */
const [headroom, decay] = [10, -0.6];

/** Values of variance 1: evenly spread ones give the spectra of normal ones, and are drawn faster. */
function fill(values: Float64Array, random: Random): Float64Array {
  for (let index = 0; index < values.length; index++)
    values[index] = Math.sqrt(12) * (random.uniform() - 0.5);
  return values;
}

const draw = (rows: number, columns: number, random: Random): Matrix =>
  createMatrix(rows, columns, fill(new Float64Array(rows * columns), random));

/** Low rank plus noise, in blocks of rows. */
interface Mixture {
  readonly left: Matrix;
  readonly right: Matrix;
  readonly noise: number;
  readonly random: Random;
}

function takeBlock({ left, right, noise, random }: Mixture, start: number, algebra: LinearAlgebra): Matrix {
  const end = Math.min(start + blockRows, left.rows);
  const part = createMatrix(
    end - start,
    left.columns,
    left.values.subarray(start * left.columns, end * left.columns),
  );
  const block = algebra.multiply(part, right, { right: true });
  for (let index = 0; index < block.values.length; index++)
    block.values[index]! += noise * Math.sqrt(12) * (random.uniform() - 0.5);
  return block;
}

/** The base: a spectrum that falls by a power law into the bulk of the noise, as those of trained weights do. */
function createBase({ rows, columns }: MeasureRequest): {
  readonly mixture: Mixture;
  readonly norm: number;
} {
  const random = createRandom(seed, "base", rows, columns);
  const rank = Math.max(1, Math.floor(Math.min(rows, columns) / 8));
  const edge = noiseSize * (Math.sqrt(rows) + Math.sqrt(columns));
  const values = Float64Array.from({ length: rank }, (_, index) => headroom * edge * (index + 1) ** decay);
  const [left, right] = [draw(rows, rank, random), draw(columns, rank, random)];
  for (const index of left.values.keys())
    left.values[index]! *= values[index % rank]! / Math.sqrt(rows * columns);
  const squares = values.reduce((sum, value) => sum + value ** 2, noiseSize ** 2 * rows * columns);
  return { mixture: { left, right, noise: noiseSize, random }, norm: Math.sqrt(squares) };
}

/** An update of that norm: half of its energy in a few directions, half noise. */
function createUpdate({ rows, columns }: MeasureRequest, name: string, norm: number): Mixture {
  const random = createRandom(seed, name, rows, columns);
  const noise = norm / Math.sqrt(2 * rows * columns);
  const [left, right] = [draw(rows, updateRank, random), draw(columns, updateRank, random)];
  for (const index of left.values.keys()) left.values[index]! *= noise / Math.sqrt(updateRank);
  return { left, right, noise, random };
}

/** The nearest bf16 numbers, as bit patterns. */
function roundToHalves(values: Float64Array): Uint16Array {
  const bits = new Uint32Array(new Float32Array(values).buffer);
  return Uint16Array.from(bits, (single) => (single + 0x7fff + ((single >>> 16) & 1)) >>> 16);
}

function widen(halves: Uint16Array): Float64Array {
  return new Float64Array(new Float32Array(Uint32Array.from(halves, (half) => half << 16).buffer));
}

/** Writes the three matrices as bf16, row after row; each follows from the stored values of the one before it. */
function makeMatrices(request: MeasureRequest, algebra: LinearAlgebra): void {
  const { mixture, norm } = createBase(request);
  const parts = [
    mixture,
    ...names.slice(1).map((name) => createUpdate(request, name, updateSize * norm)),
  ] as const;
  const files = names.map((name) => openSync(pathOf(request, name), "w"));
  for (let start = 0; start < request.rows; start += blockRows) {
    let known: Float64Array | undefined;
    for (const [index, part] of parts.entries()) {
      const block = takeBlock(part, start, algebra).values;
      if (known !== undefined) for (const at of block.keys()) block[at]! += known[at]!;
      const halves = roundToHalves(block);
      writeSync(files[index]!, new Uint8Array(halves.buffer));
      known = widen(halves);
    }
  }
  for (const file of files) closeSync(file);
}

const pathOf = ({ folder }: MeasureRequest, name: Name): string => join(folder, `${name}.bf16`);

function readTensor(request: MeasureRequest, name: Name): StoredTensor {
  return {
    dtype: "BF16",
    shape: [request.rows, request.columns],
    bytes: readFileSync(pathOf(request, name)),
  };
}

/** Compiles the hot paths and starts the library's threads. */
function warmUp(algebra: LinearAlgebra): void {
  const source = createDenseSource(draw(600, 600, createRandom(seed, "warm")));
  const { left } = factorize(source, { numVectors: 32, tolerance: 1e-4 }, algebra);
  principalAngles(pairBases(left, left, algebra), 32, algebra);
}

function measure(request: MeasureRequest, algebra: LinearAlgebra): Omit<Measured, "backend"> {
  const { rank, isShort = false } = request;
  const seconds: Record<string, number> = {};
  const time = <Value>(stage: string, work: () => Value): Value => {
    const start = performance.now();
    const value = work();
    seconds[stage] = (performance.now() - start) / 1000;
    return value;
  };
  const factorizeTensor = (tensor: StoredTensor): Factors =>
    factorize(createStoredSource(tensor), { numVectors: rank, tolerance: tolerances.weight }, algebra);
  const [first, second] = [readTensor(request, "before"), readTensor(request, "after")];
  warmUp(algebra);
  const before = time("before", () => factorizeTensor(first));
  const after = time("after", () => factorizeTensor(second));
  const update = time("update", () => {
    const difference = createDifference(createStoredSource(first), createStoredSource(second));
    return factorize(difference, { numVectors: 0, tolerance: tolerances.update }, algebra);
  });
  const angles = time("angles", () =>
    (["left", "right"] as const).map((side) =>
      principalAngles(pairBases(before[side], after[side], algebra), rank, algebra),
    ),
  );
  const peak = process.resourceUsage().maxRSS;
  const compare = (tensor: StoredTensor, factors: Factors): unknown =>
    compareMatrices(
      { before: first, after: tensor, isUnchanged: false },
      { before, after: factors },
      { settings: { ranks: [rank] }, algebra },
    );
  if (!isShort) {
    time("compare", () => compare(second, after));
    const third = readTensor(request, "later");
    const later = time("later", () => factorizeTensor(third));
    time("compareLater", () => compare(third, later));
  }
  writeResults(request, {
    before: before.values,
    after: after.values,
    update: update.values,
    left: angles[0]!,
    right: angles[1]!,
  });
  const methods = { before: before.method, after: after.method, update: update.method };
  return { seconds, methods, peak, peakAtEnd: process.resourceUsage().maxRSS };
}

function writeResults(
  { folder, lapack }: MeasureRequest,
  results: Readonly<Record<string, Float64Array>>,
): void {
  const place = join(folder, lapack === "none" ? "portable" : "untwist");
  mkdirSync(place, { recursive: true });
  for (const [name, { buffer, byteOffset, byteLength }] of Object.entries(results))
    writeFileSync(join(place, `${name}.f64`), new Uint8Array(buffer, byteOffset, byteLength));
}

const [task, json = "{}"] = process.argv.slice(2);
const request: MeasureRequest = JSON.parse(json);
const algebra = await openLinearAlgebra(request.lapack ?? process.env.UNTWIST_LAPACK);
algebra.useThreads(request.numThreads);
const backend = `${algebra.name}: ${algebra.description}`;
if (task === "make") makeMatrices(request, algebra);
console.log(JSON.stringify({ ...(task === "measure" && measure(request, algebra)), backend }));
