/** The tasks of spectra: tensors read, factorized and compared. What a worker does, with everything it keeps open. */

import { resolve } from "node:path";
import { setting } from "../../base/core/index.ts";
import type { Machine } from "../../base/machine/index.ts";
import type { TaskHandler } from "../../base/threads/index.ts";
import {
  type Checkpoint,
  CheckpointError,
  isFloatDtype,
  numBytesOf,
  openCheckpoint,
  type ReadableBytes,
  takeRange,
} from "../../weights/checkpoint/index.ts";
import {
  addProducts,
  createMatrix,
  type Factors,
  factorize,
  factorizeRandomly,
  type LinearAlgebra,
  type ThinProduct,
} from "../../weights/linalg/index.ts";
import {
  type Change,
  type Comparison,
  compareMatrices,
  compareVectors,
  countElements,
  createStoredSource,
  findNonFinite,
  fingerprint,
  type SpectraSettings,
  type StoredTensor,
  type TensorPair,
  tolerances,
} from "../../weights/spectra/index.ts";
import { type CachedRequest, type FactorCache, openFactorCache } from "../cache/index.ts";
import { type BackendChoice, openBackend } from "../machine/index.ts";
import { countVectors, isReadWhole } from "./work.ts";

/** A tensor of a checkpoint folder, or a part of one. */
export interface TensorLocation {
  readonly folder: string;
  readonly name: string;
  /** Absent where it is all of the tensor in its own shape. */
  readonly part?: TensorRange;
}

/** Elements that follow each other in a tensor, and the shape that they are read in. */
export interface TensorRange {
  readonly start: number;
  readonly shape: readonly number[];
}

/** Tells tensors apart by folder, however it is written, name and part. */
export const keyOf = ({ folder, name, part }: TensorLocation): string =>
  `${resolve(folder)}\n${name}${part === undefined ? "" : `\n${part.start} ${part.shape.join("x")}`}`;

/** A tensor whose content is known by its fingerprint. */
export interface KnownTensor extends TensorLocation {
  readonly fingerprint: string;
  /** The axes' sizes. */
  readonly shape: readonly number[];
}

/** Something to do for spectra. */
export type SpectraTask =
  | { readonly kind: "fingerprint"; readonly tensor: TensorLocation }
  | { readonly kind: "factorize"; readonly tensor: KnownTensor; readonly request: CachedRequest }
  | ComparisonTask;

/** Two tensors to compare, of the same shape. */
export interface ComparisonTask extends Change<KnownTensor> {
  readonly kind: "compare";
  readonly settings: SpectraSettings;
  /** Whether adapters of one base make the difference as a thin product. */
  readonly isProduct: boolean;
}

/** What came of a task. */
export interface SpectraAnswer {
  /** Of a tensor that was read for it. */
  readonly fingerprint?: string;
  /** Of a tensor that was read for its fingerprint: the first of its values that is NaN, infinite or beyond 32-bit floats. */
  readonly nonFinite?: number;
  /** Of two tensors. */
  readonly comparison?: Comparison;
  /** Cache entries that turned out to be damaged and were made again. */
  readonly damaged: readonly string[];
}

/** What tasks know of the machine: where the cache is, and which LAPACK to use. */
export type SpectraMachine = Pick<Machine, "cacheFolder"> & BackendChoice;

/**
 * A handler of tasks. The checkpoints that it opens stay open, for the tasks to come: `onOpen` hears of each, where somebody is
 * to close them before the thread ends. Throws `CheckpointError` where a tensor cannot be read.
 */
export function createSpectraHandler(
  { cacheFolder, ...backendChoice }: SpectraMachine,
  onOpen: (checkpoint: Checkpoint) => void = () => undefined,
): TaskHandler<SpectraTask, SpectraAnswer> {
  const checkpoints = new Map<string, Promise<Checkpoint>>();
  let algebra: Promise<LinearAlgebra> | undefined;
  const openFirst = async (folder: string): Promise<Checkpoint> => {
    const checkpoint = await openCheckpoint(folder);
    onOpen(checkpoint);
    return checkpoint;
  };
  const open = (folder: string): Promise<Checkpoint> => {
    const opened = checkpoints.get(folder) ?? openFirst(folder);
    checkpoints.set(folder, opened);
    return opened;
  };
  const read = async (place: TensorLocation): Promise<StoredTensor> =>
    await readStored(await open(place.folder), place);
  return async (task, { numThreads }) => {
    const damaged: string[] = [];
    algebra ??= openBackend(backendChoice);
    const backend = await algebra;
    const tools: Tools = {
      open,
      read,
      cache: openFactorCache(cacheFolder, {
        backend: backend.name,
        onDamage: (path) => damaged.push(path),
      }),
      algebra: backend,
    };
    tools.algebra.useThreads(numThreads);
    return { ...(await perform(task, tools)), damaged };
  };
}

interface Tools {
  readonly open: (folder: string) => Promise<Checkpoint>;
  readonly read: (place: TensorLocation) => Promise<StoredTensor>;
  readonly cache: FactorCache;
  readonly algebra: LinearAlgebra;
}

async function perform(task: SpectraTask, tools: Tools): Promise<Omit<SpectraAnswer, "damaged">> {
  switch (task.kind) {
    case "fingerprint":
      return await identify(task.tensor, tools);
    case "factorize":
      await obtainFactors(task.tensor, task.request, tools);
      return {};
    case "compare":
      return { comparison: await compare(task, tools) };
  }
}

/** The bytes of a part of a tensor whose elements take `width` bytes. */
function takePart(bytes: ReadableBytes, { start, shape }: TensorRange, width: number): ReadableBytes {
  return takeRange(bytes, { start: start * width, end: (start + countElements(shape)) * width });
}

async function readStored(checkpoint: Checkpoint, { name, part }: TensorLocation): Promise<StoredTensor> {
  const whole = checkpoint.openBytes(name);
  const { dtype, ...tensor } = checkpoint.tensors.get(name) ?? { dtype: "U8" as const, shape: [] };
  const shape = part?.shape ?? tensor.shape;
  const stored = part === undefined ? whole : takePart(whole, part, numBytesOf(dtype, 1));
  const readWhole = async (): Promise<Uint8Array> =>
    part === undefined ? await checkpoint.readBytes(name) : stored.subarray(0, stored.length);
  const bytes = isReadWhole(shape, stored.length) ? await readWhole() : stored;
  if (isFloatDtype(dtype)) return { dtype, shape, bytes };
  throw new CheckpointError(`${dtype} numbers are not floats; leave the tensor out`, {
    path: checkpoint.folder,
    tensor: name,
  });
}

async function identify(
  place: TensorLocation,
  { read }: Tools,
): Promise<Pick<SpectraAnswer, "fingerprint" | "nonFinite">> {
  const tensor = await read(place);
  if (countElements(tensor.shape) === 0)
    throw new CheckpointError(`it has no elements; leave it out with ${setting("matrices")}`, {
      path: place.folder,
      tensor: place.name,
    });
  const nonFinite = findNonFinite(tensor);
  return { fingerprint: fingerprint(tensor), ...(nonFinite !== undefined && { nonFinite }) };
}

/** after − before as a product of thin matrices, of a tensor of adapters that are added exactly to one base. */
function findProduct({ before, after }: Change<Checkpoint>, name: string): ThinProduct | undefined {
  const [removed, added] = [before, after].map((one) => readUpdate(one, name));
  if (removed === undefined || added === undefined) return added ?? (removed && negate(removed));
  return addProducts(added, negate(removed));
}

/** What an adapter adds to a tensor; `undefined` where it adds nothing. */
function readUpdate({ adapter, tensors }: Checkpoint, name: string): ThinProduct | undefined {
  const update = adapter?.updates.get(name);
  const [rows = 0, columns = 0] = tensors.get(name)?.shape ?? [];
  if (update === undefined) return undefined;
  const { left, right, rank } = update;
  return { left: createMatrix(rows, rank, left), right: createMatrix(rank, columns, right) };
}

const negate = ({ left, right }: ThinProduct): ThinProduct => ({
  left: createMatrix(
    left.rows,
    left.columns,
    left.values.map((value) => -value),
  ),
  right,
});

/** Which factors a comparison of matrices of that shape needs. */
export function requestFactors(shape: readonly number[], settings: SpectraSettings): CachedRequest {
  const { randomizedSeed } = settings;
  return {
    numVectors: countVectors(shape, settings),
    ...(randomizedSeed !== undefined && { randomizedSeed }),
  };
}

/** Factors from the cache; computed and kept where they are not there. */
async function obtainFactors(
  place: KnownTensor,
  request: CachedRequest,
  { read, cache, algebra }: Tools,
): Promise<Factors> {
  const { numVectors, randomizedSeed } = request;
  const cached = await cache.readFactors(place.fingerprint, request);
  if (cached !== undefined) return cached;
  const source = createStoredSource(await read(place));
  const factors =
    randomizedSeed === undefined
      ? factorize(source, { numVectors, tolerance: tolerances.weight }, algebra)
      : factorizeRandomly(source, { numVectors, seed: randomizedSeed }, algebra);
  await cache.writeFactors(place.fingerprint, request, factors);
  return factors;
}

async function compare(
  { before, after, settings, isProduct }: ComparisonTask,
  tools: Tools,
): Promise<Comparison> {
  const { open, read, cache, algebra } = tools;
  const key = { before: before.fingerprint, after: after.fingerprint, settings, isProduct };
  const isUnchanged = key.before === key.after;
  const obtain = (tensor: KnownTensor): Promise<Factors> =>
    obtainFactors(tensor, requestFactors(tensor.shape, settings), tools);
  const readPair = async (): Promise<TensorPair> => {
    const first = await read(before);
    if (isUnchanged) return { before: first, after: first, isUnchanged };
    const opened = { before: await open(before.folder), after: await open(after.folder) };
    const product = isProduct ? findProduct(opened, after.name) : undefined;
    return { before: first, after: await read(after), isUnchanged, ...(product && { product }) };
  };
  if (before.shape.length !== 2) {
    const comparison = compareVectors(await readPair());
    await cache.writeComparison(key, comparison);
    return comparison;
  }
  const first = await obtain(before);
  const factors = { before: first, after: isUnchanged ? first : await obtain(after) };
  const comparison = compareMatrices(await readPair(), factors, { settings, algebra });
  await cache.writeComparison(key, comparison);
  return comparison;
}
