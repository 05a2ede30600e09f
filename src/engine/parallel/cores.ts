/**
 * The engine's cores. A small model's products are too small to be shared among cores; parts of a batch share nothing. So each core takes
 * parts of its own, this thread among them.
 */
import { requireItem } from "../../base/core/index.ts";
import { locateThread } from "../../base/machine/index.ts";
import { createWorkerPool } from "../../base/threads/index.ts";
import { createEngineHandler } from "./engine-handler.ts";
import type { EngineAnswer, EngineTask } from "./engine-task.ts";

/** Cores that work beside each other. Whoever opens them closes them. */
export interface Cores {
  readonly count: number;
  /** The answers to the tasks, in their order. Throws the first error, when all have ended. */
  carryOut(tasks: readonly EngineTask[]): Promise<readonly EngineAnswer[]>;
  /** Another number at each call: what programs are called by. */
  takeId(): number;
  /** Frees a program that is not run any more: on this thread at once, on others when they need the room. */
  releaseProgram(id: number): Promise<void>;
  close(): Promise<void>;
}

/** Opens so many cores. Their threads start when there is a task for them. */
export function openCores(count: number): Cores {
  const handler = createEngineHandler();
  const pool = createWorkerPool<readonly EngineTask[], readonly EngineAnswer[]>({
    url: locateThread("engine-worker"),
    data: undefined,
    size: count - 1,
  });
  let lastId = 0;
  return {
    count,
    carryOut: async (tasks) => {
      const shares = shareOut(tasks, count);
      // Others get theirs first: this thread hears nothing while it is busy with its own.
      const others = shares.slice(1).map((share) => pool.run(share, { numThreads: 1 }));
      const outcomes = await Promise.allSettled([handler.handle(shares[0] ?? []), ...others]);
      const answers = outcomes.map((outcome) => {
        if (outcome.status === "rejected") throw outcome.reason;
        return outcome.value;
      });
      return gather(answers, tasks.length);
    },
    takeId: () => ++lastId,
    releaseProgram: (id) => handler.releaseProgram(id),
    close: async () => {
      await pool.close();
      await handler.release();
    },
  };
}

/** Every `count`-th item for the first, those after them for the second; no lists without items but the first. */
function shareOut<Item>(items: readonly Item[], count: number): readonly (readonly Item[])[] {
  const used = Math.max(1, Math.min(count, items.length));
  return Array.from({ length: used }, (_, first) => items.filter((_, index) => index % used === first));
}

/** Undoes `shareOut`. */
function gather<Item>(shares: readonly (readonly Item[])[], length: number): readonly Item[] {
  return Array.from({ length }, (_, index) => {
    const share = requireItem(shares, index % shares.length);
    return requireItem(share, Math.floor(index / shares.length));
  });
}
