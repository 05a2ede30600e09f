/** Repairs of a checkpoint tried out on a run's tasks, beside their controls. */

export { repairRun } from "./repair-run.ts";
export { runRecipeRepairs } from "./run-repair-grid.ts";
