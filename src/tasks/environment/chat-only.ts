/** What environments without a compact prompt format have in common. */
import { writeHistory } from "./conversation.ts";
import type { Environment } from "./environment.ts";

/** The parts of an environment that only chat models can be asked: no vocabulary, no skills, retries that show the history. */
export function createChatOnly<Task>(
  parts: Omit<
    Environment<Task>,
    "promptFormats" | "vocabulary" | "skills" | "retryPrompt" | "numAttempts"
  > & {
    /** Attempts that a task allows. */
    readonly attempts: number;
  },
): Environment<Task> {
  const { attempts: numAttempts, ...others } = parts;
  return {
    ...others,
    promptFormats: ["chat"],
    vocabulary: [],
    skills: {},
    numAttempts: { compact: 1, chat: numAttempts },
    retryPrompt: (task, { promptFormat, attempts }) =>
      writeHistory(others.prompt(task, promptFormat), attempts),
  };
}
