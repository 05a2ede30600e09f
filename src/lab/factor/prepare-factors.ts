/** Factors of tensors brought into the cache, so that they can be read from there. */
import { availableParallelism } from "node:os";
import { requireValue, setting } from "../../base/core/index.ts";
import type { Effects } from "../../base/progress/index.ts";
import { type Checkpoint, CheckpointError, type Dtype, numBytesOf } from "../../weights/checkpoint/index.ts";
import type { Factors } from "../../weights/linalg/index.ts";
import { countElements } from "../../weights/spectra/index.ts";
import type { FactorCache } from "../cache/index.ts";
import {
  createSpectraPool,
  createSpectraRunner,
  type PlannedSpectraTask,
  type SpectraWorkers,
} from "./spectra-runner.ts";
import { createSpectraHandler, keyOf, type SpectraTask, type TensorLocation } from "./spectra-task.ts";
import { isReadWhole, keepVectors, planFactors, planFingerprint } from "./work.ts";

/** A matrix of a checkpoint and how many of its singular vectors are wanted. */
export interface WantedFactors extends TensorLocation {
  /** Two axes. */
  readonly shape: readonly number[];
  readonly dtype: Dtype;
  readonly numVectors: number;
}

/** How factors are prepared. */
export interface PrepareOptions {
  readonly cache: FactorCache;
}

/** Reads prepared factors. */
export type FactorReader = (tensor: Pick<WantedFactors, "folder" | "name" | "shape">) => Promise<Factors>;

/** Work for one matrix in the terms of the plan. */
export function planWanted({ shape, dtype, numVectors }: WantedFactors): {
  readonly cost: number;
  readonly bytes: number;
} {
  const numBytes = numBytesOf(dtype, countElements(shape));
  const held = isReadWhole(shape, numBytes) ? numBytes : 0;
  return planFactors(shape, { numBytes: held, numVectors: keepVectors(shape, numVectors) });
}

function describeNonFinite({ folder, name }: TensorLocation, position: number): CheckpointError {
  return new CheckpointError(
    `its value ${position} is NaN, infinite or beyond 32-bit floats; repair the checkpoint, or leave it out, as in ${setting("matrices", `'!${name}'`)}`,
    { path: folder, tensor: name },
  );
}

/** What is to be kept of each tensor: as many vectors as the most demanding wish has. */
function mergeRequests(
  wanted: readonly WantedFactors[],
): ReadonlyMap<string, { readonly numVectors: number }> {
  const requests = new Map<string, { readonly numVectors: number }>();
  for (const one of wanted) {
    const numVectors = keepVectors(one.shape, one.numVectors);
    const { numVectors: known = 0 } = requests.get(keyOf(one)) ?? {};
    requests.set(keyOf(one), { numVectors: Math.max(known, numVectors) });
  }
  return requests;
}

/** Does a task in this thread, and closes what it opened. */
async function carryOutHere(task: SpectraTask, { machine }: Effects): Promise<void> {
  const opened: Checkpoint[] = [];
  const handle = createSpectraHandler(machine, (checkpoint) => opened.push(checkpoint));
  try {
    await handle(task, { numThreads: availableParallelism() });
  } finally {
    for (const checkpoint of opened) await checkpoint.close();
  }
}

/**
 * Makes sure that the cache holds the factors: every tensor is read once, every different matrix factorized once, on all
 * cores. Throws `CheckpointError` for NaN and infinite values, `StoppedError`.
 */
export async function prepareFactors(
  wanted: readonly WantedFactors[],
  { cache }: PrepareOptions,
  effects: Effects,
  workers: SpectraWorkers = createSpectraPool(effects.machine),
): Promise<FactorReader> {
  try {
    const runner = createSpectraRunner({ work: "edit" }, effects, workers);
    const prints = wanted.map(({ folder, name, shape, dtype }) => {
      const work = planFingerprint(shape, numBytesOf(dtype, countElements(shape)));
      return { task: { kind: "fingerprint" as const, tensor: { folder, name } }, ...work };
    });
    const total = (tasks: readonly PlannedSpectraTask[]): number =>
      tasks.reduce((sum, { cost }) => sum + cost, 0);
    runner.expect(total(prints) + wanted.reduce((sum, one) => sum + planWanted(one).cost, 0));
    const fingerprints = new Map<string, string>();
    await runner.run(prints, (task, { fingerprint, nonFinite }) => {
      if (task.kind !== "fingerprint" || fingerprint === undefined) return;
      if (nonFinite !== undefined) throw describeNonFinite(task.tensor, nonFinite);
      fingerprints.set(keyOf(task.tensor), fingerprint);
    });
    const fingerprintOf = (place: TensorLocation): string => requireValue(fingerprints, keyOf(place));
    const requests = mergeRequests(wanted);
    const missing = new Map<string, PlannedSpectraTask>();
    for (const one of wanted) {
      const fingerprint = fingerprintOf(one);
      const request = requireValue(requests, keyOf(one));
      if (await cache.hasFactors(fingerprint, request)) continue;
      const tensor = { folder: one.folder, name: one.name, shape: one.shape, fingerprint };
      missing.set(`${fingerprint} ${request.numVectors}`, {
        task: { kind: "factorize", tensor, request },
        ...planWanted(one),
      });
    }
    const tasks = [...missing.values()];
    runner.expect(total(tasks));
    await runner.run(tasks, () => undefined);
    return async ({ shape, ...place }) => {
      const request = requireValue(requests, keyOf(place));
      const fingerprint = fingerprintOf(place);
      const factors = await cache.readFactors(fingerprint, request);
      if (factors !== undefined) return factors;
      // A damaged entry, which the cache has reported: computed again here and now.
      const tensor = { ...place, shape, fingerprint };
      await carryOutHere({ kind: "factorize", tensor, request }, effects);
      const repaired = await cache.readFactors(fingerprint, request);
      if (repaired !== undefined) return repaired;
      throw new Error(`Cannot find the factors of ${place.name}: the cache does not keep them`);
    };
  } finally {
    await workers.close();
  }
}
