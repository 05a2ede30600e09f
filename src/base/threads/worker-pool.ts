/** A pool of worker threads, each carrying out one task at a time. */
import { Worker } from "node:worker_threads";
import { type AnswerMessage, restoreError, type TaskMessage } from "./worker.ts";
import type { Share, Workers } from "./workers.ts";

/** What a pool is made of. */
export interface PoolOptions {
  /** The entry file of its threads, which calls `serveTasks`. */
  readonly url: URL;
  /** Plain data that every thread finds in `workerData`. */
  readonly data: unknown;
  /** Threads at most. */
  readonly size: number;
}

/** A task that waits for its worker. */
interface Waiting<Task, Result> {
  readonly task: Task;
  readonly share: Share;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Workers of up to `size` threads. They start when they are first needed. A thread that dies rejects its task and is replaced by the next one.
 */
export function createWorkerPool<Task, Result>({ url, data, size }: PoolOptions): Workers<Task, Result> {
  const idle: Worker[] = [];
  const busy = new Map<Worker, Waiting<Task, Result>>();
  const queue: Waiting<Task, Result>[] = [];
  let isClosed = false;

  const settle = (worker: Worker): Waiting<Task, Result> | undefined => {
    const waiting = busy.get(worker);
    busy.delete(worker);
    return waiting;
  };
  const start = (): Worker => {
    const worker = new Worker(url, { workerData: data });
    worker.on("message", (answer: AnswerMessage<Result>) => {
      const waiting = settle(worker);
      idle.push(worker);
      if (answer.kind === "done") waiting?.resolve(answer.result);
      else waiting?.reject(restoreError(answer));
      assign();
    });
    const bury = (error: unknown): void => {
      settle(worker)?.reject(
        error instanceof Error ? error : new Error(`Cannot finish a task: ${String(error)}`),
      );
      const position = idle.indexOf(worker);
      if (position >= 0) idle.splice(position, 1);
      if (!isClosed) assign();
    };
    worker.on("error", bury);
    worker.on("messageerror", bury);
    worker.on("exit", () => bury(new Error("Cannot finish a task: its thread ended")));
    return worker;
  };
  const assign = (): void => {
    while (queue.length > 0 && (idle.length > 0 || busy.size < size)) {
      const waiting = queue.shift();
      if (waiting === undefined) return;
      const worker = idle.pop() ?? start();
      try {
        worker.postMessage({ task: waiting.task, share: waiting.share } satisfies TaskMessage<Task>);
        busy.set(worker, waiting);
      } catch (error) {
        // What cannot be sent is the task's fault, not the thread's.
        idle.push(worker);
        waiting.reject(error instanceof Error ? error : new Error(String(error)));
      }
    }
  };
  return {
    run: (task, share) =>
      new Promise((resolve, reject) => {
        if (isClosed) {
          reject(closedError());
          return;
        }
        queue.push({ task, share, resolve, reject });
        assign();
      }),
    close: async () => {
      isClosed = true;
      for (const { reject } of queue.splice(0)) reject(closedError());
      // Busy threads are not waited for: one may be deep in a native routine.
      for (const worker of busy.keys()) void worker.terminate();
      await Promise.all(idle.map((worker) => worker.terminate()));
    },
  };
}

function closedError(): Error {
  return new Error("Cannot carry out a task: the workers are closed");
}
