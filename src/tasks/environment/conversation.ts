/** Tasks as conversations: the prompt, each answer, and what is said when it fails. */
import type { Attempt, Environment, Grade, PromptFormat } from "./environment.ts";

/** A turn of a conversation. */
export interface ConversationTurn {
  readonly role: "user" | "assistant";
  readonly content: string;
}

/** What a failed answer is told. */
export function writeFeedback({ feedback }: Grade): string {
  return `This answer failed because ${feedback}. Try again.`;
}

/** A conversation so far as one text, for prompt formats of environments whose retries show the history. */
export function writeHistory(prompt: string, attempts: readonly Attempt[]): string {
  const turns = attempts.map(
    ({ answer, grade }, index) => `Your answer ${index + 1}:\n${answer}\n\n${writeFeedback(grade)}`,
  );
  return [prompt, ...turns].join("\n\n");
}

/**
 * The turns before the next attempt. The compact prompt format has no words for feedback: each attempt is asked as a
 * conversation of its own.
 */
export function writeConversation<Task>(
  environment: Environment<Task>,
  task: Task,
  { promptFormat, attempts }: { readonly promptFormat: PromptFormat; readonly attempts: readonly Attempt[] },
): readonly ConversationTurn[] {
  const first = { role: "user" as const, content: environment.prompt(task, promptFormat) };
  if (attempts.length === 0) return [first];
  if (promptFormat === "compact")
    return [{ role: "user", content: environment.retryPrompt(task, { promptFormat, attempts }) }];
  return [
    first,
    ...attempts.flatMap(({ answer, grade }): readonly ConversationTurn[] => [
      { role: "assistant", content: answer },
      { role: "user", content: writeFeedback(grade) },
    ]),
  ];
}
