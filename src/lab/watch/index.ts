/** A training watched as it runs: each new checkpoint evaluated, alerts sent. */
export { type WatchRequest, watchRun } from "./watch-run.ts";
export type { WatchedTraining, WatchState } from "./watch-state.ts";
