/** evaluation: fixed tasks × a model → graded items, and counts over them; knows nothing of training or runs. */
export {
  aggregate,
  countIncomplete,
  describeIncomplete,
  type SplitResult,
  solvedFraction,
} from "./aggregate.ts";
export { type AskOptions, askTasks, type Respond } from "./ask-tasks.ts";
export {
  createTasks,
  type EvaluatedItem,
  type EvaluationOptions,
  evaluate,
  hashTask,
} from "./evaluate.ts";
