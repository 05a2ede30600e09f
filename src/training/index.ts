/** training: (state, batch) → (state, metrics), supervised and by reinforcement; knows neither disk nor evaluation. */
export { normalize, packSequences, type Sequence, type TokenBatch } from "./batch.ts";
export { createGrpoTrainer, type GrpoOptions } from "./grpo-trainer.ts";
export { type AdamWOptions, adamW } from "./optimizer.ts";
export type { PolicyOptions } from "./policy-trainer.ts";
export { createPpoTrainer, type PpoOptions } from "./ppo-trainer.ts";
export { collectEpisodes, type Episode, type RolloutOptions, type Turn } from "./rollout.ts";
export { constantSchedule, cosineSchedule, type Schedule, withWarmup } from "./schedule.ts";
export { createScorer, type Scorer } from "./scorer.ts";
export { createSupervisedTrainer, type SupervisedOptions } from "./supervised-trainer.ts";
export type { StepMetrics, Trainer, TrainerResult } from "./trainer.ts";
export type { TrainingState } from "./training-step.ts";
