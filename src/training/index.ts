/** Steps from (state, batch) to (state, metrics), supervised and by reinforcement learning. */
export { createGrpoTrainer } from "./grpo-trainer.ts";
export { adamW, type TrainingState } from "./optimizer.ts";
export type { PolicyOptions } from "./policy-trainer.ts";
export { createPpoTrainer } from "./ppo-trainer.ts";
export { constantSchedule, cosineSchedule, type Schedule, withWarmup } from "./schedule.ts";
export { createSupervisedTrainer } from "./supervised-trainer.ts";
export type { StepMetrics, Trainer } from "./trainer.ts";
