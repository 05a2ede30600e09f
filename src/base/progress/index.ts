/** What long work reports, how it is stopped, and how long it still takes. */
export { type Effects, type LabEvent, StoppedError } from "./effects.ts";
export { createEstimator } from "./estimate.ts";
export { createPhases } from "./phases.ts";
