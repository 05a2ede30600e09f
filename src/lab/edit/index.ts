/** Plans of edits carried out on checkpoint folders and on models in memory. */
export {
  type EditForm,
  type EditReport,
  editCheckpoint,
  editForms,
  type TensorReport,
} from "./edit-checkpoint.ts";
export { readTensors } from "./edit-model.ts";
export { type GridPoint, listPoints } from "./grid-points.ts";
export { type EditPreview, previewEdit } from "./preview-edit.ts";
export { createModelRepairer } from "./repair-model.ts";
