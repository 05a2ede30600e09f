/**
 * Kernels compiled to WebAssembly by tools/kernels, with threads of their own that carry out a program's tape together
 * with the caller. Results are the same to the last bit for any number of threads.
 */
import { readFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { UsageError } from "../../../base/core/index.ts";
import {
  canRunProgram,
  locateInPackage,
  type SharedProgram,
  stackBytes,
  startSharedProgram,
} from "../../../base/machine/index.ts";
import { KernelMemory } from "./kernel-memory.ts";

/** Kernels that are ready to run. Whoever opens them closes them. */
export interface Kernels {
  readonly memory: KernelMemory;
  /** Whether products are summed by fused multiply-add: other last bits than without. */
  readonly isFused: boolean;
  /** Runs the tape at that address; each thread has `scratchBytes` of its own. Throws `RangeError` for ids outside their table. */
  run(tape: number, scratchBytes: number): void;
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
  const { bytes, isFused } = readKernels(fuses);
  const program = startSharedProgram(bytes, initialPages);
  const memory = new KernelMemory(program.memory, program.readGlobal("__heap_base"));
  while (program.numThreads < numThreads - 1) program.addThread(memory.take(stackBytes) + stackBytes);
  const useScratch = createScratch(program, memory, numThreads);
  return {
    memory,
    isFused,
    run: (tape, scratchBytes) => {
      useScratch(scratchBytes);
      checkRun(runTape(program, tape));
    },
    close: () => program.stop(),
  };
}

/** Pages of 64 KiB at the start. */
const initialPages = 16;

/** Gives every thread at least so many bytes of its own. */
function createScratch(
  program: SharedProgram,
  memory: KernelMemory,
  numThreads: number,
): (numBytes: number) => void {
  let [place, size] = [0, 0];
  return (numBytes) => {
    if (numBytes <= size) return;
    if (size > 0) memory.give(place);
    size = 0;
    const wanted = Math.ceil(numBytes / 64) * 64;
    place = memory.take(wanted * numThreads);
    size = wanted;
    program.call("useScratch", [place, size]);
  };
}

function runTape(program: SharedProgram, tape: number): number {
  try {
    return program.call("run", [tape]);
  } catch (error) {
    program.call("giveUp", []);
    throw error;
  }
}

/** Throws where a run did not go well, by the numbers of tools/kernels/source/machine.c. */
function checkRun(outcome: number): void {
  if (outcome === 1)
    throw new RangeError("Cannot run the program: a token id or position is outside its table");
  if (outcome !== 0) throw new Error("Cannot run the program: a thread of the kernels has failed");
}

/** The kernels with fused multiply-add where they are wanted and can be had, else the plain ones. */
function readKernels(fuses: boolean): { readonly bytes: Uint8Array; readonly isFused: boolean } {
  const read = (name: string): Uint8Array => readFileSync(locateInPackage("kernels", name));
  const fused = fuses ? read("relaxed.wasm") : undefined;
  if (fused !== undefined && canRunRelaxed(fused)) return { bytes: fused, isFused: true };
  const plain = read("kernels.wasm");
  if (!canRunProgram(plain))
    throw new UsageError(
      `Cannot run the engine's kernels in Node.js ${process.version}; install Node.js 20.19 or later`,
    );
  return { bytes: plain, isFused: false };
}

/** Node.js 20 knows relaxed SIMD behind a flag of V8, later ones without. */
function canRunRelaxed(bytes: Uint8Array): boolean {
  if (canRunProgram(bytes)) return true;
  setFlagsFromString("--experimental-wasm-relaxed-simd");
  return canRunProgram(bytes);
}
