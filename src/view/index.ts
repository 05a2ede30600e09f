/** view: what pages show of run folders, as plain data; knows neither HTTP nor how anything is drawn. */
export { readAnswers } from "./answers.ts";
export type { RunListing } from "./contract.ts";
export { readCurves } from "./curves.ts";
export { createReportPage, pageFiles, readPageFile } from "./page.ts";
export { collectReport, describeListing, readRun, type Summarize } from "./run-view.ts";
export { readPair, readWeights } from "./weights.ts";
