/** Graded answers of one checkpoint to fixed tasks, and counts over them. */
export {
  aggregate,
  countIncomplete,
  describeIncomplete,
  type SplitResult,
  solvedFraction,
} from "./aggregate.ts";
export { askTasks, type Respond } from "./ask-tasks.ts";
export { createTasks, type EvaluatedItem, evaluate, hashTask } from "./evaluate.ts";
