/** interchange: results of other evaluation tools read, and ours written as they write theirs. */
export { compareKeys, type ImportChoice, type ImportedItem, toEvaluated } from "./imported-item.ts";
export { describeResults, describeSamples, type ExportedItem } from "./lm-eval.ts";
export { readResults } from "./read-results.ts";
