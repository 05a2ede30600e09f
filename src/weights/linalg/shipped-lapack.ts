/**
 * The LAPACK that ships: compiled to WebAssembly by tools/lapack, with threads of its own. Arguments are copied into
 * its memory, results out of it. Results are the same to the last bit on all machines and for any number of threads.
 */
import { readFileSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { UsageError } from "../../base/core/index.ts";
import { locateInPackage } from "../../base/machine/index.ts";
import { type LapackLibrary, type LapackRoutine, lapackRoutines } from "./lapack-library.ts";

/** Opens the shipped LAPACK. Throws `Error` where its file is missing or this Node.js cannot run it. */
export function openShippedLapack(): LapackLibrary {
  const module = new WebAssembly.Module(readFileSync(locateInPackage("lapack", "lapack.wasm")));
  let [program, numThreads]: [Program | undefined, number] = [undefined, 1];
  const open = (): Program => {
    program ??= startProgram(module);
    setThreads(program, numThreads);
    return program;
  };
  return {
    name: "portable",
    description: "LAPACK 3.11 in WebAssembly",
    integers: (value, count = 1) => new Int32Array(count).fill(value),
    call: (routine, ...args) => {
      const running = open();
      try {
        callRoutine(running, routine, args);
      } catch (error) {
        // After an error within, neither its stack nor its threads can be relied on.
        if (error instanceof WebAssembly.RuntimeError) {
          stopProgram(running);
          program = undefined;
        }
        throw error;
      }
    },
    useThreads: (count) => {
      numThreads = Math.max(1, Math.min(count, mostThreads));
    },
  };
}

/** As many as the program has room for. */
const mostThreads = 16;
/** Pages of 64 KiB: at the start, and at most, which is what 32 bits can address. */
const [initialPages, mostPages] = [64, 65_535];
const stackBytes = 2 ** 17;

/** A part of WebAssembly: its types come with those of browsers, which are not here. */
declare const WebAssembly: {
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
  readonly RuntimeError: new () => Error;
};

interface Memory {
  /** Another one after each growth. */
  readonly buffer: SharedArrayBuffer;
}

type Routine = (...args: readonly number[]) => unknown;

/** An instance of the program. */
interface Program {
  readonly module: object;
  readonly memory: Memory;
  readonly routines: ReadonlyMap<string, Routine>;
  /** Its threads beside the one that calls. */
  readonly threads: Worker[];
  numThreads: number;
}

function startProgram(module: object): Program {
  const memory = new WebAssembly.Memory({ initial: initialPages, maximum: mostPages, shared: true });
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const routines = new Map<string, Routine>();
  for (const [name, routine] of Object.entries(exports))
    if (typeof routine === "function") routines.set(name, (...args) => routine(...args));
  return { module, memory, routines, threads: [], numThreads: 1 };
}

function stopProgram({ threads }: Program): void {
  for (const thread of threads) void thread.terminate();
}

function run({ routines }: Program, name: string, args: readonly number[]): number {
  const routine = routines.get(name);
  if (routine === undefined) throw new TypeError(`Cannot find ${name} in lapack.wasm`);
  return Number(routine(...args) ?? 0);
}

/** Threads that are not needed any more sleep. */
function setThreads(program: Program, count: number): void {
  if (program.numThreads === count) return;
  run(program, "useThreads", [count]);
  program.numThreads = count;
  while (program.threads.length < count - 1) program.threads.push(startThread(program));
}

/** A thread that takes its share of the work until the process ends; it keeps no process from ending. */
function startThread(program: Program): Worker {
  const { module, memory, threads } = program;
  const stack = allocate(program, stackBytes) + stackBytes;
  const workerData = { module, memory, stack, thread: threads.length + 1 };
  const worker = new Worker(threadSource, { eval: true, workerData, execArgv: [] });
  worker.unref();
  return worker;
}

/** A string, so that no built file has to be found. */
const threadSource = `
const { module, memory, stack, thread } = require("node:worker_threads").workerData;
const { exports } = new WebAssembly.Instance(module, { env: { memory } });
exports.__stack_pointer.value = stack;
exports.serve(thread);
`;

function allocate(program: Program, size: number): number {
  // Addresses are unsigned.
  const place = run(program, "malloc", [size]) >>> 0;
  if (place === 0)
    throw new UsageError(
      "Cannot hold a matrix of that size: the LAPACK that ships has 4 GiB of memory; install OpenBLAS, or name a library by UNTWIST_LAPACK",
    );
  return place;
}

/** Calls a routine with its arguments in LAPACK's order, each by reference. */
function callRoutine(program: Program, routine: LapackRoutine, args: readonly unknown[]): void {
  const kinds = lapackRoutines[routine];
  const copies: Copy[] = [];
  try {
    for (const [index, arg] of args.entries()) {
      const values = toValues(arg);
      const place = allocate(program, Math.max(values.byteLength, 8));
      copies.push({ values, place, kind: kinds[index] ?? "" });
    }
    for (const copy of copies) copyIn(program, copy);
    run(
      program,
      `d${routine}_`,
      copies.map(({ place }) => place),
    );
    for (const copy of copies) copyOut(program, copy);
  } finally {
    for (const { place } of copies.reverse()) run(program, "free", [place]);
  }
}

/** An argument, and where in the program's memory its copy lies. */
interface Copy {
  readonly values: Values;
  readonly place: number;
  /** As in `lapackRoutines`. */
  readonly kind: string;
}

function copyIn(program: Program, { values, place, kind }: Copy): void {
  if (kind !== "w") viewOf(program, values, place).set(values);
}

/** Brings back what a routine left; of what it worked with, the first number, which tells the size that it wants. */
function copyOut(program: Program, { values, place, kind }: Copy): void {
  if (!/[A-Zw]/.test(kind)) return;
  const found = kind === "w" ? values.subarray(0, 1) : values;
  found.set(viewOf(program, found, place));
}

type Values = Float64Array | Int32Array | Uint8Array;

/** An argument as numbers: a character as its code. */
function toValues(arg: unknown): Values {
  if (arg instanceof Float64Array || arg instanceof Int32Array) return arg;
  if (typeof arg === "string") return Uint8Array.of(arg.charCodeAt(0));
  throw new TypeError(`Cannot pass ${typeof arg} to LAPACK`);
}

/** Numbers at that place in memory, of the kind and count of the given ones. */
function viewOf({ memory }: Program, like: Values, place: number): Values {
  if (like instanceof Float64Array) return new Float64Array(memory.buffer, place, like.length);
  if (like instanceof Int32Array) return new Int32Array(memory.buffer, place, like.length);
  return new Uint8Array(memory.buffer, place, like.length);
}
