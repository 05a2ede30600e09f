/** All tasks of a plan, the largest first, as many at a time as cores and memory allow. */
import type { Executor, Share } from "./executor.ts";

/** A task and what it takes. */
export interface PlannedTask<Task> {
  readonly task: Task;
  /** Work in proportion to time: the largest goes first, so that no core waits for a late large one. */
  readonly cost: number;
  /** Memory while it runs. */
  readonly bytes: number;
}

/** How to carry out a plan. */
export interface PlanOptions<Task, Result> {
  readonly executor: Executor<Task, Result>;
  readonly numCores: number;
  /** Tasks that run together take at most this; a task that alone takes more runs alone. */
  readonly memoryBytes: number;
  /** Aborted when no further task is to be started. */
  readonly signal: AbortSignal;
  /** Called after each task, in the order in which they end. */
  readonly onDone: (planned: PlannedTask<Task>, result: Result) => void;
}

/**
 * Carries out all tasks. Those that fill more than a core's part of the memory go first, few at a time with several
 * threads each; the others follow with one thread a core. Returns at once when aborted, whatever is under way. After the
 * first error no task is started any more, and it is thrown when those under way have ended.
 */
export async function carryOut<Task, Result>(
  tasks: readonly PlannedTask<Task>[],
  options: PlanOptions<Task, Result>,
): Promise<void> {
  const { numCores, memoryBytes } = options;
  const ordered = [...tasks].sort((a, b) => b.cost - a.cost);
  const isLarge = ({ bytes }: PlannedTask<Task>): boolean => bytes > memoryBytes / numCores;
  const large = ordered.filter(isLarge);
  const largest = large.reduce((most, { bytes }) => Math.max(most, bytes), 1);
  await runPhase(large, Math.max(1, Math.floor(memoryBytes / largest)), options);
  await runPhase(
    ordered.filter((task) => !isLarge(task)),
    numCores,
    options,
  );
}

async function runPhase<Task, Result>(
  tasks: readonly PlannedTask<Task>[],
  mostAtOnce: number,
  { executor, numCores, signal, onDone }: PlanOptions<Task, Result>,
): Promise<void> {
  const numAtOnce = Math.min(mostAtOnce, numCores, tasks.length);
  const share: Share = { numThreads: Math.max(1, Math.floor(numCores / Math.max(1, numAtOnce))) };
  const rest = tasks.values();
  let hasFailed = false;
  const work = async (): Promise<void> => {
    for (const planned of rest) {
      if (signal.aborted || hasFailed) return;
      try {
        onDone(planned, await executor.run(planned.task, share));
      } catch (error) {
        hasFailed = true;
        throw error;
      }
    }
  };
  const working = Promise.allSettled(Array.from({ length: numAtOnce }, work));
  const outcomes = await Promise.race([working, untilAborted(signal)]);
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
}

/** Resolves when the signal is aborted, to no outcomes. */
function untilAborted(signal: AbortSignal): Promise<readonly PromiseSettledResult<void>[]> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve([]);
    signal.addEventListener("abort", () => resolve([]), { once: true });
  });
}
