/** What the cache holds, by kind, and how what can be computed again is given up. Answers of servers and jobs are never touched. */
import { readdir, stat } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import { folderExists, hasCode, isTemporary, removeFile } from "../../base/file/index.ts";
import { memoryVersion } from "./answer-memory.ts";
import { cacheVersion } from "./factor-cache.ts";

/** Kinds of what lies in the cache. */
export const cacheKinds = [
  "factors",
  "comparisons",
  "embedded answers",
  "earlier versions",
  "answers",
  "jobs",
  "other files",
] as const;
type CacheKind = (typeof cacheKinds)[number];

/** Files and their bytes. */
export interface CacheUse {
  readonly numFiles: number;
  readonly numBytes: number;
}

/** What the cache holds. */
export interface CacheReport {
  readonly folder: string;
  readonly kinds: Readonly<Record<CacheKind, CacheUse>>;
}

interface CachedFile {
  readonly path: string;
  readonly kind: CacheKind;
  readonly numBytes: number;
  /** When it was last written or, as far as the file system keeps that, read. */
  readonly usedMs: number;
}

/** Counts what the cache in a folder holds. */
export async function measureCache(folder: string): Promise<CacheReport> {
  const files = await listCached(folder);
  const count = (kind: CacheKind): CacheUse => addUp(files.filter((file) => file.kind === kind));
  return {
    folder,
    kinds: {
      factors: count("factors"),
      comparisons: count("comparisons"),
      "embedded answers": count("embedded answers"),
      "earlier versions": count("earlier versions"),
      answers: count("answers"),
      jobs: count("jobs"),
      "other files": count("other files"),
    },
  };
}

/** What can be computed again. */
const computedKinds: ReadonlySet<CacheKind> = new Set(["factors", "comparisons", "embedded answers"]);

/** Deletes what can be computed again and was not used since `beforeMs`, and all of earlier versions. Says how much that was. */
export async function pruneCache(folder: string, beforeMs: number): Promise<CacheUse> {
  const files = await listCached(folder);
  const old = files.filter(
    ({ kind, usedMs }) => kind === "earlier versions" || (computedKinds.has(kind) && usedMs < beforeMs),
  );
  for (const { path } of old) await removeFile(path);
  return addUp(old);
}

function addUp(files: readonly CachedFile[]): CacheUse {
  return { numFiles: files.length, numBytes: files.reduce((sum, { numBytes }) => sum + numBytes, 0) };
}

async function listCached(folder: string): Promise<readonly CachedFile[]> {
  if (!(await folderExists(folder))) return [];
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files: CachedFile[] = [];
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const stats = await stat(path).catch((error: unknown) => {
      // Another process may have deleted it meanwhile.
      if (!hasCode(error, ["ENOENT"])) throw error;
      return undefined;
    });
    if (stats === undefined) continue;
    // What is being written belongs to the process that writes it.
    const kind = isTemporary(entry.name) ? "other files" : kindOf(relative(folder, path).split(sep));
    files.push({ path, kind, numBytes: stats.size, usedMs: Math.max(stats.mtimeMs, stats.atimeMs) });
  }
  return files;
}

function kindOf([top = "", below = ""]: readonly string[]): CacheKind {
  if (top === "answers" || top === "jobs") return top;
  const [, of, version] = /^(lapack|portable|embedded)-(\d+)$/.exec(top) ?? [];
  if (version === undefined) return "other files";
  if (Number(version) !== (of === "embedded" ? memoryVersion : cacheVersion)) return "earlier versions";
  if (of === "embedded") return "embedded answers";
  return below === "factors" || below === "comparisons" ? below : "other files";
}
