/** Compiled programs by batch size, so that each is compiled once. */
import type { BatchSize } from "./score-targets.ts";

/** Something that frees native memory. */
interface Releasable {
  release(): Promise<void>;
}

/** Finds or compiles the program for a batch size, and frees them all. */
export interface ProgramCache<Program> {
  find(size: BatchSize): Promise<Program>;
  release(): Promise<void>;
}

/** Creates a cache around `build`, which compiles the program of one size. */
export function createProgramCache<Program extends Releasable>(
  build: (size: BatchSize) => Promise<Program>,
): ProgramCache<Program> {
  const programs = new Map<string, Promise<Program>>();
  return {
    find: (size) => {
      const key = `${size.B} ${size.T}`;
      const program = programs.get(key) ?? build(size);
      programs.set(key, program);
      return program;
    },
    release: async () => {
      for (const program of programs.values()) await (await program).release();
      programs.clear();
    },
  };
}
