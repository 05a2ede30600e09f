/** Programs compiled to WebAssembly whose threads share one memory: those of tools/kernels and tools/lapack. */
import { Worker } from "node:worker_threads";
import { UsageError } from "../core/index.ts";

/** A part of WebAssembly: its types come with those of browsers, which are not here. */
declare const WebAssembly: {
  validate(bytes: Uint8Array): boolean;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Memory: new (pages: {
    readonly initial: number;
    readonly maximum: number;
    readonly shared: boolean;
  }) => ProgramMemory;
  readonly Instance: new (
    module: object,
    imports: { readonly env: { readonly memory: ProgramMemory } },
  ) => { readonly exports: Readonly<Record<string, unknown>> };
  readonly RuntimeError: new () => Error;
};

/** The memory of a program, of at most 4 GiB less one page: what 32 bits can address. */
export interface ProgramMemory {
  /** Another one some time after each growth. */
  readonly buffer: SharedArrayBuffer;
  /** Adds pages of 64 KiB. Throws `RangeError` where they are too many, or the machine has no more. */
  grow(numPages: number): number;
}

/** A running program. */
export interface SharedProgram {
  readonly memory: ProgramMemory;
  /** Threads beside the caller's. */
  readonly numThreads: number;
  /** Calls a routine, 0 for one that returns nothing. Throws `TypeError` where the program has none of that name. */
  call(name: string, args: readonly number[]): number;
  /** A global number. Throws `TypeError` where the program has none of that name. */
  readGlobal(name: string): number;
  /**
   * Adds a thread that calls the program's `serve` with its number, from 1 on, and works down from that end of its stack of
   * `stackBytes`. It keeps no process from ending. Where it fails, it calls `giveUp` if the program has that.
   */
  addThread(stackEnd: number): void;
  /** Ends the threads; the program must not be called any more. */
  stop(): void;
}

/** Bytes of a thread's stack. */
export const stackBytes = 2 ** 17;

/** Whether this Node.js can run a program. */
export function canRunProgram(bytes: Uint8Array): boolean {
  return WebAssembly.validate(bytes);
}

/** Starts a program with so many pages of memory. Throws `Error` where this Node.js cannot run it, `UsageError` without addresses for its memory. */
export function startSharedProgram(bytes: Uint8Array, initialPages: number): SharedProgram {
  const module = new WebAssembly.Module(bytes);
  const memory = createMemory(initialPages);
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const threads: Worker[] = [];
  return {
    memory,
    get numThreads() {
      return threads.length;
    },
    call: (name, args) => {
      const routine = exports[name];
      if (typeof routine !== "function") throw new TypeError(`Cannot find ${name} in the program`);
      return Number(routine(...args) ?? 0);
    },
    readGlobal: (name) => {
      const found = exports[name];
      if (typeof found !== "object" || found === null || !("value" in found))
        throw new TypeError(`Cannot find ${name} in the program`);
      return Number(found.value);
    },
    addThread: (stackEnd) => {
      const workerData = { module, memory, stackEnd, thread: threads.length + 1 };
      const thread = new Worker(threadSource, { eval: true, workerData, execArgv: [] });
      thread.unref();
      threads.push(thread);
    },
    stop: () => {
      for (const thread of threads) void thread.terminate();
    },
  };
}

/** Whether an error is one of the program itself, after which neither its memory nor its threads can be relied on. */
export function isProgramError(error: unknown): boolean {
  return error instanceof WebAssembly.RuntimeError;
}

function createMemory(initial: number): ProgramMemory {
  try {
    return new WebAssembly.Memory({ initial, maximum: 65_535, shared: true });
  } catch (cause) {
    throw new UsageError(
      "Cannot reserve 4 GiB of addresses for a program in WebAssembly; raise the limit of virtual memory (ulimit -v)",
      { cause },
    );
  }
}

/** A string, so that no built file has to be found. */
const threadSource = `
const { module, memory, stackEnd, thread } = require("node:worker_threads").workerData;
const { exports } = new WebAssembly.Instance(module, { env: { memory } });
exports.__stack_pointer.value = stackEnd;
try {
  exports.serve(thread);
} catch (error) {
  exports.giveUp?.();
  throw error;
}
`;
