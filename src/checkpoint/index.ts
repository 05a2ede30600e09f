/** checkpoint: safetensors files and Hugging Face checkpoint folders, read and written; knows nothing of models. */
export {
  type AdapterConfig,
  findBaseFolder,
  isAdapterFolder,
  listOrigins,
  readAdapterConfig,
} from "./adapter/adapter-config.ts";
export { UnusableAdapterError } from "./adapter/adapter-error.ts";
export { type AdapterState, inspectAdapter } from "./adapter/inspect-adapter.ts";
export {
  type CheckpointContent,
  loadTensors,
  openCheckpoint,
  writeCheckpoint,
} from "./checkpoint.ts";
export { CheckpointError } from "./checkpoint-error.ts";
export { type ConfigDifference, compareConfigs } from "./compare-config.ts";
export { tiesEmbeddings } from "./config-fields.ts";
export {
  createRangeDecoder,
  type Dtype,
  encodeDoubles,
  type FloatDtype,
  isFloatDtype,
  numBytesOf,
  type ReadableBytes,
  roundFloats,
  type WritableDtype,
} from "./dtype.ts";
export { type FoundWeights, findWeights, type WeightFormat } from "./find-weights.ts";
export { type ListedFiles, listWeightFiles } from "./list-weights.ts";
export type { AdapterOrigin, Checkpoint, CheckpointTensor, LowRankUpdate } from "./open-checkpoint.ts";
export { requireUnquantized } from "./quantization.ts";
export { rewriteCheckpoint, type TensorBytes } from "./rewrite.ts";
export type { SafetensorsHeader, TensorEntry } from "./safetensors-header.ts";
export { openSafetensors, type SafetensorsFile, type TensorData } from "./safetensors-read.ts";
export { type SafetensorsMetadata, type WritableTensor, writeSafetensors } from "./safetensors-write.ts";
export { takeRange } from "./stack.ts";
export { findHead, findLostTie, findTie, hasTokenRows } from "./tied-head.ts";
export { hasConv1D, packsTransposed } from "./transposed.ts";
