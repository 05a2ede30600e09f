/** surgery: plans of edits as data, what they do to matrices by low-rank products, controls, adapters. */
export {
  type AddedProduct,
  checkAdaptable,
  checkAdaptableTarget,
  describeAdapter,
  joinAdapter,
  listAdapterTensors,
} from "./adapter.ts";
export { applyEdit, findCopy, type RowValues } from "./apply.ts";
export { type Control, type ControlKind, createControls } from "./controls.ts";
export { blend, type Edit, type FactorPair, limitRank, needsSource, planEdit } from "./edit.ts";
export { invertPlan } from "./invert.ts";
export { compareValues, type Departure, measureDeparture } from "./orthogonality.ts";
export {
  type Amount,
  type Choice,
  describeChoice,
  describeOperation,
  identifyOperation,
  type Operation,
  type Plan,
  type Ranks,
  type Restorable,
  type Restore,
  restorables,
} from "./plan.ts";
export { type PlannedEdit, resolveOperations, type TensorsOfBoth } from "./resolve.ts";
