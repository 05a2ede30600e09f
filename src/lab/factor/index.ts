/** Tensors fingerprinted, factorized and compared on all cores, into the cache. */
export { readOverlaps } from "./overlaps.ts";
export { type FactorReader, planWanted, prepareFactors, type WantedFactors } from "./prepare-factors.ts";
export {
  createSpectraPool,
  createSpectraRunner,
  type MachineShare,
  type PlannedSpectraTask,
  type SpectraRunner,
  type SpectraWorkers,
} from "./spectra-runner.ts";
export type { SpectraMachine } from "./spectra-task.ts";
export { type KnownTensor, keyOf, requestFactors, type TensorLocation } from "./spectra-task.ts";
export { countVectors, isReadWhole, planComparison, planFactors, planFingerprint } from "./work.ts";
