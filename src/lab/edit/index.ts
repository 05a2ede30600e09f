/** Plans of edits carried out on checkpoint folders and on models in memory. */
export {
  type EditForm,
  type EditReport,
  editCheckpoint,
  editForms,
  type TensorReport,
} from "./edit-checkpoint.ts";
export { type EditedModels, editParameters, type StoredModel } from "./edit-model.ts";
export { loadFactors } from "./load-factors.ts";
export { type EditPreview, previewEdit } from "./preview-edit.ts";
export { loadStoredModel } from "./stored-model.ts";
export { listPoints, type SweepPoint } from "./sweep-points.ts";
