/**
 * The LAPACK that ships: compiled to WebAssembly by tools/lapack, with threads of its own. Arguments are copied into
 * its memory, results out of it. Results are the same to the last bit on all machines and for any number of threads.
 */
import { readFileSync } from "node:fs";
import { UsageError } from "../../base/core/index.ts";
import {
  isProgramError,
  locateInPackage,
  type SharedProgram,
  stackBytes,
  startSharedProgram,
} from "../../base/machine/index.ts";
import { type LapackLibrary, type LapackRoutine, lapackRoutines } from "./lapack-library.ts";

/** Opens the shipped LAPACK. Throws `Error` where its file is missing or this Node.js cannot run it. */
export function openShippedLapack(): LapackLibrary {
  const bytes = readFileSync(locateInPackage("lapack", "lapack.wasm"));
  const start = (): SharedProgram => startSharedProgram(bytes, initialPages);
  let [program, numThreads, numPrepared] = [start(), 1, 1];
  return {
    name: "portable",
    description: "LAPACK 3.11 in WebAssembly",
    integers: (value, count = 1) => new Int32Array(count).fill(value),
    call: (routine, ...args) => {
      try {
        if (numPrepared !== numThreads) setThreads(program, numThreads);
        numPrepared = numThreads;
        callRoutine(program, routine, args);
      } catch (error) {
        if (isProgramError(error)) {
          program.stop();
          [program, numPrepared] = [start(), 1];
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
/** Pages of 64 KiB at the start. */
const initialPages = 64;

/** Threads that are not needed any more sleep. */
function setThreads(program: SharedProgram, count: number): void {
  program.call("useThreads", [count]);
  while (program.numThreads < count - 1) program.addThread(allocate(program, stackBytes) + stackBytes);
}

function allocate(program: SharedProgram, size: number): number {
  // Addresses are unsigned.
  const place = program.call("malloc", [size]) >>> 0;
  if (place === 0)
    throw new UsageError(
      "Cannot hold a matrix of that size: the LAPACK that ships has 4 GiB of memory; install OpenBLAS, or name a library by UNTWIST_LAPACK",
    );
  return place;
}

/** Calls a routine with its arguments in LAPACK's order, each by reference. */
function callRoutine(program: SharedProgram, routine: LapackRoutine, args: readonly unknown[]): void {
  const kinds = lapackRoutines[routine];
  const copies: Copy[] = [];
  try {
    for (const [index, arg] of args.entries()) {
      const values = toValues(arg);
      const place = allocate(program, Math.max(values.byteLength, 8));
      copies.push({ values, place, kind: kinds[index] ?? "" });
    }
    for (const copy of copies) copyIn(program, copy);
    program.call(
      `d${routine}_`,
      copies.map(({ place }) => place),
    );
    for (const copy of copies) copyOut(program, copy);
  } finally {
    for (const { place } of copies.reverse()) program.call("free", [place]);
  }
}

/** An argument, and where in the program's memory its copy lies. */
interface Copy {
  readonly values: Values;
  readonly place: number;
  /** As in `lapackRoutines`. */
  readonly kind: string;
}

function copyIn(program: SharedProgram, { values, place, kind }: Copy): void {
  if (kind !== "w") viewOf(program, values, place).set(values);
}

/** Brings back what a routine left; of what it worked with, the first number, which tells the size that it wants. */
function copyOut(program: SharedProgram, { values, place, kind }: Copy): void {
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
function viewOf({ memory }: SharedProgram, like: Values, place: number): Values {
  if (like instanceof Float64Array) return new Float64Array(memory.buffer, place, like.length);
  if (like instanceof Int32Array) return new Int32Array(memory.buffer, place, like.length);
  return new Uint8Array(memory.buffer, place, like.length);
}
