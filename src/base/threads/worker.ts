/** The worker's side of a pool: gets tasks as messages, answers each with its result or its error. */
import { parentPort } from "node:worker_threads";
import { describeError, findExitCode, UsageError } from "../core/index.ts";
import type { Share, TaskHandler } from "./workers.ts";

/** A task on its way to a worker. */
export interface TaskMessage<Task> {
  readonly task: Task;
  readonly share: Share;
}

/** What comes back: errors as data, because a class does not survive the way between threads. */
export type AnswerMessage<Result> =
  | { readonly kind: "done"; readonly result: Result }
  | { readonly kind: "refused"; readonly message: string; readonly exitCode: number }
  | { readonly kind: "failed"; readonly name: string; readonly message: string; readonly stack: string };

/** Serves tasks until the pool ends this thread. Call it once, in the worker's entry file. */
export function serveTasks<Task, Result>(handler: TaskHandler<Task, Result>): void {
  if (parentPort === null) throw new TypeError("Cannot serve tasks: this is not a worker thread");
  const port = parentPort;
  const answer = async ({ task, share }: TaskMessage<Task>): Promise<void> => {
    try {
      const result = await handler(task, share);
      port.postMessage({ kind: "done", result } satisfies AnswerMessage<Result>);
    } catch (error) {
      port.postMessage(describeFailure(error));
    }
  };
  port.on("message", (message: TaskMessage<Task>) => {
    void answer(message);
  });
}

function describeFailure(error: unknown): AnswerMessage<never> {
  if (!(error instanceof Error))
    return { kind: "failed", name: "Error", message: String(error), stack: String(error) };
  const { name, message, stack = "" } = error;
  // Errors that a user can fix say so by an exit code of their own.
  const exitCode = findExitCode(error);
  if (exitCode !== undefined) return { kind: "refused", message: describeError(error), exitCode };
  return { kind: "failed", name, message, stack };
}

/** The error of an answer that is none of success. */
export function restoreError(answer: Exclude<AnswerMessage<unknown>, { kind: "done" }>): Error {
  if (answer.kind === "refused") return new UsageError(answer.message, { exitCode: answer.exitCode });
  const error = answer.name === "RangeError" ? new RangeError(answer.message) : new Error(answer.message);
  error.stack = answer.stack;
  return error;
}
