/** Compiled programs by size, so that each is compiled once. */
import type { BatchSize } from "./score-targets.ts";

/** Something that frees native memory. */
interface Releasable {
  release(): Promise<void>;
}

/** Finds or compiles the program for a size, and frees them all. */
export interface ProgramCache<Program, Size = BatchSize> {
  find(size: Size): Promise<Program>;
  release(): Promise<void>;
}

/**
 * Creates a cache around `build`, which compiles the program of one size. With `most`, no more than that many are kept: the
 * one that was not used for longest is freed, so nothing may run it while another is looked for.
 */
export function createProgramCache<Program extends Releasable, Size extends object = BatchSize>(
  build: (size: Size) => Promise<Program>,
  { most = Number.POSITIVE_INFINITY }: { readonly most?: number } = {},
): ProgramCache<Program, Size> {
  const programs = new Map<string, Promise<Program>>();
  const shrink = async (): Promise<void> => {
    for (const [key, oldest] of programs) {
      if (programs.size <= most) return;
      programs.delete(key);
      await (await oldest).release();
    }
  };
  return {
    find: async (size) => {
      const key = Object.values(size).join(" ");
      const program = programs.get(key) ?? build(size);
      // The order of the map is that of the last use.
      programs.delete(key);
      programs.set(key, program);
      await shrink();
      return await program;
    },
    release: async () => {
      for (const program of programs.values()) await (await program).release();
      programs.clear();
    },
  };
}
