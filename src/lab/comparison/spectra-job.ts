/** Spectra as a job: a piece for each tensor, all checkpoints of it together, as they share its factors. */
import { resolve } from "node:path";
import { z } from "zod";
import { UsageError } from "../../base/core/index.ts";
import type { Effects } from "../../base/progress/index.ts";
import {
  type JobFolder,
  type JobPlan,
  type Piece,
  type PieceHandler,
  parseJobInput,
} from "../../cluster/job/index.ts";
import { type SpectraSettings, spectraVersion } from "../../weights/spectra/index.ts";
import {
  countVectors,
  createSpectraPool,
  isReadWhole,
  planComparison,
  planFactors,
  planFingerprint,
  type SpectraMachine,
  type SpectraWorkers,
} from "../factor/index.ts";
import { openBackend, stampCheckpoint } from "../machine/index.ts";
import {
  compareMatched,
  countBytes,
  type KnownFingerprints,
  type SpectraRequest,
} from "./compute-spectra.ts";
import { type MatchedPair, matchPairs, requirePairs } from "./spectra-pairs.ts";

/** The kind of these jobs. */
export const spectraJobKind = "spectra";

const backendSchema = z.enum(["lapack", "portable"]);
const inputSchema = z.object({
  cacheFolder: z.string(),
  settings: z.strictObject({ ranks: z.array(z.number()), randomizedSeed: z.number().optional() }),
  pairs: z.array(z.object({ before: z.string(), after: z.string() })),
});
const resultSchema = z.object({
  backend: backendSchema,
  fingerprints: z.record(z.string(), z.string()),
  nonFinite: z.record(z.string(), z.number()),
});

/** Costs that a core carries out in a second: measured with OpenBLAS on 3584 × 18944 matrices, and with the LAPACK that ships. */
const costPerSecond = { lapack: 2e10, portable: 1e10 } as const;

/** The job of a request. Folders must have the same paths wherever it is carried out. Throws as `requirePairs`. */
export async function planSpectraJob(request: SpectraRequest, machine: SpectraMachine): Promise<JobPlan> {
  const matched = await requirePairs(request);
  const pairs = matched.map(({ before, after }) => ({
    before: resolve(before.folder),
    after: resolve(after.folder),
  }));
  const folders = [...new Set(pairs.flatMap(({ before, after }) => [before, after]))];
  const stamps = await Promise.all(
    folders.map(async (folder) => [folder, await stampCheckpoint(folder)] as const),
  );
  const { settings } = request;
  const { name: backend } = await openBackend(machine);
  // Checkpoints that were written again make another job, as does another version of the comparison.
  const input = {
    cacheFolder: machine.cacheFolder,
    settings,
    pairs,
    stamps: Object.fromEntries(stamps),
    version: spectraVersion,
  };
  return { kind: spectraJobKind, input, pieces: listPieces(matched, settings, costPerSecond[backend]) };
}

/** What each tensor takes: every checkpoint's factors once, and every pair's comparison. */
function listPieces(
  pairs: readonly MatchedPair[],
  settings: SpectraSettings,
  rate: number,
): readonly Piece[] {
  const pieces = new Map<string, { cost: number; bytes: number; readonly places: Set<string> }>();
  for (const pair of pairs)
    for (const tensor of pair.coverage.matched) {
      const piece = pieces.get(tensor.name) ?? { cost: 0, bytes: 0, places: new Set() };
      pieces.set(tensor.name, piece);
      const add = ({ cost, bytes }: { readonly cost: number; readonly bytes: number }): void => {
        piece.cost += cost;
        piece.bytes = Math.max(piece.bytes, bytes);
      };
      const { shape } = tensor;
      const numVectors = countVectors(shape, settings);
      const sizes = (["before", "after"] as const).map((side) => ({ side, size: countBytes(tensor, side) }));
      for (const { side, size } of sizes) {
        const place = pair[side].folder;
        if (piece.places.has(place)) continue;
        piece.places.add(place);
        add(planFingerprint(shape, size));
        if (shape.length === 2) add(planFactors(shape, { numBytes: size, numVectors }));
      }
      const numBytes = Math.max(0, ...sizes.map(({ size }) => (isReadWhole(shape, size) ? size : 0)));
      add(planComparison(shape, { numBytes, numVectors }));
    }
  return [...pieces].map(([name, { cost, bytes }]) => ({ name, seconds: cost / rate, bytes }));
}

/** Carries out pieces: factors and comparisons go into the cache, fingerprints are the result. */
export function openSpectraPieces(given: unknown, effects: Effects): PieceHandler {
  const { settings, ...input } = parseJobInput(inputSchema, given);
  const pairs = input.pairs.map(({ before, after }) => ({
    before: { name: before, folder: before },
    after: { name: after, folder: after },
  }));
  // The cache is the one that the job was made for, whatever the node's own is.
  const own = { ...effects, machine: { ...effects.machine, cacheFolder: input.cacheFolder } };
  let workers: SpectraWorkers | undefined;
  // Headers are read and tensors matched once for all pieces.
  let all: Promise<readonly MatchedPair[]> | undefined;
  return {
    carryOut: async ({ name }, share) => {
      const { randomizedSeed } = settings;
      const request: SpectraRequest = {
        pairs,
        settings: { ranks: settings.ranks, ...(randomizedSeed !== undefined && { randomizedSeed }) },
        isWanted: (label) => label.name === name,
        share,
      };
      all ??= matchPairs({ pairs, isWanted: () => true });
      const matched = takeTensor(await all, name);
      // Threads take about a second to start: they serve all pieces of a pack.
      workers ??= createSpectraPool(own.machine, share);
      const known = await compareMatched(matched, { ...request, effects: own, workers });
      return {
        backend: known.backend,
        fingerprints: Object.fromEntries(known.fingerprints),
        nonFinite: Object.fromEntries(known.nonFinite),
      };
    },
    close: async () => await workers?.close(),
  };
}

/** The pairs in which a tensor is compared, with that tensor alone. */
function takeTensor(pairs: readonly MatchedPair[], name: string): readonly MatchedPair[] {
  return pairs.flatMap((pair) => {
    const matched = pair.coverage.matched.filter((tensor) => tensor.name === name);
    return matched.length === 0 ? [] : [{ ...pair, coverage: { ...pair.coverage, matched } }];
  });
}

/** What a finished job knows of its tensors. Throws `UsageError` where nodes with and without LAPACK took part. */
export async function readKnownFingerprints(job: JobFolder): Promise<KnownFingerprints> {
  const results = await Promise.all(job.plan.pieces.map((_, index) => job.readResult(index, resultSchema)));
  const backends = new Set(results.map(({ backend }) => backend));
  const [backend = "portable"] = backends;
  if (backends.size > 1)
    throw new UsageError(
      `Cannot put job ${job.id} together: some of its nodes have a LAPACK of their own and some have not, and their results differ in the last digits; name a library for all by UNTWIST_LAPACK, or "none", and delete ${job.path}`,
    );
  return {
    backend,
    fingerprints: new Map(results.flatMap((one) => Object.entries(one.fingerprints))),
    nonFinite: new Map(results.flatMap((one) => Object.entries(one.nonFinite))),
  };
}
