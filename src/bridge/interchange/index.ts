/** Results of other evaluation tools read, and ours written in their formats. */
export { type ImportChoice, type ImportedItem, sortItems, toEvaluated } from "./imported-item.ts";
export { describeResults, describeSamples, type ExportedItem } from "./lm-eval.ts";
export { chooseResults, readResults } from "./read-results.ts";
