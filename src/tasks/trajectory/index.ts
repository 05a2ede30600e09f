/** What a run forgot and what came back, with its uncertainty. */
export { type CheckpointOutcome, countSolved } from "./checkpoint-outcome.ts";
export { significanceLevel } from "./contrast.ts";
export {
  chooseKept,
  type DeclineLook,
  type DeclineWatch,
  type WatchedPoint,
  watchDecline,
} from "./decline.ts";
export { describeRepairs } from "./describe-repairs.ts";
export { describeTrajectory } from "./describe-trajectory.ts";
export type { Point } from "./point.ts";
export { measureRepairs } from "./repair.ts";
export { statedPower } from "./sensitivity.ts";
export { rankSignals, type Signal, type SignalRanking } from "./signals.ts";
export { computeTrajectory } from "./trajectory.ts";
