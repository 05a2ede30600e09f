/**
 * Factors and comparisons that are computed once: named by a hash of the tensors' bytes and of the settings, shared by
 * every command. Entries carry a checksum that their name is part of; a damaged one, or one that was copied to another name,
 * counts as missing, so it is computed again. Deleting the folder loses nothing but time.
 */

import { createHash } from "node:crypto";
import { basename, join } from "node:path";
import { describeError, UsageError } from "../../base/core/index.ts";
import { fileExists, folderExists, listFiles, readSealed, writeSealed } from "../../base/file/index.ts";
import {
  CheckpointError,
  openSafetensors,
  type SafetensorsFile,
  writeSafetensors,
} from "../../weights/checkpoint/index.ts";
import {
  createMatrix,
  type Factors,
  factorMethods,
  type LinearAlgebra,
  trimFactors,
} from "../../weights/linalg/index.ts";
import type { Comparison, SpectraSettings } from "../../weights/spectra/index.ts";

/** Which factors: how many vectors a side at least, and the seed if they are randomized. */
export interface CachedRequest {
  readonly numVectors: number;
  readonly randomizedSeed?: number;
}

/** Two tensors by their fingerprints, and how they are compared. */
export interface ComparisonKey {
  readonly before: string;
  readonly after: string;
  readonly settings: SpectraSettings;
  /** Whether their difference was known as an adapter's product, which says more than the rounded sums. */
  readonly isProduct: boolean;
}

/** The cache. Reading gives `undefined` for what is not there or is damaged. */
export interface FactorCache {
  /** Whether factors that satisfy the request are there (unread: they may turn out to be damaged). */
  hasFactors(fingerprint: string, request: CachedRequest): Promise<boolean>;
  /** Factors with as many vectors as asked for. */
  readFactors(fingerprint: string, request: CachedRequest): Promise<Factors | undefined>;
  writeFactors(fingerprint: string, request: CachedRequest, factors: Factors): Promise<void>;
  readComparison(key: ComparisonKey): Promise<Comparison | undefined>;
  writeComparison(key: ComparisonKey, comparison: Comparison): Promise<void>;
}

/** Changes whenever a measure or the layout of entries changes its meaning. */
export const cacheVersion = 4;

/** Whose results a cache holds, and who hears of damage. */
export interface CacheOptions {
  /** Backends agree to many digits, not to the last: each has entries of its own. */
  readonly backend: LinearAlgebra["name"];
  /** Called with the path of every damaged entry. */
  readonly onDamage: (path: string) => void;
}

/** Opens the cache in a folder, which need not exist. */
export function openFactorCache(folder: string, { backend, onDamage }: CacheOptions): FactorCache {
  const factorsFolder = (fingerprint: string): string =>
    join(folder, `${backend}-${cacheVersion}`, "factors", fingerprint.slice(0, 2), fingerprint);
  const nameComparison = (key: ComparisonKey): string =>
    hash(JSON.stringify([cacheVersion, backend, key.before, key.after, key.settings, key.isProduct]));
  const comparisonPath = (key: ComparisonKey): string => {
    const name = nameComparison(key);
    return join(folder, `${backend}-${cacheVersion}`, "comparisons", name.slice(0, 2), `${name}.json`);
  };
  const locate = async (fingerprint: string, request: CachedRequest): Promise<string | undefined> => {
    const place = factorsFolder(fingerprint);
    if (!(await folderExists(place))) return undefined;
    const name = chooseEntry(await listFiles(place), request);
    return name === undefined ? undefined : join(place, name);
  };
  return {
    hasFactors: async (fingerprint, request) => (await locate(fingerprint, request)) !== undefined,
    readFactors: async (fingerprint, request) => {
      const path = await locate(fingerprint, request);
      if (path === undefined) return undefined;
      const factors = await orDamaged(readFactors(path, fingerprint), () => onDamage(path));
      return factors && trimFactors(factors, request.numVectors);
    },
    writeFactors: (fingerprint, request, factors) =>
      explainFailure(
        writeFactors(join(factorsFolder(fingerprint), nameEntry(request)), fingerprint, factors),
      ),
    readComparison: async (key) => {
      const path = comparisonPath(key);
      if (!(await fileExists(path))) return undefined;
      return await orDamaged(readComparison(path, nameComparison(key)), () => onDamage(path));
    },
    writeComparison: async (key, comparison) => {
      const sealed = { name: nameComparison(key), text: JSON.stringify(comparison) };
      await explainFailure(writeSealed(comparisonPath(key), sealed));
    },
  };
}

/** A cache that cannot be written is told as such: its path says little to who did not choose it. */
async function explainFailure(write: Promise<void>): Promise<void> {
  try {
    await write;
  } catch (cause) {
    if (!(cause instanceof UsageError)) throw cause;
    throw new UsageError(
      `${describeError(cause)}; it belongs to the cache, which UNTWIST_CACHE can put elsewhere`,
      {
        cause,
      },
    );
  }
}

function nameEntry({ numVectors, randomizedSeed }: CachedRequest): string {
  return `${describeMethod(randomizedSeed)}-${numVectors}.safetensors`;
}

function describeMethod(randomizedSeed: number | undefined): string {
  return randomizedSeed === undefined ? "exact" : `randomized-${randomizedSeed}`;
}

/** The smallest entry that satisfies a request. */
function chooseEntry(
  names: readonly string[],
  { numVectors, randomizedSeed }: CachedRequest,
): string | undefined {
  const start = `${describeMethod(randomizedSeed)}-`;
  const counts = names
    .filter((name) => name.startsWith(start) && /-\d+\.safetensors$/.test(name))
    .map((name) => Number(/-(\d+)\.safetensors$/.exec(name)?.[1]))
    .filter((count) => count >= numVectors);
  return counts.length === 0 ? undefined : `${start}${Math.min(...counts)}.safetensors`;
}

async function writeFactors(path: string, fingerprint: string, factors: Factors): Promise<void> {
  const { rows, columns, left, right, values, method, valueError, rounding } = factors;
  const tensors = [
    { name: "left", shape: [rows, left.columns], data: left.values },
    { name: "right", shape: [columns, right.columns], data: right.values },
    { name: "values", shape: [values.length], data: values },
  ];
  const notes = {
    method,
    valueError: String(valueError),
    rounding: String(rounding),
    shape: describeShape(factors),
    entry: nameContent(path, fingerprint),
  };
  await writeSafetensors(
    path,
    tensors.map(({ name, shape, data }) => ({ name, shape, dtype: "F64" as const, data: () => data })),
    {
      ...notes,
      checksum: checksum(
        tensors.map(({ data }) => data),
        notes,
      ),
    },
  );
}

/** What an entry is of: a tensor's fingerprint, a method and its seed. */
function nameContent(path: string, fingerprint: string): string {
  return `${fingerprint} ${basename(path)}`;
}

async function readFactors(path: string, fingerprint: string): Promise<Factors> {
  const file = await openSafetensors(path);
  try {
    const { metadata } = file.header;
    const [left, right, { values }] = [
      await readMatrix(file, "left"),
      await readMatrix(file, "right"),
      await readMatrix(file, "values"),
    ];
    const notes = Object.fromEntries(noteNames.map((name) => [name, metadata.get(name) ?? ""]));
    const method = factorMethods.find((name) => name === notes.method);
    const sum = checksum([left.values, right.values, values], notes);
    const isSound =
      sum === metadata.get("checksum") &&
      notes.shape === describeShape({ left, right }) &&
      notes.entry === nameContent(path, fingerprint);
    if (method === undefined || !isSound)
      throw new CheckpointError("its checksum is wrong; delete it", { path });
    const precision = { method, valueError: Number(notes.valueError), rounding: Number(notes.rounding) };
    return { rows: left.rows, columns: right.rows, left, values, right, ...precision };
  } finally {
    await file.close();
  }
}

/** A tensor of one or two axes as a matrix. */
async function readMatrix(file: SafetensorsFile, name: string): Promise<Factors["left"]> {
  const bytes = await file.readBytes(name);
  const [rows = 1, columns = 1] = file.header.tensors.get(name)?.shape ?? [];
  return createMatrix(rows, columns, new Float64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 8));
}

function describeShape({ left, right }: Pick<Factors, "left" | "right">): string {
  return [left.rows, left.columns, right.rows, right.columns].join(" ");
}

/** What is noted beside the arrays of an entry. */
const noteNames = ["method", "valueError", "rounding", "shape", "entry"] as const;

/** Over the numbers and the notes: everything that a reader relies on. */
function checksum(arrays: readonly Float64Array[], notes: Readonly<Record<string, string>>): string {
  const sum = createHash("sha256").update(noteNames.map((name) => notes[name]).join("\n"));
  for (const { buffer, byteOffset, byteLength } of arrays)
    sum.update(new Uint8Array(buffer, byteOffset, byteLength));
  return sum.digest("hex");
}

function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

async function readComparison(path: string, name: string): Promise<Comparison> {
  // Its seal says that it is what writeComparison wrote.
  return JSON.parse(await readSealed(path, name)) as Comparison;
}

async function orDamaged<Value>(read: Promise<Value>, onDamage: () => void): Promise<Value | undefined> {
  try {
    return await read;
  } catch (error) {
    // Malformed in any way: as safetensors, by its checksum, as text.
    if (!(error instanceof Error)) throw error;
    onDamage();
    return undefined;
  }
}
