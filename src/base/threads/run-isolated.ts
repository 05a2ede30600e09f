/** One task in a thread of its own, for code that damaged input may send astray: it may fail anywhere, never end, or fill the memory. */
import { Worker } from "node:worker_threads";
import { type AnswerMessage, restoreError, type TaskMessage } from "./worker.ts";

/** What is run, and how far it may go. */
export interface IsolatedTask<Task> {
  /** The entry file of the thread, which calls `serveTasks`. */
  readonly url: URL;
  readonly task: Task;
  readonly limitMs: number;
  /** Memory for objects; buffers are not counted. */
  readonly limitMiB: number;
}

/** The task's result. Rejects with whatever went wrong in the thread, and where it went beyond its limits. */
export async function runIsolated<Task, Result>({
  url,
  task,
  limitMs,
  limitMiB,
}: IsolatedTask<Task>): Promise<Result> {
  const worker = new Worker(url, { resourceLimits: { maxOldGenerationSizeMb: limitMiB } });
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<Result>((resolve, reject) => {
      timer = setTimeout(
        () => reject(new Error(`it takes longer than ${Math.round(limitMs / 1000)} s`)),
        limitMs,
      );
      worker.on("message", (answer: AnswerMessage<Result>) =>
        answer.kind === "done" ? resolve(answer.result) : reject(restoreError(answer)),
      );
      worker.on("error", reject);
      worker.on("exit", () => reject(new Error("its thread ended")));
      worker.postMessage({ task, share: { numThreads: 1 } } satisfies TaskMessage<Task>);
    });
  } finally {
    clearTimeout(timer);
    await worker.terminate();
  }
}
