/** How the leading singular vectors of two checkpoints lie to each other, from factors that the cache has already. */

import { folderExists } from "../../base/file/index.ts";
import type { RunFolder } from "../../run/index.ts";
import { openCheckpoint } from "../../weights/checkpoint/index.ts";
import type { Factors, LinearAlgebra, Matrix } from "../../weights/linalg/index.ts";
import { fingerprint, openStored } from "../../weights/spectra/index.ts";
import { openFactorCache } from "../cache/index.ts";
import { openBackend } from "../machine/index.ts";
import type { SpectraMachine } from "./spectra-task.ts";

/** |UᵀU'| of the leading vectors: rows before, columns after, in whole percent, row after row. */
export interface Overlap {
  readonly size: number;
  readonly left: readonly number[];
  readonly right: readonly number[];
}

/** Leading vectors that a picture shows. */
const mostVectors = 24;

/**
 * The overlaps of all matrices of two checkpoints of a run, by name. A matrix whose factors are not in the cache is left out:
 * a page does not wait for a factorization.
 */
export async function readOverlaps(
  folder: RunFolder,
  { before, after }: { readonly before: string; readonly after: string },
  machine: SpectraMachine,
): Promise<Readonly<Record<string, Overlap>>> {
  const lineage = await folder.readLineage();
  const locate = (id: string): string | undefined => {
    const entry = lineage.find((one) => one.id === id);
    return entry === undefined ? undefined : folder.locate(entry.path);
  };
  const [first, second] = [locate(before), locate(after)];
  if (first === undefined || second === undefined) return {};
  if (!(await folderExists(first)) || !(await folderExists(second))) return {};
  const algebra = await openBackend(machine);
  const overlaps: Record<string, Overlap> = {};
  const [own, other] = [
    await readLeading(first, { machine, algebra }),
    await readLeading(second, { machine, algebra }),
  ];
  for (const [name, factors] of own) {
    const match = other.get(name);
    if (match !== undefined) overlaps[name] = compare(factors, match, algebra);
  }
  return overlaps;
}

/** The leading factors of all matrices of a checkpoint that are cached. */
async function readLeading(
  path: string,
  {
    machine: { cacheFolder },
    algebra: { name: backend },
  }: { readonly machine: SpectraMachine; readonly algebra: LinearAlgebra },
): Promise<ReadonlyMap<string, Factors>> {
  const cache = openFactorCache(cacheFolder, { backend, onDamage: () => undefined });
  const checkpoint = await openCheckpoint(path);
  try {
    const found = new Map<string, Factors>();
    for (const [name, { shape }] of checkpoint.tensors) {
      if (shape.length !== 2) continue;
      const request = { numVectors: Math.min(mostVectors, ...shape) };
      const factors = await cache.readFactors(fingerprint(openStored(checkpoint, name)), request);
      if (factors !== undefined) found.set(name, factors);
    }
    return found;
  } finally {
    await checkpoint.close();
  }
}

function compare(before: Factors, after: Factors, algebra: LinearAlgebra): Overlap {
  const cosines = (one: Matrix, other: Matrix): readonly number[] =>
    Array.from(algebra.multiply(one, other, { left: true }).values, (value) =>
      Math.round(100 * Math.abs(value)),
    );
  return {
    size: before.left.columns,
    left: cosines(before.left, after.left),
    right: cosines(before.right, after.right),
  };
}
