/** What was read of a run, kept until one of the files that it came from changes. */
import { stat } from "node:fs/promises";

interface Kept {
  readonly signature: string;
  readonly value: Promise<unknown>;
}

/** Values kept at most: the oldest goes first. */
const mostKept = 400;

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
      if (known?.signature === signature) return (await known.value) as Value;
      const value = read();
      kept.delete(key);
      kept.set(key, { signature, value });
      // A failure is not remembered: a file may have been half-written.
      value.catch(() => kept.delete(key));
      const [oldest] = kept.keys();
      if (kept.size > mostKept && oldest !== undefined) kept.delete(oldest);
      return await value;
    },
  };
}

async function describeFile(path: string): Promise<string> {
  try {
    const { size, mtimeMs, ino } = await stat(path);
    return `${size}:${mtimeMs}:${ino}`;
  } catch {
    return "none";
  }
}
