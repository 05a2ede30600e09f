/** A training watched as it runs: each new checkpoint evaluated, alerts sent. */
export { showAddress } from "./alert-hooks.ts";
export { watchRun } from "./watch-run.ts";
export type { WatchedTraining, WatchState } from "./watch-state.ts";
