/** Work for an answerer: subjects, and where their answers are kept. */
import type { RunFolder } from "../../run/index.ts";
import type { Answers, Subject } from "./answerer.ts";

/** What answers are for: the kind of a job that gives them. */
export type AnswerJobKind = "evaluation" | "repair";

/** Answers, and how long they took in milliseconds. */
export interface TimedAnswers extends Answers {
  readonly ms: number;
}

/** What is to be answered, and where answers are kept. */
export interface AnswerWork<One extends Subject> {
  readonly kind: AnswerJobKind;
  readonly folder: RunFolder;
  /** All subjects, those included that have answers: a job stays the same while they come in. */
  readonly subjects: readonly One[];
  readonly isKept: (subject: One) => Promise<boolean>;
  readonly readKept: (subject: One) => Promise<TimedAnswers>;
  readonly keep: (subject: One, answers: TimedAnswers) => Promise<void>;
  /** What is said where nothing is missing and only a description was asked. */
  readonly nothingMissing: string;
}
