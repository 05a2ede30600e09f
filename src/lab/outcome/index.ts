/** What a run's evaluations add up to: its summary, its signals, exports. */
export { exportForms, exportResults } from "./export-results.ts";
export { rankRunSignals } from "./signals.ts";
export { renewSummary, summarize, toOutcome } from "./summarize.ts";
