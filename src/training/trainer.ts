/** What every kind of training offers to whoever drives it: a start and a step, both plain values. */
import type { TrainingState } from "./optimizer.ts";

/** Numbers of one step, as they are logged; nested objects hold distributions. */
export interface StepMetrics {
  readonly loss: number;
  /** Norm of the gradient before clipping. */
  readonly gradientNorm: number;
  readonly learningRate: number;
  /** Tokens that the step trained on, padding left out. */
  readonly numTokens: number;
  readonly [name: string]: unknown;
}

/** A trained state and what was logged on the way. */
export interface TrainerResult {
  readonly state: TrainingState;
  readonly metrics: StepMetrics;
}

/** One kind of training. */
export interface Trainer {
  /** The state that training starts from, given the model's parameters, which are copied. */
  start(parameters: Float32Array): TrainingState;
  /** Takes step number `step` (from 1); the result depends on the state and the number only. The state is used up: its vectors become those of the result. */
  step(state: TrainingState, step: number): Promise<TrainerResult>;
  /** The model's parameters in the state: adapters added in, a value head left out. The next step may change the array. */
  parameters(state: TrainingState): Promise<Float32Array>;
  release(): Promise<void>;
}
