/** The tasks that models are trained and measured on, with their prompts, graders and skills. */
export { checkCount } from "./check-count.ts";
export { type ConversationTurn, writeConversation } from "./conversation.ts";
export {
  type Attempt,
  type Environment,
  type Example,
  type Grade,
  type GradeParts,
  type PromptFormat,
  promptFormats,
  type Split,
  splits,
} from "./environment.ts";
export { openEnvironment } from "./open.ts";
export { findEnvironment } from "./registry.ts";
