/**
 * Pairs of checkpoints compared, tensor by tensor: every tensor is read once for its fingerprint, every different
 * matrix factorized once, every different pair of tensors compared once. What the cache holds is not done again, so
 * stopped work continues where it was.
 */
import { UsageError } from "../../base/core/index.ts";
import type { Effects } from "../../base/progress/index.ts";
import { compareConfigs, numBytesOf } from "../../weights/checkpoint/index.ts";
import type { LinearAlgebra } from "../../weights/linalg/index.ts";
import {
  type Comparison,
  collectPair,
  countElements,
  type Flag,
  type MatchedTensor,
  type PairSpectra,
  type SpectraSettings,
  type TensorLabel,
  type TensorSource,
  type UnmatchedTensor,
} from "../../weights/spectra/index.ts";
import { type ComparisonKey, openFactorCache } from "../cache/index.ts";
import {
  countVectors,
  createSpectraPool,
  createSpectraRunner,
  isReadWhole,
  type KnownTensor,
  keyOf,
  type MachineShare,
  type PlannedSpectraTask,
  planComparison,
  planFactors,
  planFingerprint,
  requestFactors,
  type SpectraRunner,
  type SpectraWorkers,
  type TensorLocation,
} from "../factor/index.ts";
import { openBackend } from "../machine/index.ts";
import { type MatchedPair, type PairRequest, requirePairs } from "./spectra-pairs.ts";

/** Which checkpoints to compare, and how. */
export interface SpectraRequest extends PairRequest {
  readonly settings: SpectraSettings;
  /** What is known of the tensors already: their fingerprints by `keyOf`, and whose factors are in the cache. */
  readonly known?: KnownFingerprints | undefined;
  /** What of the machine may be used. Default: all cores, and 1 GiB. */
  readonly share?: MachineShare | undefined;
}

/** Fingerprints of all tensors, and the backend that factorized them. */
export interface KnownFingerprints {
  readonly fingerprints: ReadonlyMap<string, string>;
  /** The first value that is not finite, of tensors that hold such values: they are not compared. */
  readonly nonFinite: ReadonlyMap<string, number>;
  readonly backend: LinearAlgebra["name"];
}

/** Compares all pairs, in their order. Throws `UsageError`, `CheckpointError` or `StoppedError`. */
export async function computeSpectra(
  request: SpectraRequest,
  effects: Effects,
  workers: SpectraWorkers = createSpectraPool(effects.machine, request.share),
): Promise<readonly PairSpectra[]> {
  try {
    const pairs = await requirePairs(request);
    const compared = await compareMatched(pairs, { ...request, effects, workers });
    const assembled: PairSpectra[] = [];
    // One after the other: tokenizers are large.
    for (const pair of pairs) assembled.push(await assemble(pair, compared));
    return assembled;
  } finally {
    await workers.close();
  }
}

/** Everything about matched pairs that takes long: what is not in the cache is there afterwards. */
export async function compareMatched(
  pairs: readonly MatchedPair[],
  {
    effects,
    workers,
    ...request
  }: SpectraRequest & { readonly effects: Effects; readonly workers: SpectraWorkers },
): Promise<KnownFingerprints & { readonly comparisons: ReadonlyMap<string, Comparison> }> {
  const { known, settings } = request;
  const backend = known?.backend ?? (await openBackend(effects.machine)).name;
  const runner = createSpectraRunner({ ...request, work: "spectra" }, effects, workers);
  const read = known ?? (await readFingerprints(pairs, settings, runner));
  const comparisons = await compareAll(
    listComparisons(pairs, read),
    { ...request, cacheFolder: effects.machine.cacheFolder, backend },
    runner,
  );
  const { fingerprints, nonFinite } = read;
  return { fingerprints, nonFinite, backend, comparisons };
}

/** A matched tensor in both places. */
interface TensorPlaces {
  readonly before: TensorLocation;
  readonly after: TensorLocation;
}

function locate({ before, after }: MatchedPair, { source, shape, isPart }: MatchedTensor): TensorPlaces {
  const place = (folder: string, { name, start }: TensorSource): TensorLocation => ({
    folder,
    name,
    ...(isPart && { part: { start, shape } }),
  });
  return { before: place(before.folder, source.before), after: place(after.folder, source.after) };
}

/** The fingerprint of every tensor that is compared, by its place. */
async function readFingerprints(
  pairs: readonly MatchedPair[],
  settings: SpectraSettings,
  runner: SpectraRunner,
): Promise<Pick<KnownFingerprints, "fingerprints" | "nonFinite">> {
  const tasks = new Map<string, PlannedSpectraTask>();
  for (const pair of pairs)
    for (const tensor of pair.coverage.matched) {
      const places = locate(pair, tensor);
      for (const side of ["before", "after"] as const) {
        const work = planFingerprint(tensor.shape, countBytes(tensor, side));
        tasks.set(keyOf(places[side]), { task: { kind: "fingerprint", tensor: places[side] }, ...work });
      }
    }
  const fingerprints = new Map<string, string>();
  const nonFinite = new Map<string, number>();
  runner.expect(sumCosts([...tasks.values()]) + estimateRest(pairs, { settings, numPlaces: tasks.size }));
  await runner.run([...tasks.values()], (task, { fingerprint, nonFinite: position }) => {
    if (task.kind !== "fingerprint" || fingerprint === undefined) return;
    fingerprints.set(keyOf(task.tensor), fingerprint);
    if (position !== undefined) nonFinite.set(keyOf(task.tensor), position);
  });
  return { fingerprints, nonFinite };
}

/** The cost of what follows the fingerprints if nothing is cached and no two tensors are alike. */
function estimateRest(
  pairs: readonly MatchedPair[],
  { settings, numPlaces }: { readonly settings: SpectraSettings; readonly numPlaces: number },
): number {
  const matched = pairs.flatMap(({ coverage }) => coverage.matched);
  // Pairs share checkpoints: a tensor is in several, and factorized once.
  const shareFactorized = numPlaces / Math.max(1, matched.length);
  return matched.reduce((sum, tensor) => {
    const { shape } = tensor;
    const size = { numBytes: 0, numVectors: countVectors(shape, settings) };
    const factors = shape.length === 2 ? shareFactorized * planFactors(shape, size).cost : 0;
    return sum + factors + planComparison(shape, size).cost;
  }, 0);
}

/** Bytes of one side of a matched tensor as stored. */
export function countBytes({ shape, dtype }: MatchedTensor, side: "before" | "after"): number {
  return numBytesOf(dtype[side], countElements(shape));
}

function sumCosts(tasks: readonly PlannedSpectraTask[]): number {
  return tasks.reduce((sum, { cost }) => sum + cost, 0);
}

/** What is known of a tensor's bytes. Throws `UsageError` where nothing is: two unknown tensors must not count as the same. */
function requireFingerprint(fingerprints: ReadonlyMap<string, string>, place: TensorLocation): string {
  const fingerprint = fingerprints.get(keyOf(place));
  if (fingerprint !== undefined && fingerprint !== "") return fingerprint;
  throw new UsageError(
    `Cannot compare tensor "${place.name}" of "${place.folder}": its bytes were not read with the others, as those of a checkpoint that was changed meanwhile; start the comparison again`,
  );
}

/** Two tensors that are to be compared, by their content. */
interface WantedComparison {
  readonly before: KnownTensor;
  readonly after: KnownTensor;
  readonly numBytes: number;
  readonly isProduct: boolean;
}

const comparisonKey = ({ before, after, isProduct }: Omit<ComparisonKey, "settings">): string =>
  `${before} ${after} ${isProduct}`;

const keyFingerprints = ({
  before,
  after,
  isProduct,
}: Pick<WantedComparison, "before" | "after" | "isProduct">): Omit<ComparisonKey, "settings"> => ({
  before: before.fingerprint,
  after: after.fingerprint,
  isProduct,
});

/** Every different pair of tensors once, without those that hold values that are not finite. */
function listComparisons(
  pairs: readonly MatchedPair[],
  { fingerprints, nonFinite }: Pick<KnownFingerprints, "fingerprints" | "nonFinite">,
): readonly WantedComparison[] {
  const wanted = new Map<string, WantedComparison>();
  for (const pair of pairs)
    for (const tensor of pair.coverage.matched) {
      const places = locate(pair, tensor);
      if (nonFinite.has(keyOf(places.before)) || nonFinite.has(keyOf(places.after))) continue;
      const know = (place: TensorLocation): KnownTensor => ({
        ...place,
        shape: tensor.shape,
        fingerprint: requireFingerprint(fingerprints, place),
      });
      const [before, after] = [know(places.before), know(places.after)];
      const sizes = [countBytes(tensor, "before"), countBytes(tensor, "after")];
      // Of sides in different formats, one may be read whole and the larger one not.
      const numBytes = Math.max(0, ...sizes.filter((size) => isReadWhole(tensor.shape, size)));
      const one = { before, after, numBytes, isProduct: pair.isProduct(tensor) };
      wanted.set(comparisonKey(keyFingerprints(one)), one);
    }
  return [...wanted.values()];
}

/** All comparisons by the fingerprints of their tensors: from the cache, or factorized and compared now. */
async function compareAll(
  wanted: readonly WantedComparison[],
  {
    settings,
    cacheFolder,
    backend,
  }: Pick<SpectraRequest, "settings"> & {
    readonly cacheFolder: string;
    readonly backend: LinearAlgebra["name"];
  },
  runner: SpectraRunner,
): Promise<ReadonlyMap<string, Comparison>> {
  const onDamage = (path: string): void => runner.notice(`Damaged cache entry made again: ${path}`);
  const cache = openFactorCache(cacheFolder, { backend, onDamage });
  const comparisons = new Map<string, Comparison>();
  const missing: WantedComparison[] = [];
  for (const one of wanted) {
    const key: ComparisonKey = { ...keyFingerprints(one), settings };
    const known = await cache.readComparison(key);
    if (known === undefined) missing.push(one);
    else comparisons.set(comparisonKey(key), known);
  }
  const factorizations = await planFactorizations(missing, settings, (tensor, numVectors) =>
    cache.hasFactors(tensor.fingerprint, { ...settings, numVectors }),
  );
  const tasks = missing.map((one) => planOne(one, settings));
  runner.expect(sumCosts(factorizations) + sumCosts(tasks));
  await runner.run(factorizations, () => undefined);
  await runner.run(tasks, (task, { comparison }) => {
    if (task.kind !== "compare" || comparison === undefined) return;
    comparisons.set(comparisonKey(keyFingerprints(task)), comparison);
  });
  return comparisons;
}

/** Every different matrix that is not in the cache, once. */
async function planFactorizations(
  missing: readonly WantedComparison[],
  settings: SpectraSettings,
  isKnown: (tensor: KnownTensor, numVectors: number) => Promise<boolean>,
): Promise<readonly PlannedSpectraTask[]> {
  const planned = new Map<string, PlannedSpectraTask>();
  for (const { before, after, numBytes } of missing)
    for (const tensor of [before, after]) {
      if (tensor.shape.length !== 2 || planned.has(tensor.fingerprint)) continue;
      const numVectors = countVectors(tensor.shape, settings);
      if (await isKnown(tensor, numVectors)) continue;
      const work = planFactors(tensor.shape, { numBytes, numVectors });
      planned.set(tensor.fingerprint, {
        task: { kind: "factorize", tensor, request: requestFactors(tensor.shape, settings) },
        ...work,
      });
    }
  return [...planned.values()];
}

function planOne(
  { before, after, numBytes, isProduct }: WantedComparison,
  settings: SpectraSettings,
): PlannedSpectraTask {
  const numVectors = countVectors(before.shape, settings);
  const work = planComparison(before.shape, { numBytes, numVectors });
  return { task: { kind: "compare", before, after, settings, isProduct }, ...work };
}

async function assemble(
  pair: MatchedPair,
  {
    fingerprints,
    nonFinite,
    comparisons,
  }: Pick<KnownFingerprints, "fingerprints" | "nonFinite"> & {
    readonly comparisons: ReadonlyMap<string, Comparison>;
  },
): Promise<PairSpectra> {
  const compared: (TensorLabel & Comparison)[] = [];
  const unmatched: UnmatchedTensor[] = [...pair.coverage.unmatched];
  const matched: MatchedTensor[] = [];
  for (const tensor of pair.coverage.matched) {
    const places = locate(pair, tensor);
    const reason = describeNonFinite(places, nonFinite);
    if (reason !== undefined) {
      unmatched.push({ name: tensor.name, reason, flag: "not-finite" });
      continue;
    }
    matched.push(tensor);
    const before = requireFingerprint(fingerprints, places.before);
    const after = requireFingerprint(fingerprints, places.after);
    const comparison = comparisons.get(comparisonKey({ before, after, isProduct: pair.isProduct(tensor) }));
    if (comparison === undefined)
      throw new RangeError(`Cannot put tensor "${tensor.name}" together: it was not compared`);
    const { name, layer, kind, source } = tensor;
    const lost: readonly Flag[] = source.after.name === pair.lostHead ? ["tie-lost"] : [];
    compared.push({
      ...comparison,
      name,
      ...(layer !== undefined && { layer }),
      kind,
      flags: [...comparison.flags, ...lost],
    });
  }
  const config = await compareConfigs(pair.before.folder, pair.after.folder);
  const names = { before: pair.before.name, after: pair.after.name };
  return collectPair({ ...names, coverage: { ...pair.coverage, matched, unmatched }, config }, compared);
}

function describeNonFinite(
  { before, after }: TensorPlaces,
  nonFinite: ReadonlyMap<string, number>,
): string | undefined {
  const describe = (place: TensorLocation, side: string): readonly string[] => {
    const position = nonFinite.get(keyOf(place));
    return position === undefined
      ? []
      : [`its value ${position} ${side} is NaN, infinite or beyond 32-bit floats`];
  };
  const [reason] = [...describe(before, "before"), ...describe(after, "after")];
  return reason;
}
