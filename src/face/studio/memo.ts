/** What was read of a run, kept until one of the files that it came from changes. */
import { stat } from "node:fs/promises";

interface Kept {
  readonly signature: string;
  readonly value: Promise<unknown>;
}

/** Values kept at most, the one that was not asked for longest going first: all of a large folder's list, and a few runs' data. */
const mostKept = 1000;
/** Of data by run, which may be megabytes. */
const mostLarge = 40;

/** Reads what is not known yet, or no longer true. */
export interface Memo {
  /** The value under `key`, read anew only when size or time of one of the files has changed since. */
  get<Value>(key: string, files: readonly string[], read: () => Promise<Value>): Promise<Value>;
}

/** An empty memo. */
export function createMemo(): Memo {
  const kept = new Map<string, Kept>();
  return {
    get: async <Value>(key: string, files: readonly string[], read: () => Promise<Value>): Promise<Value> => {
      const signature = (await Promise.all(files.map(describeFile))).join(" ");
      const known = kept.get(key);
      if (known?.signature === signature) {
        kept.delete(key);
        kept.set(key, known);
        return (await known.value) as Value;
      }
      const value = read();
      kept.delete(key);
      kept.set(key, { signature, value });
      // A failure is not remembered: a file may have been half-written.
      value.catch(() => {
        if (kept.get(key)?.value === value) kept.delete(key);
      });
      forgetOldest(kept, mostKept, () => true);
      forgetOldest(kept, mostLarge, (name) => !name.startsWith("listing "));
      return await value;
    },
  };
}

/** Drops entries of a kind beyond a number, those first that were not asked for longest. */
function forgetOldest(kept: Map<string, Kept>, most: number, isMeant: (key: string) => boolean): void {
  const meant = [...kept.keys()].filter(isMeant);
  for (const key of meant.slice(0, Math.max(0, meant.length - most))) kept.delete(key);
}

async function describeFile(path: string): Promise<string> {
  try {
    const { size, mtimeMs, ino } = await stat(path);
    return `${size}:${mtimeMs}:${ino}`;
  } catch {
    return "none";
  }
}
