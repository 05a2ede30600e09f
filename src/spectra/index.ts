/** spectra: what a fine-tune did to every weight matrix: measures, null models, guards, and the cache of factors. */

export type { NamedTensors } from "./align-tensors.ts";
export {
  compareMatrices,
  compareVectors,
  type SpectraSettings,
  type TensorPair,
  tolerances,
} from "./compare.ts";
export { flagShrinking } from "./continuity.ts";
export {
  type CachedRequest,
  type Comparison,
  type ComparisonKey,
  cacheVersion,
  type FactorCache,
  openFactorCache,
} from "./factor-cache.ts";
export {
  type Coverage,
  type MatchedTensor,
  matchTensors,
  type TensorSource,
  type UnmatchedTensor,
} from "./match-tensors.ts";
export {
  type Change,
  type Flag,
  flagMeanings,
  type MatrixComparison,
  type MatrixSpectra,
  type TensorLabel,
  type VectorSpectra,
} from "./matrix-spectra.ts";
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
} from "./pair-spectra.ts";
export type { CombinedSparsity } from "./sparsity.ts";
export {
  countElements,
  createStoredSource,
  findNonFinite,
  fingerprint,
  type StoredTensor,
} from "./stored-tensor.ts";
export { createTables, spectraVersion, tableNames } from "./tables.ts";
export {
  describeTensorName,
  type LayerRange,
  parseLayerRanges,
  parseLayers,
  parsePatterns,
} from "./tensor-name.ts";
export { findIntruders, numExaminedForIntruders } from "./update.ts";
export {
  countVectors,
  isReadWhole,
  keepVectors,
  planComparison,
  planFactors,
  planFingerprint,
} from "./work.ts";
