/** What a run's evaluations add up to: its summary, its signals, exports. */
export { exportForms, exportResults } from "./export-results.ts";
export { describeTasks } from "./run-questions.ts";
export { rankRunSignals } from "./signals.ts";
export { readFinished, readOutcome, renewSummary, summarize, toOutcome } from "./summarize.ts";
