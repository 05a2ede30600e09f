/** Checkpoints evaluated on tasks, and the answers of a run's kept. */
export { evaluateModel } from "./evaluate-model.ts";
export { type EvaluatedRun, evaluateRun } from "./evaluate-run.ts";
export { evaluateServed, type ServedEvaluation } from "./evaluate-served.ts";
export { keepCheckpoint } from "./keep-checkpoint.ts";
export { requireSameAsking } from "./settle-tasks.ts";
