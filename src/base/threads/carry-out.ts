/** All tasks of a plan, the largest first, as many at a time as cores and memory allow. */
import type { Share, Workers } from "./workers.ts";

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
  readonly workers: Workers<Task, Result>;
  readonly numCores: number;
  /** Tasks that run together take at most this; a task that alone takes more runs alone. */
  readonly memoryBytes: number;
  /** Aborted when no further task is to be started. */
  readonly signal: AbortSignal;
  /** Called after each task, in the order in which they end; no more after an abort. */
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
  { workers, numCores, signal, onDone }: PlanOptions<Task, Result>,
): Promise<void> {
  const numAtOnce = Math.min(mostAtOnce, numCores, tasks.length);
  const share: Share = { numThreads: Math.max(1, Math.floor(numCores / Math.max(1, numAtOnce))) };
  const rest = tasks.values();
  const failures: unknown[] = [];
  const work = async (): Promise<void> => {
    for (const planned of rest) {
      if (signal.aborted || failures.length > 0) return;
      try {
        const result = await workers.run(planned.task, share);
        if (!signal.aborted) onDone(planned, result);
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await untilAborted(Promise.all(Array.from({ length: numAtOnce }, work)), signal);
  if (failures.length > 0 && !signal.aborted) throw failures[0];
}

/** Waits for the work or for the signal, whichever comes first. */
async function untilAborted(work: Promise<unknown>, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  let stopWaiting = (): void => undefined;
  const aborted = new Promise<void>((resolve) => {
    stopWaiting = resolve;
  });
  signal.addEventListener("abort", stopWaiting);
  await Promise.race([work, aborted]);
  signal.removeEventListener("abort", stopWaiting);
}
