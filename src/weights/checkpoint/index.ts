/** Hugging Face checkpoint folders in all formats of weights, read and written tensor by tensor. */
export { findBaseFolder, isAdapterFolder, listOrigins, readAdapterConfig } from "./adapter/adapter-config.ts";
export { UnusableAdapterError } from "./adapter/adapter-error.ts";
export { inspectAdapter } from "./adapter/inspect-adapter.ts";
export { openCheckpoint, writeCheckpoint } from "./checkpoint.ts";
export { CheckpointError } from "./checkpoint-error.ts";
export { type ConfigDifference, compareConfigs } from "./config/compare-config.ts";
export { tiesEmbeddings } from "./config/config-fields.ts";
export { requireUnquantized } from "./config/quantization.ts";
export { describeLostTie, findHead, findLostTie, findTie, hasTokenRows } from "./config/tied-head.ts";
export { hasConv1D, packsTransposed } from "./config/transposed.ts";
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
export type { AdapterOrigin, Checkpoint, CheckpointTensor } from "./open-checkpoint.ts";
export { type ExpectedTensors, readTensors } from "./read-tensors.ts";
export { rewriteCheckpoint, type TensorBytes } from "./rewrite.ts";
export { openSafetensors, type SafetensorsFile } from "./safetensors/safetensors-read.ts";
export { type WritableTensor, writeSafetensors } from "./safetensors/safetensors-write.ts";
export { findWeights, type WeightFormat } from "./source/find-weights.ts";
export { type ListedFiles, listWeightFiles } from "./source/list-weights.ts";
export { takeRange } from "./source/stack.ts";
export { describeTensorName, parseLayerRanges, parseLayers, parsePatterns } from "./tensor-name.ts";
