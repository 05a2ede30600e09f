/** Tasks as conversations: the prompt, each answer, and what is said when it fails. */
import type { Attempt, Environment, Rendering, Verdict } from "./environment.ts";

/** A turn of a conversation. */
export interface ConversationTurn {
  readonly role: "user" | "assistant";
  readonly content: string;
}

/** What a failed answer is told. */
export function writeFeedback({ feedback }: Verdict): string {
  return `This answer failed because ${feedback}. Try again.`;
}

/** A conversation so far as one text, for renderings of environments whose retries show the history. */
export function writeHistory(prompt: string, attempts: readonly Attempt[]): string {
  const turns = attempts.map(
    ({ answer, verdict }, index) => `Your answer ${index + 1}:\n${answer}\n\n${writeFeedback(verdict)}`,
  );
  return [prompt, ...turns].join("\n\n");
}

/**
 * The turns before the next attempt. The compact rendering has no words for feedback: each attempt is asked as a
 * conversation of its own.
 */
export function writeConversation<Task>(
  environment: Environment<Task>,
  task: Task,
  { rendering, attempts }: { readonly rendering: Rendering; readonly attempts: readonly Attempt[] },
): readonly ConversationTurn[] {
  const first = { role: "user" as const, content: environment.prompt(task, rendering) };
  if (attempts.length === 0) return [first];
  if (rendering === "compact")
    return [{ role: "user", content: environment.retryPrompt(task, { rendering, attempts }) }];
  return [
    first,
    ...attempts.flatMap(({ answer, verdict }): readonly ConversationTurn[] => [
      { role: "assistant", content: answer },
      { role: "user", content: writeFeedback(verdict) },
    ]),
  ];
}
