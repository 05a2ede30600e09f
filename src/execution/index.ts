/** execution: independent tasks on all cores, the largest first, within a limit of memory; knows not what they do. */
export { carryOut, type PlannedTask } from "./carry-out.ts";
export type { Executor, TaskHandler } from "./executor.ts";
export { serveTasks } from "./worker.ts";
export { createWorkerPool } from "./worker-pool.ts";
