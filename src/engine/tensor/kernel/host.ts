/**
 * Kernels compiled to WebAssembly by tools/kernels, with threads of their own that carry out a program's tape together
 * with the caller. Results are the same to the last bit for any number of threads.
 */
import { readFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { Worker } from "node:worker_threads";
import { UsageError } from "../../../base/core/index.ts";
import { locateInPackage } from "../../../base/machine/index.ts";
import { KernelMemory } from "./kernel-memory.ts";

/** Kernels that are ready to run. Whoever opens them closes them. */
export interface Kernels {
  readonly memory: KernelMemory;
  /** Whether products are summed by fused multiply-add: other last bits than without. */
  readonly isFused: boolean;
  /** Runs the tape at that address; each thread has `scratchBytes` of its own. Throws `RangeError` for ids outside their table. */
  run(tape: number, scratchBytes: number): void;
  /** The same on as many threads beside the caller's, which goes on meanwhile but must not start another run. */
  start(tape: number, scratchBytes: number): Promise<void>;
  /** Ends the threads; nothing can run afterwards. */
  close(): void;
}

/** How kernels are opened. */
export interface KernelOptions {
  /** Threads that compute, the caller's among them. */
  readonly numThreads: number;
  /** Whether fused multiply-add is used where Node.js has it (default yes). */
  readonly fuses?: boolean;
}

/** Opens kernels. Throws `UsageError` where this Node.js cannot run them. */
export function openKernels({ numThreads, fuses = true }: KernelOptions): Kernels {
  const { module, isFused } = compileKernels(fuses);
  const memory = createMemory();
  const program = startProgram(module, memory);
  const kernelMemory = new KernelMemory(
    {
      get buffer() {
        return memory.buffer;
      },
      grow: (numPages) => void memory.grow(numPages),
    },
    program.end,
  );
  const machine: Machine = {
    module,
    memory,
    kernelMemory,
    program,
    threads: [],
    numThreads,
    isRunning: false,
  };
  addThreads(machine, numThreads - 1);
  return {
    memory: kernelMemory,
    isFused,
    run: (tape, scratchBytes) => {
      prepareRun(machine, scratchBytes);
      checkRun(program.run(tape, numThreads));
    },
    start: async (tape, scratchBytes) => {
      prepareRun(machine, scratchBytes);
      addThreads(machine, numThreads);
      machine.isRunning = true;
      await postRun(machine, tape);
      machine.isRunning = false;
      checkRun(program.judge());
    },
    close: () => {
      for (const thread of machine.threads) void thread.terminate();
    },
  };
}

/** Kernels with their threads. */
interface Machine {
  readonly module: object;
  readonly memory: Memory;
  readonly kernelMemory: KernelMemory;
  readonly program: Program;
  /** Threads beside the caller's. */
  readonly threads: Worker[];
  readonly numThreads: number;
  isRunning: boolean;
  scratch?: { readonly start: number; readonly size: number };
}

function addThreads({ module, memory, kernelMemory, threads }: Machine, count: number): void {
  while (threads.length < count) {
    const stack = kernelMemory.take(stackBytes) + stackBytes;
    threads.push(startThread({ module, memory, thread: threads.length + 1, stack }));
  }
}

/** Gives every thread scratch memory. Throws `TypeError` while another run is going on. */
function prepareRun(machine: Machine, scratchBytes: number): void {
  const { kernelMemory, program, numThreads, scratch } = machine;
  if (machine.isRunning) throw new TypeError("Cannot run two programs of a memory at the same time");
  if (scratchBytes <= (scratch?.size ?? 0)) return;
  if (scratch !== undefined) kernelMemory.give(scratch.start);
  const size = Math.ceil(scratchBytes / 64) * 64;
  machine.scratch = { start: kernelMemory.take(size * (numThreads + 1)), size };
  program.useScratch(machine.scratch.start, size);
}

async function postRun({ memory, program, numThreads }: Machine, tape: number): Promise<void> {
  const numOver = new Int32Array(memory.buffer, program.placeOfNumOver, 1);
  const before = Atomics.load(numOver, 0);
  // Node.js does not stay for who waits without blocking.
  const stay = setInterval(() => {}, 2 ** 30);
  program.post(tape, numThreads);
  // A call to wake up may be the belated one of the run before.
  while (Atomics.load(numOver, 0) === before) await Atomics.waitAsync(numOver, 0, before).value;
  clearInterval(stay);
}

/** Throws where a run did not go well, by the numbers of tools/kernels/source/machine.c. */
function checkRun(outcome: number): void {
  if (outcome === 1)
    throw new RangeError("Cannot run the program: a token id or position is outside its table");
  if (outcome !== 0) throw new Error("Cannot run the program: a thread of the kernels has failed");
}

/** Pages of 64 KiB: at the start, and at most, which is what 32 bits can address. */
const [initialPages, mostPages] = [16, 65_535];
const stackBytes = 2 ** 17;

/** A part of WebAssembly: its types come with those of browsers, which are not here. */
declare const WebAssembly: {
  validate(bytes: Uint8Array): boolean;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Memory: new (pages: {
    readonly initial: number;
    readonly maximum: number;
    readonly shared: boolean;
  }) => Memory;
  readonly Instance: new (
    module: object,
    imports: { readonly env: { readonly memory: Memory } },
  ) => { readonly exports: Readonly<Record<string, unknown>> };
};

declare global {
  /** A part that ES2023 does not have yet. */
  interface Atomics {
    waitAsync(array: Int32Array, index: number, value: number): { readonly value: Promise<string> | string };
  }
}

interface Memory {
  /** Another one after each growth. */
  readonly buffer: SharedArrayBuffer;
  grow(numPages: number): number;
}

/** The kernels with fused multiply-add where they are wanted and can be had, else the plain ones. */
function compileKernels(fuses: boolean): { readonly module: object; readonly isFused: boolean } {
  const read = (name: string): Uint8Array => readFileSync(locateInPackage("kernels", name));
  const fused = fuses ? read("relaxed.wasm") : undefined;
  if (fused !== undefined && canRun(fused)) return { module: new WebAssembly.Module(fused), isFused: true };
  const plain = read("kernels.wasm");
  if (!WebAssembly.validate(plain))
    throw new UsageError(
      `Cannot run the engine's kernels in Node.js ${process.version}; install Node.js 20.19 or later`,
    );
  return { module: new WebAssembly.Module(plain), isFused: false };
}

/** Node.js 20 knows relaxed SIMD behind a flag of V8, later ones without. */
function canRun(bytes: Uint8Array): boolean {
  if (WebAssembly.validate(bytes)) return true;
  setFlagsFromString("--experimental-wasm-relaxed-simd");
  return WebAssembly.validate(bytes);
}

function createMemory(): Memory {
  try {
    return new WebAssembly.Memory({ initial: initialPages, maximum: mostPages, shared: true });
  } catch (cause) {
    throw new UsageError(
      "Cannot reserve 4 GiB of addresses for the engine's memory; raise the limit of virtual memory (ulimit -v)",
      { cause },
    );
  }
}

/** An instance of the kernels. */
interface Program {
  /** The first byte of memory that is free. */
  readonly end: number;
  readonly run: (tape: number, numThreads: number) => number;
  readonly post: (tape: number, numThreads: number) => void;
  readonly judge: () => number;
  readonly useScratch: (place: number, numBytes: number) => void;
  /** The address of the number of runs that are over. */
  readonly placeOfNumOver: number;
}

function startProgram(module: object, memory: Memory): Program {
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const call = (name: string, args: readonly number[]): number => {
    const routine = exports[name];
    if (typeof routine !== "function") throw new TypeError(`Cannot find ${name} in the kernels`);
    return Number(routine(...args) ?? 0);
  };
  const { __heap_base: end } = exports;
  if (typeof end !== "object" || end === null || !("value" in end))
    throw new TypeError("Cannot find the end of the kernels' data");
  return {
    end: Number(end.value),
    run: (tape, numThreads) => {
      try {
        return call("run", [tape, numThreads]);
      } catch (error) {
        call("giveUp", []);
        throw error;
      }
    },
    post: (tape, numThreads) => void call("post", [tape, numThreads]),
    judge: () => call("judge", []),
    placeOfNumOver: call("placeOfNumOver", []),
    useScratch: (place, numBytes) => void call("useScratch", [place, numBytes]),
  };
}

/** A thread that takes its share of the work until it is ended; it keeps no process from ending. */
function startThread(workerData: Readonly<Record<string, unknown>>): Worker {
  const worker = new Worker(threadSource, { eval: true, workerData, execArgv: [] });
  worker.unref();
  return worker;
}

/** A string, so that no built file has to be found. */
const threadSource = `
const { module, memory, stack, thread } = require("node:worker_threads").workerData;
const { exports } = new WebAssembly.Instance(module, { env: { memory } });
exports.__stack_pointer.value = stack;
try {
  exports.serve(thread);
} catch (error) {
  exports.giveUp();
  throw error;
}
`;
