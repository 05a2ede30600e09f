/** environment: the tasks that models are trained and measured on, their prompts, grades and lessons. */
export { type ConversationTurn, writeConversation } from "./conversation.ts";
export {
  type Attempt,
  type Environment,
  type Example,
  type GradeOptions,
  type Judging,
  type Lesson,
  type Rendering,
  renderings,
  type Split,
  splits,
  type TaskRequest,
  type Verdict,
  type VerdictParts,
} from "./environment.ts";
export { openEnvironment } from "./open.ts";
export { findEnvironment } from "./registry.ts";
