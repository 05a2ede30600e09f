/** trajectory: what a run forgot and what came back, with its uncertainty, from solved-or-not tables of checkpoints. */
export type { Branch } from "./branch.ts";
export { type CheckpointOutcome, countSolved } from "./checkpoint-outcome.ts";
export type { Contrast } from "./contrast.ts";
export { chooseKept, type DeclineLook, type DeclineWatch, watchDecline } from "./decline.ts";
export { describeSweep } from "./describe-repairs.ts";
export { describeTrajectory } from "./describe-trajectory.ts";
export type { Point } from "./point.ts";
export type { Ratio } from "./recovery.ts";
export {
  type BestRepair,
  measureSweep,
  type RepairMeasure,
  type RepairOutcome,
  type SweepMeasure,
} from "./repair.ts";
export { rankSignals, type Signal, type SignalRanking } from "./signals.ts";
export { computeTrajectory, type Trajectory } from "./trajectory.ts";
