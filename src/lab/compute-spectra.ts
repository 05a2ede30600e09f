/**
 * Pairs of checkpoints compared, tensor by tensor: every tensor is read once for its fingerprint, every different
 * matrix factorised once, every different pair of tensors compared once. What the cache holds is not done again, so
 * stopped work continues where it was.
 */
import { UsageError } from "../base/index.ts";
import { type CheckpointTensor, numBytesOf, openCheckpoint } from "../checkpoint/index.ts";
import type { LinearAlgebra } from "../linalg/index.ts";
import {
  type Comparison,
  type ComparisonKey,
  type Coverage,
  collectPair,
  countElements,
  countVectors,
  isReadWhole,
  type MatchedTensor,
  matchTensors,
  openFactorCache,
  type PairSpectra,
  planComparison,
  planFactors,
  planFingerprint,
  type SpectraSettings,
  type TensorLabel,
} from "../spectra/index.ts";
import { openBackend } from "./backend.ts";
import type { Effects } from "./effects.ts";
import {
  createSpectraPool,
  createSpectraRunner,
  type MachineShare,
  type PlannedSpectraTask,
  type SpectraRunner,
  type SpectraWorkers,
} from "./spectra-runner.ts";
import { type KnownTensor, keyOf, requestFactors, type TensorPlace } from "./spectra-task.ts";

/** A checkpoint folder under the name that results call it by. */
export interface NamedCheckpoint {
  readonly name: string;
  readonly folder: string;
}

/** Which checkpoints to compare, and how. */
export interface SpectraRequest {
  readonly pairs: readonly { readonly before: NamedCheckpoint; readonly after: NamedCheckpoint }[];
  readonly settings: SpectraSettings;
  /** Which tensors are asked for. */
  readonly isWanted: (label: TensorLabel) => boolean;
  readonly cacheFolder: string;
  /** The command that continues the work when it is stopped. */
  readonly command: string;
  /** What is known of the tensors already: their fingerprints by `keyOf`, and whose factors are in the cache. */
  readonly known?: KnownFingerprints | undefined;
  /** What of the machine may be used. Default: all cores, and 1 GiB. */
  readonly share?: MachineShare | undefined;
}

/** Fingerprints of all tensors, and the backend that factorised them. */
export interface KnownFingerprints {
  readonly fingerprints: ReadonlyMap<string, string>;
  readonly backend: LinearAlgebra["name"];
}

/** Compares all pairs, in their order. Throws `UsageError`, `CheckpointError` or `StoppedError`. */
export async function computeSpectra(
  request: SpectraRequest,
  effects: Effects,
  workers: SpectraWorkers = createSpectraPool(request.cacheFolder, request.share),
): Promise<readonly PairSpectra[]> {
  try {
    const pairs = await requirePairs(request);
    const { fingerprints, comparisons } = await compareMatched(pairs, { ...request, effects, workers });
    return pairs.map((pair) => assemble(pair, (place) => fingerprints.get(keyOf(place)) ?? "", comparisons));
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
  const backend = known?.backend ?? (await openBackend()).name;
  if (backend === "portable") warnOfLargeMatrices(pairs, effects);
  const runner = createSpectraRunner({ ...request, work: "spectra" }, effects, workers);
  const fingerprints = known?.fingerprints ?? (await readFingerprints(pairs, settings, runner));
  const wanted = listComparisons(pairs, fingerprints);
  const comparisons = await compareAll(wanted, { ...request, backend }, runner);
  return { fingerprints, backend, comparisons };
}

/** A pair whose tensors are matched. */
export interface MatchedPair {
  readonly before: NamedCheckpoint;
  readonly after: NamedCheckpoint;
  readonly coverage: Coverage;
}

/** All pairs, matched. Throws `UsageError` for one that has nothing in common. */
export async function requirePairs(
  request: Pick<SpectraRequest, "pairs" | "isWanted">,
): Promise<readonly MatchedPair[]> {
  const pairs = await matchPairs(request);
  const missing = pairs.find(({ coverage }) => coverage.matched.length === 0);
  if (missing !== undefined) throw new UsageError(describeMismatch(missing));
  return pairs;
}

/** All pairs, with the tensors that both sides have and that are wanted: there may be none. */
export async function matchPairs({
  pairs,
  isWanted,
}: Pick<SpectraRequest, "pairs" | "isWanted">): Promise<readonly MatchedPair[]> {
  const tensors = new Map<string, ReadonlyMap<string, CheckpointTensor>>();
  for (const { folder } of pairs.flatMap(({ before, after }) => [before, after]))
    if (!tensors.has(folder)) tensors.set(folder, await listTensors(folder));
  return pairs.map(({ before, after }) => {
    const of = ({ folder }: NamedCheckpoint): ReadonlyMap<string, CheckpointTensor> =>
      tensors.get(folder) ?? new Map();
    return { before, after, coverage: matchTensors({ before: of(before), after: of(after) }, isWanted) };
  });
}

async function listTensors(folder: string): Promise<ReadonlyMap<string, CheckpointTensor>> {
  const checkpoint = await openCheckpoint(folder);
  await checkpoint.close();
  return checkpoint.tensors;
}

function describeMismatch({ before, after, coverage: { unmatched } }: MatchedPair): string {
  const subject = `Cannot compare "${before.folder}" with "${after.folder}"`;
  const [first] = unmatched;
  return first === undefined
    ? `${subject}: no tensor is chosen; choose others with --matrices and --layers`
    : `${subject}: no tensor has its match, "${first.name}" is ${first.reason}; give two checkpoints of one model`;
}

/** From this short side on, the portable backend takes minutes a matrix. */
const largeForPortable = 1024;

function warnOfLargeMatrices(pairs: readonly MatchedPair[], { report }: Effects): void {
  const isLarge = ({ shape }: MatchedTensor): boolean =>
    shape.length === 2 && Math.min(...shape) > largeForPortable;
  const names = pairs.flatMap(({ coverage }) => coverage.matched.filter(isLarge).map(({ name }) => name));
  if (names.length > 0)
    report({
      kind: "notice",
      text: `No LAPACK was found: ${new Set(names).size} matrices of more than ${largeForPortable} rows and columns will take long; untwist doctor says how to get one`,
    });
}

/** A matched tensor in both places. */
interface TensorPlaces {
  readonly before: TensorPlace;
  readonly after: TensorPlace;
}

function locate({ before, after }: MatchedPair, { name }: MatchedTensor): TensorPlaces {
  return { before: { folder: before.folder, name }, after: { folder: after.folder, name } };
}

/** The fingerprint of every tensor that is compared, by its place. */
async function readFingerprints(
  pairs: readonly MatchedPair[],
  settings: SpectraSettings,
  runner: SpectraRunner,
): Promise<ReadonlyMap<string, string>> {
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
  runner.expect(sumCosts([...tasks.values()]) + estimateRest(pairs, { settings, numPlaces: tasks.size }));
  await runner.run([...tasks.values()], (task, { fingerprint = "" }) => {
    if (task.kind === "fingerprint") fingerprints.set(keyOf(task.tensor), fingerprint);
  });
  return fingerprints;
}

/** The cost of what follows the fingerprints if nothing is cached and no two tensors are alike. */
function estimateRest(
  pairs: readonly MatchedPair[],
  { settings, numPlaces }: { readonly settings: SpectraSettings; readonly numPlaces: number },
): number {
  const matched = pairs.flatMap(({ coverage }) => coverage.matched);
  // Pairs share checkpoints: a tensor is in several, and factorised once.
  const shareFactorised = numPlaces / Math.max(1, matched.length);
  return matched.reduce((sum, tensor) => {
    const { shape } = tensor;
    const size = { numBytes: 0, numVectors: countVectors(shape, settings) };
    const factors = shape.length === 2 ? shareFactorised * planFactors(shape, size).cost : 0;
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

/** Two tensors that are to be compared, by their content. */
interface WantedComparison {
  readonly before: KnownTensor;
  readonly after: KnownTensor;
  readonly numBytes: number;
}

const comparisonKey = (before: string, after: string): string => `${before} ${after}`;

/** Every different pair of tensors once. */
function listComparisons(
  pairs: readonly MatchedPair[],
  fingerprints: ReadonlyMap<string, string>,
): readonly WantedComparison[] {
  const wanted = new Map<string, WantedComparison>();
  for (const pair of pairs)
    for (const tensor of pair.coverage.matched) {
      const places = locate(pair, tensor);
      const know = (place: TensorPlace): KnownTensor => ({
        ...place,
        shape: tensor.shape,
        fingerprint: fingerprints.get(keyOf(place)) ?? "",
      });
      const [before, after] = [know(places.before), know(places.after)];
      const sizes = [countBytes(tensor, "before"), countBytes(tensor, "after")];
      // Of sides in different formats, one may be read whole and the larger one not.
      const numBytes = Math.max(0, ...sizes.filter((size) => isReadWhole(tensor.shape, size)));
      wanted.set(comparisonKey(before.fingerprint, after.fingerprint), { before, after, numBytes });
    }
  return [...wanted.values()];
}

/** All comparisons by the fingerprints of their tensors: from the cache, or factorised and compared now. */
async function compareAll(
  wanted: readonly WantedComparison[],
  { settings, cacheFolder, backend }: SpectraRequest & { readonly backend: LinearAlgebra["name"] },
  runner: SpectraRunner,
): Promise<ReadonlyMap<string, Comparison>> {
  const onDamage = (path: string): void => runner.notice(`Damaged cache entry made again: ${path}`);
  const cache = openFactorCache(cacheFolder, { backend, onDamage });
  const comparisons = new Map<string, Comparison>();
  const missing: WantedComparison[] = [];
  for (const one of wanted) {
    const key: ComparisonKey = { before: one.before.fingerprint, after: one.after.fingerprint, settings };
    const known = await cache.readComparison(key);
    if (known === undefined) missing.push(one);
    else comparisons.set(comparisonKey(key.before, key.after), known);
  }
  const factorisations = await planFactorisations(missing, settings, (tensor, numVectors) =>
    cache.hasFactors(tensor.fingerprint, { ...settings, numVectors }),
  );
  const tasks = missing.map((one) => planOne(one, settings));
  runner.expect(sumCosts(factorisations) + sumCosts(tasks));
  await runner.run(factorisations, () => undefined);
  await runner.run(tasks, (task, { comparison }) => {
    if (task.kind !== "compare" || comparison === undefined) return;
    comparisons.set(comparisonKey(task.before.fingerprint, task.after.fingerprint), comparison);
  });
  return comparisons;
}

/** Every different matrix that is not in the cache, once. */
async function planFactorisations(
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
        task: { kind: "factorise", tensor, request: requestFactors(tensor.shape, settings) },
        ...work,
      });
    }
  return [...planned.values()];
}

function planOne(
  { before, after, numBytes }: WantedComparison,
  settings: SpectraSettings,
): PlannedSpectraTask {
  const numVectors = countVectors(before.shape, settings);
  const work = planComparison(before.shape, { numBytes, numVectors });
  return { task: { kind: "compare", before, after, settings }, ...work };
}

function assemble(
  pair: MatchedPair,
  fingerprintOf: (place: TensorPlace) => string,
  comparisons: ReadonlyMap<string, Comparison>,
): PairSpectra {
  const compared = pair.coverage.matched.flatMap(({ name, layer, kind, ...tensor }) => {
    const places = locate(pair, { name, kind, ...tensor });
    const key = comparisonKey(fingerprintOf(places.before), fingerprintOf(places.after));
    const comparison = comparisons.get(key);
    return comparison === undefined
      ? []
      : [{ name, ...(layer !== undefined && { layer }), kind, ...comparison }];
  });
  return collectPair({ before: pair.before.name, after: pair.after.name, coverage: pair.coverage }, compared);
}
