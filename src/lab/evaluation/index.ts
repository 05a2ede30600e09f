/** Evaluates checkpoints on tasks, and keeps a run's answers. */
export { evaluateModel } from "./evaluate-model.ts";
export { type EvaluatedRun, evaluateRun } from "./evaluate-run.ts";
export { evaluateServed, type ServedEvaluation } from "./evaluate-served.ts";
export { keepCheckpoint } from "./keep-checkpoint.ts";
export { requireSameAsking } from "./settle-tasks.ts";
