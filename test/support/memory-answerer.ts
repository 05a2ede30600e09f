/** An answerer without a model: what it says of each subject is given, and what it was asked is kept. */
import { StoppedError } from "../../src/base/progress/index.ts";
import type { Answerer, Assignment, Subject } from "../../src/lab/answer/index.ts";
import type { EvaluatedItem } from "../../src/tasks/evaluation/index.ts";

/** How it behaves. */
export interface MemoryOptions {
  /** Whether a subject solves a task. Default: it solves those with an even index. */
  readonly solves?: (subject: Subject, split: "id" | "ood", index: number) => boolean;
  /** Whether it answers for a subject. Default: for all. */
  readonly takes?: (subject: Subject) => boolean;
  /** Stops at the next question, as a user would. */
  readonly signal?: AbortSignal;
}

/** What it was asked to do, in the order of the calls. */
export interface MemoryAnswerer extends Answerer {
  readonly calls: string[];
}

/** Creates one for an assignment. */
export function createMemoryAnswerer(
  { tasks, splits }: Pick<Assignment, "tasks" | "splits">,
  { solves = (_, __, index) => index % 2 === 0, takes = () => true, signal }: MemoryOptions = {},
): MemoryAnswerer {
  const calls: string[] = [];
  const answer = (subject: Subject, split: "id" | "ood", index: number): EvaluatedItem => {
    const solved = solves(subject, split, index);
    return {
      split,
      index,
      promptHash: `${split}-${index}`,
      answer: solved ? "right" : "wrong",
      numAttempts: 1,
      outcome: solved ? "solved" : "wrong",
      reward: solved ? 1 : 0,
      parts: { solved, format: true, values: true },
    };
  };
  return {
    calls,
    choose: async (subjects) => subjects.filter(takes),
    prepare: async ({ missing }) => {
      calls.push(`prepare ${missing.map(({ id }) => id).join(", ")}`);
    },
    answer: async (subject) => {
      if (signal?.aborted) throw new StoppedError();
      calls.push(`answer ${subject.id}`);
      const indices = Array.from({ length: tasks.evaluation.numTasks }, (_, index) => index);
      const items = splits.flatMap((split) => indices.map((index) => answer(subject, split, index)));
      return { items, ...(subject.kind === "repair" && { moved: 0.5 }) };
    },
    close: async () => {
      calls.push("close");
    },
  };
}
