/** What environments without a compact rendering have in common. */
import { writeHistory } from "./conversation.ts";
import type { Environment } from "./environment.ts";

/** The parts of an environment that only chat models can be asked: no vocabulary, no lessons, retries that show the history. */
export function createChatOnly<Task>(
  parts: Omit<Environment<Task>, "renderings" | "vocabulary" | "lessons" | "retryPrompt" | "numAttempts"> & {
    /** Attempts that a task allows. */
    readonly attempts: number;
  },
): Environment<Task> {
  const { attempts: numAttempts, ...others } = parts;
  return {
    ...others,
    renderings: ["chat"],
    vocabulary: [],
    lessons: {},
    numAttempts: { compact: 1, chat: numAttempts },
    retryPrompt: (task, { rendering, attempts }) => writeHistory(others.prompt(task, rendering), attempts),
  };
}
