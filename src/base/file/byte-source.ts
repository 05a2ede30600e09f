/** A file open for reading byte ranges, the way big checkpoints are read: positioned reads, never a memory map. */
import { readSync } from "node:fs";
import { type FileHandle, open, readFile, stat } from "node:fs/promises";
import { UsageError } from "../core/index.ts";
import { describePathProblem } from "./path-problem.ts";

/** One system read must stay below 2 GiB; large reads are what network disks are fast at. */
const MAX_READ_BYTES = 64 * 2 ** 20;

/** Bytes that can be read by range. Whoever opens it closes it. */
export interface ByteSource {
  /** Where the bytes come from, for messages. */
  readonly path: string;
  /** Number of bytes when it was opened. */
  readonly size: number;
  /** The bytes from `start` up to, not including, `end`: exactly that many, in memory of their own, or `RangeError`. */
  read(start: number, end: number): Promise<Uint8Array>;
  /** The same while this thread waits: for worker threads, which have nothing else to do. */
  readSync(start: number, end: number): Uint8Array;
  /** Closes the file; reads after that fail. */
  close(): Promise<void>;
}

/** Opens a regular file for ranged reads. Throws `UsageError` when it is missing, unreadable or not a file. */
export async function openByteSource(path: string): Promise<ByteSource> {
  const handle = await openRegular(path).catch((error: unknown): never => {
    throw describePathProblem(`Cannot read "${path}"`, error);
  });
  const { size } = await handle.stat();
  return {
    path,
    size,
    read: (start, end) => readRange({ handle, path, size }, { start, end }),
    readSync: (start, end) => readRangeSync({ handle, path, size }, { start, end }),
    close: () => handle.close(),
  };
}

/** A range of a file as a source of its own; it is closed with the file, not by itself. Throws `RangeError` beyond the file. */
export function openRange(source: ByteSource, { start, end }: Range): ByteSource {
  const size = end - start;
  const { path } = source;
  checkRange(source, { start, end });
  return {
    path,
    size,
    read: async (from, to) => {
      checkRange({ path, size }, { start: from, end: to });
      return await source.read(start + from, start + to);
    },
    readSync: (from, to) => {
      checkRange({ path, size }, { start: from, end: to });
      return source.readSync(start + from, start + to);
    },
    close: async () => undefined,
  };
}

/** The whole content of a UTF-8 text file, without a byte order mark. Throws `UsageError` when that is impossible. */
export async function readText(path: string): Promise<string> {
  const bytes = await readBytes(path);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new UsageError(`Cannot read "${path}": it is not UTF-8 text; give a text file`, { cause });
  }
}

/** The whole content of a file. Throws `UsageError` when it is missing, unreadable or not a file. */
export async function readBytes(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    throw describePathProblem(`Cannot read "${path}"`, error);
  }
}

/** The last bytes of a text that others write, as far as they are text; empty where it cannot be read. */
export async function readTail(path: string, mostBytes: number): Promise<string> {
  try {
    const source = await openByteSource(path);
    try {
      return new TextDecoder().decode(await source.read(Math.max(0, source.size - mostBytes), source.size));
    } finally {
      await source.close();
    }
  } catch {
    return "";
  }
}

/** Opens a regular file; looks before opening, because opening a pipe would wait for its writer. */
async function openRegular(path: string): Promise<FileHandle> {
  const stats = await stat(path);
  if (!stats.isFile())
    throw new UsageError(`Cannot read "${path}": it is not a file; give the path of a file`);
  return await open(path, "r");
}

interface OpenFile {
  readonly handle: FileHandle;
  readonly path: string;
  readonly size: number;
}

interface Range {
  readonly start: number;
  readonly end: number;
}

async function readRange(file: OpenFile, range: Range): Promise<Uint8Array> {
  const bytes = takeRange(file, range);
  for (let filled = 0; filled < bytes.length; ) {
    const length = Math.min(bytes.length - filled, MAX_READ_BYTES);
    const { bytesRead } = await file.handle.read(bytes, filled, length, range.start + filled);
    filled += expectBytes(bytesRead, file);
  }
  return bytes;
}

function readRangeSync(file: OpenFile, range: Range): Uint8Array {
  const bytes = takeRange(file, range);
  for (let filled = 0; filled < bytes.length; ) {
    const length = Math.min(bytes.length - filled, MAX_READ_BYTES);
    filled += expectBytes(readSync(file.handle.fd, bytes, filled, length, range.start + filled), file);
  }
  return bytes;
}

/** Memory for a range of the file, or `RangeError`. */
function takeRange(file: OpenFile, range: Range): Uint8Array {
  checkRange(file, range);
  return new Uint8Array(range.end - range.start);
}

function checkRange({ path, size }: Pick<OpenFile, "path" | "size">, { start, end }: Range): void {
  const whole = Number.isSafeInteger(start) && Number.isSafeInteger(end);
  if (!whole || start < 0 || start > end || end > size)
    throw new RangeError(`Cannot read bytes ${start} to ${end} of "${path}": the file has ${size} bytes`);
}

function expectBytes(count: number, { path }: OpenFile): number {
  if (count === 0)
    throw new RangeError(`Cannot read "${path}" to its end: the file became shorter while it was open`);
  return count;
}
