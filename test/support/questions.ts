/** Folders of a user's own questions, small enough to work out their answers by hand. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Split } from "../../src/tasks/environment/index.ts";

/** A question with its right answer; graded as a number unless said otherwise. */
export interface Question {
  readonly question: string;
  readonly answer: string;
  readonly grader?: "exact" | "judge";
}

/** Writes the questions into a folder, and gives the name of the environment that they are. */
export function writeQuestions(
  folder: string,
  questions: { readonly [One in Split]: readonly Question[] },
): string {
  mkdirSync(folder, { recursive: true });
  for (const [split, all] of Object.entries(questions)) {
    const lines = all.map(({ question, answer, grader = "numeric" }) =>
      JSON.stringify({ question, answer, metadata: { grader } }),
    );
    writeFileSync(join(folder, `${split}.jsonl`), lines.join("\n"));
  }
  return `items:${folder}`;
}

/** Writes sums, as many of either split: `1 plus 0 ?`, `2 plus 1 ?`, …, of the other split `1 plus 10 ?`, … */
export function writeSums(folder: string, numTasks: number): string {
  const sums = (offset: number): readonly Question[] =>
    Array.from({ length: numTasks }, (_, index) => ({
      question: `${index + 1} plus ${offset + index} ?`,
      answer: String(2 * index + 1 + offset),
    }));
  return writeQuestions(folder, { id: sums(0), ood: sums(10) });
}

/** The words of sums, for tokenizers. */
export const sumWords: readonly string[] = [
  "plus",
  "?",
  ...Array.from({ length: 40 }, (_, number) => String(number)),
];

/** The sum of the numbers in a question. */
export function addNumbers(question: string): string {
  const numbers = question.match(/\d+/g) ?? [];
  return String(numbers.reduce((sum, number) => sum + Number(number), 0));
}
