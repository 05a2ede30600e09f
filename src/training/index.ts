/** training: (state, batch) → (state, metrics), supervised and by reinforcement; knows neither disk nor evaluation. */
export { createGrpoTrainer, type GrpoOptions } from "./grpo-trainer.ts";
export { type AdamWOptions, adamW } from "./optimizer.ts";
export type { PolicyOptions } from "./policy-trainer.ts";
export { createPpoTrainer, type PpoOptions } from "./ppo-trainer.ts";
export { constantSchedule, cosineSchedule, type Schedule, withWarmup } from "./schedule.ts";
export { createSupervisedTrainer, type SupervisedOptions } from "./supervised-trainer.ts";
export type { StepMetrics, Trainer, TrainerResult } from "./trainer.ts";
export type { TrainingState } from "./training-step.ts";
