/**
 * What a task family must offer to be trained on and measured: tasks by number, prompts, reference answers,
 * grades, and the skills that base models are taught. Knows no family itself.
 */
import type { Random } from "../../base/core/index.ts";

/** Where a task is drawn from: as in training (id) or under the changed rule (ood). */
export const splits = ["id", "ood"] as const;
/** Where tasks are drawn from: as in training, or under the changed rule. */
export type Split = (typeof splits)[number];

/** How a task is written: words of a small vocabulary (compact), or instructions for a chat model (chat). */
export const promptFormats = ["compact", "chat"] as const;
/** How a task is put into text: words of a small vocabulary, or sentences for a model that chats. */
export type PromptFormat = (typeof promptFormats)[number];

/** A prompt and the answer to learn. */
export interface Example {
  readonly prompt: string;
  readonly answer: string;
}

/** What an answer got right, apart from its reward: what is forgotten shows here. */
export interface GradeParts {
  /** The answer has the required shape. */
  readonly format: boolean;
  /** The values read off the task are right (false when the format is not). */
  readonly values: boolean;
  /** The answer is right as a whole. */
  readonly solved: boolean;
}

/** The grade of one answer. */
export interface Grade {
  /** One of the environment's `outcomes`. */
  readonly outcome: string;
  /** A finite number; the top reward means solved. */
  readonly reward: number;
  readonly parts: GradeParts;
  /** The reason, as a short clause that can follow "because". */
  readonly feedback: string;
}

/** An answer already given to a task, with its grade. */
export interface Attempt {
  readonly answer: string;
  readonly grade: Grade;
}

/** Which task to create. The draws depend on `seed + index`: index 1 of seed 5 is index 0 of seed 6. */
export interface TaskRequest {
  readonly split: Split;
  readonly seed: number;
  readonly index: number;
  readonly promptFormat: PromptFormat;
}

/** How to grade. */
export interface GradeOptions {
  readonly promptFormat: PromptFormat;
  /** Repeat the known defects of the reference implementation, to compare with its numbers; default false. */
  readonly compat?: boolean;
}

/** Something that base models are taught, as an endless supply of examples. */
export interface Skill {
  /** What is practiced, in one sentence. */
  readonly summary: string;
  /** Draws one example. */
  draw(random: Random): Example;
}

/** Answers that only another model can grade. */
export interface Judging<Task = unknown> {
  /** Whether it takes a judge to grade answers to a task. */
  isNeeded(task: Task): boolean;
  /** What the judge is asked about an answer. */
  prompt(task: Task, answer: string): string;
  /** The grade by what the judge said; `undefined` where it said none. Never throws, whatever the text. */
  grade(said: string): Grade | undefined;
}

/** A family of tasks. Every method is deterministic, but for a regular expression that takes too long to be matched. */
export interface Environment<Task = unknown> {
  readonly name: string;
  readonly promptFormats: readonly PromptFormat[];
  /** Every outcome that a grade can have, best first. */
  readonly outcomes: readonly string[];
  /** The attempts that a task allows. */
  readonly numAttempts: { readonly [R in PromptFormat]: number };
  /** How many different tasks there are of each split; absent where they never end. */
  readonly numTasks?: { readonly [S in Split]: number };
  /** The words of the compact prompt format in token-id order, without special tokens. */
  readonly vocabulary: readonly string[];
  /** What base models are taught, by name; all in the compact prompt format. */
  readonly skills: Readonly<Record<string, Skill>>;
  /** The task of that number. The same request gives the same task. */
  createTask(request: TaskRequest): Task;
  /** The task in a user's JSON value. Throws `UsageError`. */
  parseTask(value: unknown): Task;
  /** What tells a task from all others, where its prompt alone does not: the right answer may change. */
  identify?(task: Task): string;
  /** One short line for people. */
  describeTask(task: Task): string;
  /** The prompt of the first attempt. */
  prompt(task: Task, promptFormat: PromptFormat): string;
  /** The prompt of the next attempt, after `attempts` (oldest first) failed. */
  retryPrompt(
    task: Task,
    options: { readonly promptFormat: PromptFormat; readonly attempts: readonly Attempt[] },
  ): string;
  /** An answer that is graded as solved. Throws `RangeError` for a task that has none in that prompt format. */
  referenceAnswer(task: Task, promptFormat: PromptFormat): string;
  /** Where it is not always the reference answer: the text whose likelihood is measured, or `undefined` where there is none. */
  scoredAnswer?(task: Task, promptFormat: PromptFormat): string | undefined;
  /** The probability that a guess is right, in [0, 1); without it, guessing gets nowhere. */
  chance?(task: Task): number;
  /** What a task shares with others, such as a document or a template, so that answers to them are alike; `undefined` for one that stands for itself. */
  group?(task: Task): string | undefined;
  /** Where there are tasks that only a model can grade. */
  readonly judging?: Judging<Task>;
  /** Grades an answer. Never throws, whatever the text. */
  grade(task: Task, answer: string, options: GradeOptions): Grade;
}
