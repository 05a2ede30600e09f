/** The tasks that models are trained and measured on, with their prompts, graders and lessons. */
export { checkCount } from "./check-count.ts";
export { type ConversationTurn, writeConversation } from "./conversation.ts";
export {
  type Attempt,
  type Environment,
  type Example,
  type Rendering,
  renderings,
  type Split,
  splits,
  type Verdict,
  type VerdictParts,
} from "./environment.ts";
export { openEnvironment } from "./open.ts";
export { findEnvironment } from "./registry.ts";
