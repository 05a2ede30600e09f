/** Repairs of a checkpoint tried out on a run's tasks, beside their controls. */
export { runRecipeSweeps } from "./run-sweep.ts";
export { openSweepPieces, sweepJobKind } from "./sweep-job.ts";
export { sweepRun } from "./sweep-run.ts";
