/** Who carries out tasks: the same interface for this thread and for a pool of others. */

/** How one task is to be carried out. */
export interface Share {
  /** Threads that the task may use. */
  readonly numThreads: number;
}

/** Carries out tasks, several at a time. Tasks and results are plain data. */
export interface Workers<Task, Result> {
  /** The task's result, or its error. */
  run(task: Task, share: Share): Promise<Result>;
  /** Ends it: tasks that still run are lost, their promises and those of later tasks rejected. */
  close(): Promise<void>;
}

/** Carries out one task: what a worker serves. */
export type TaskHandler<Task, Result> = (task: Task, share: Share) => Promise<Result>;

/** Workers on this very thread, for small work and for tests. */
export function createInlineWorkers<Task, Result>(handler: TaskHandler<Task, Result>): Workers<Task, Result> {
  let isClosed = false;
  return {
    run: async (task, share) => {
      if (isClosed) throw new Error("Cannot carry out a task: the workers are closed");
      return await handler(task, share);
    },
    close: async () => {
      isClosed = true;
    },
  };
}
