/** Independent tasks on all cores, the largest first, within a limit of memory. */
export { carryOut, type PlannedTask } from "./carry-out.ts";
export { matchWithin } from "./match-within.ts";
export { runIsolated } from "./run-isolated.ts";
export { serveTasks } from "./worker.ts";
export { createWorkerPool } from "./worker-pool.ts";
export type { TaskHandler, Workers } from "./workers.ts";
