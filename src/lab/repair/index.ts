/** Repairs of a checkpoint tried out on a run's tasks, beside their controls. */
export { runRecipeSweeps } from "./run-sweep.ts";
export { sweepRun } from "./sweep-run.ts";
