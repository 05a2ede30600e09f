/** Checkpoints evaluated on a run's tasks, and the answers kept. */
export { evaluateModel } from "./evaluate-model.ts";
export { type EvaluationPlace, type EvaluationWay, evaluateRun, type TaskChoice } from "./evaluate-run.ts";
export { estimateAnswering, evaluationJobKind, openEvaluationPieces } from "./evaluation-job.ts";
export { keepCheckpoint } from "./keep-checkpoint.ts";
export { requireSameAsking } from "./settle-tasks.ts";
