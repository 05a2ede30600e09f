/**
 * JSON lines: one value per line, appended. A crash while writing leaves at most one torn last line, which readers
 * drop and writers cut off before they go on. A file whose only line is torn is ours only if it looks like it.
 */
import { type FileHandle, open } from "node:fs/promises";
import { dirname } from "node:path";
import { writeFileAtomic } from "./atomic-write.ts";
import { readBytes } from "./byte-source.ts";
import { createFolder } from "./folder.ts";
import { describePathProblem } from "./path-problem.ts";

/** A JSON-lines file open for appending. */
export interface JsonLinesWriter {
  /**
   * Adds one line, after all lines appended before. `value` is read during the call; `TypeError` when JSON cannot
   * hold it, `UsageError` when the disk does not take it. After a failed write every later call fails too, so a torn line
   * stays the last one.
   */
  append(value: unknown): Promise<void>;
  /** Forces every line appended so far to the disk. */
  sync(): Promise<void>;
  /** Forces all lines to the disk and gives the file back. A failed write was told by its `append`, and is not told again. */
  close(): Promise<void>;
}

/** One line of a file: its text without the line end, and the value it holds. */
interface Line {
  readonly text: string;
  readonly value: unknown;
}

/** The lines of a file, and how many bytes of it hold them (the rest is a torn line). */
interface Lines {
  readonly lines: readonly Line[];
  readonly numBytes: number;
  /** Whether the last line lacks its line end. */
  readonly unterminated: boolean;
}

const NEWLINE = 0x0a;

/**
 * Opens a file for appending, making it and its folders where missing. A torn last line is cut off first. Throws
 * `UsageError` when the path cannot be written, `SyntaxError` when another line is malformed.
 */
export async function openJsonLines(path: string): Promise<JsonLinesWriter> {
  const handle = await openForAppending(path).catch((error: unknown): never => {
    throw describePathProblem(`Cannot write "${path}"`, error);
  });
  try {
    const { numBytes, unterminated } = parseLines(await readBytes(path), path);
    await handle.truncate(numBytes);
    if (unterminated) await handle.writeFile("\n");
  } catch (error) {
    await handle.close();
    throw error;
  }
  return createWriter(handle, path);
}

/**
 * The values of a JSON-lines file, in order. Blank lines and one torn last line are dropped; `SyntaxError` naming
 * the line number for any other malformed line, `UsageError` when the file cannot be read.
 */
export async function readJsonLines(path: string): Promise<unknown[]> {
  return parseLines(await readBytes(path), path).lines.map((line) => line.value);
}

/**
 * Rewrites a JSON-lines file atomically with the lines whose value `keep` accepts, each byte for byte. Throws as
 * `readJsonLines`. No writer may be open on the file.
 */
export async function truncateJsonLines(path: string, keep: (value: unknown) => boolean): Promise<void> {
  const { lines } = parseLines(await readBytes(path), path);
  const kept = lines.filter((line) => keep(line.value)).map((line) => `${line.text}\n`);
  await writeFileAtomic(path, kept.join(""));
}

async function openForAppending(path: string): Promise<FileHandle> {
  await createFolder(dirname(path));
  return await open(path, "a");
}

function createWriter(handle: FileHandle, path: string): JsonLinesWriter {
  let last: Promise<void> = Promise.resolve();
  const explain = (error: unknown): never => {
    throw describePathProblem(`Cannot write "${path}"`, error);
  };
  return {
    append: async (value) => {
      const text: string | undefined = JSON.stringify(value);
      if (text === undefined)
        throw new TypeError(`Cannot append a value of type ${typeof value}: JSON has none`);
      last = last.then(() => handle.writeFile(`${text}\n`).catch(explain));
      await last;
    },
    sync: async () => {
      await last;
      await handle.sync().catch(explain);
    },
    close: async () => {
      try {
        await last.catch(() => undefined);
        await handle.sync().catch(explain);
      } finally {
        await handle.close();
      }
    },
  };
}

function parseLines(bytes: Uint8Array, path: string): Lines {
  const lines: Line[] = [];
  let start = 0;
  for (let number = 1; start < bytes.length; number++) {
    const newline = bytes.indexOf(NEWLINE, start);
    if (newline < 0) {
      const line = parseUnterminated(bytes.subarray(start));
      if (line === undefined) {
        if (lines.length === 0) requireOwn(bytes.subarray(start), { number, path });
        return { lines, numBytes: start, unterminated: false };
      }
      return { lines: [...lines, line], numBytes: bytes.length, unterminated: true };
    }
    const line = parseTerminated(bytes.subarray(start, newline), { number, path });
    if (line !== undefined) lines.push(line);
    start = newline + 1;
  }
  return { lines, numBytes: start, unterminated: false };
}

function parseTerminated(
  bytes: Uint8Array,
  { number, path }: { readonly number: number; readonly path: string },
): Line | undefined {
  try {
    return parseLine(bytes);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SyntaxError(`Cannot read line ${number} of "${path}": ${reason}; correct or delete that line`, {
      cause,
    });
  }
}

/** The last line when its line end is missing: `undefined` when it is torn. A bare number may be half of a longer one. */
function parseUnterminated(bytes: Uint8Array): Line | undefined {
  try {
    const line = parseLine(bytes);
    return typeof line?.value === "number" ? undefined : line;
  } catch {
    return undefined;
  }
}

/**
 * Throws where the only line of a file, which is not valid JSON and lacks its line end, is not what a crash leaves of an object written
 * here: it is somebody's text then, and not to be cut off.
 */
function requireOwn(bytes: Uint8Array, place: { readonly number: number; readonly path: string }): void {
  const text = new TextDecoder().decode(bytes).trim();
  if (text === "" || isOpenObject(text)) return;
  parseTerminated(bytes, place);
  // A number alone: it may be half of a longer one.
  throw new SyntaxError(
    `Cannot read line ${place.number} of "${place.path}": its line end is missing; add it`,
  );
}

/** Whether a text begins an object and does not end it. */
function isOpenObject(text: string): boolean {
  if (!/^\{(?:"|$)/.test(text)) return false;
  const outside = text.replaceAll(/"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?$)/gs, "");
  const count = (brackets: RegExp): number => outside.match(brackets)?.length ?? 0;
  return count(/[{[]/g) > count(/[}\]]/g);
}

function parseLine(bytes: Uint8Array): Line | undefined {
  const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  return text.trim() === "" ? undefined : { text, value: JSON.parse(text) };
}
