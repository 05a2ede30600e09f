/** Compiled programs by size, so that each is compiled once. */
import type { BatchSize } from "./generation/score-targets.ts";

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
      await releaseBuilt(oldest);
    }
  };
  return {
    find: async (size) => {
      const key = JSON.stringify(Object.entries(size).sort(([one], [other]) => (one < other ? -1 : 1)));
      const program = programs.get(key) ?? build(size);
      // The order of the map is that of the last use.
      programs.delete(key);
      programs.set(key, program);
      // It may fail while others are freed: it is awaited behind them.
      program.catch(() => undefined);
      try {
        await shrink();
        return await program;
      } catch (error) {
        // What could not be built, for want of memory it may be, is tried again.
        if (programs.get(key) === program) programs.delete(key);
        throw error;
      }
    },
    release: async () => {
      const built = [...programs.values()];
      programs.clear();
      for (const program of built) await releaseBuilt(program);
    },
  };
}

/** Frees a program; one that could not be built has nothing to free. */
async function releaseBuilt(program: Promise<Releasable>): Promise<void> {
  const built = await program.catch(() => undefined);
  await built?.release();
}
