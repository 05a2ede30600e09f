/** The spectra of two checkpoints or of a run, here or as a job. */
export { chooseComparison } from "./choose-comparison.ts";
export { type ModelOutline, outlineModel } from "./describe-model.ts";
export { examineRun, renewSpectra } from "./renew-spectra.ts";
export {
  compareCheckpoints,
  computeRunSpectra,
  defaultRanks,
  keepRunSpectra,
  type SpectraChoice,
  writeSpectra,
} from "./run-spectra.ts";
export { openSpectraPieces, spectraJobKind } from "./spectra-job.ts";
