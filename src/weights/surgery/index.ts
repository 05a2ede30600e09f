/** Edits of matrices as data, what they do, their controls, and adapters. */
export {
  type AddedProduct,
  checkAdaptable,
  checkAdaptableTarget,
  describeAdapter,
  joinAdapter,
  listAdapterTensors,
} from "./adapter.ts";
export { applyEdit, findCopy } from "./apply.ts";
export { type ControlKind, createControls } from "./controls.ts";
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
