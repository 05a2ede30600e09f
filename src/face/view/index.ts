/** What pages show of a run folder, as plain data, and reports that hold it. */
export { readAnswers } from "./answers.ts";
export type { RunListing, RunView } from "./contract.ts";
export { readCurves } from "./curves.ts";
export { writeFigures } from "./figures.ts";
export { createReportPage, pageFiles, readPageFile } from "./page.ts";
export { collectReport, readListing, readRun } from "./run-view.ts";
export { readPair, readWeights } from "./weights.ts";
