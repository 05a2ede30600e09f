/** What a fine-tune did to every weight matrix: measures, comparison with chance, flags, tables. */
export {
  compareMatrices,
  compareVectors,
  type SpectraSettings,
  type TensorPair,
  tolerances,
} from "./compare.ts";
export type { NamedTensors } from "./match/align-tensors.ts";
export {
  type Coverage,
  type MatchedTensor,
  matchTensors,
  type TensorSource,
  type UnmatchedTensor,
} from "./match/match-tensors.ts";
export { flagShrinking } from "./record/continuity.ts";
export {
  type Change,
  type Comparison,
  type Flag,
  flagMeanings,
  type MatrixComparison,
  type MatrixSpectra,
  type TensorLabel,
} from "./record/matrix-spectra.ts";
export {
  collectPair,
  describePair,
  describeRotation,
  formatPercent,
  formatRanks,
  type PairHeadline,
  type PairSpectra,
  type Spread,
  totalSparsity,
} from "./record/pair-spectra.ts";
export { createTables, spectraVersion, tableNames } from "./record/tables.ts";
export type { CombinedSparsity } from "./sparsity.ts";
export {
  countElements,
  createStoredSource,
  findNonFinite,
  fingerprint,
  openStored,
  type StoredTensor,
} from "./stored-tensor.ts";
export { findIntruders, numExaminedForIntruders } from "./update.ts";
