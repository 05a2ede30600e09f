/**
 * Countdown: a formula of given numbers, each used exactly once, that equals a target. Out of distribution there are more
 * numbers. Values are exact rationals: nothing is rounded, and nothing is ever executed. Chat models only.
 */
import { z } from "zod";
import { createRandom, type Random, UsageError } from "../../base/core/index.ts";
import { bigArithmetic } from "./arithmetic/big-rational.ts";
import {
  countViolations,
  evaluateFormula,
  isNumeral,
  readNumeral,
  statesOtherValue,
  tokenizeFormula,
  unifyOperators,
} from "./arithmetic/formula.ts";
import type { Operator } from "./arithmetic/rational.ts";
import { createChatOnly } from "./chat-only.ts";
import type { Environment, Grade, TaskRequest } from "./environment.ts";
import { readLastObject } from "./json-answer.ts";

/** Numbers, and the value that a formula of them must have. */
export interface CountdownTask {
  readonly numbers: readonly number[];
  readonly target: number;
  /** A formula that solves it. */
  readonly solution: string;
}

/** How many numbers a task has. */
const counts = { id: 4, ood: 6 } as const;
const largestNumber = 50;
const targets = { least: 10, most: 99 } as const;

/** An integer and how it was made. */
interface Term {
  readonly value: number;
  readonly text: string;
}

/** Joins random terms by random operations that stay positive integers, until one is left; again until it fits the range. */
function createTask({ split, seed, index }: TaskRequest): CountdownTask {
  const random = createRandom(seed + index, "countdown", split);
  for (;;) {
    const numbers = Array.from({ length: counts[split] }, () => random.integer(1, largestNumber));
    const { value, text } = joinAll(random, numbers);
    if (value >= targets.least && value <= targets.most)
      return { numbers: random.shuffle(numbers), target: value, solution: text.replace(/^\((.*)\)$/, "$1") };
  }
}

function joinAll(random: Random, numbers: readonly number[]): Term {
  let terms: readonly Term[] = numbers.map((value) => ({ value, text: String(value) }));
  while (terms.length > 1) {
    const [first, second, ...others] = random.shuffle(terms);
    if (first === undefined || second === undefined) break;
    const [large, small] = first.value >= second.value ? [first, second] : [second, first];
    terms = [...others, join(large, small, random.pick(listOperators(large.value, small.value)))];
  }
  return terms[0] ?? { value: 0, text: "" };
}

function listOperators(large: number, small: number): readonly Operator[] {
  return [
    "+",
    ...(large > small ? (["-"] as const) : []),
    "*",
    ...(large % small === 0 ? (["/"] as const) : []),
  ];
}

function join(large: Term, small: Term, operator: Operator): Term {
  const results = {
    "+": large.value + small.value,
    "-": large.value - small.value,
    "*": large.value * small.value,
    "/": large.value / small.value,
  };
  return { value: results[operator], text: `(${large.text}${operator}${small.text})` };
}

const outcomes = ["correct", "incorrect", "wrong-numbers", "illegal"] as const;

/** Grades a formula: its form, its numbers as a multiset, its exact value. Rewards: +5, −1, −2, −3. Never throws. */
function grade({ numbers, target }: CountdownTask, answer: string): Grade {
  const { formula } = readLastObject(answer);
  const written = typeof formula === "string" ? unifyOperators(formula).replaceAll(/\s+/g, "") : "";
  const [graded = ""] = written.split("=");
  const tokens = tokenizeFormula(graded);
  if (tokens === undefined || tokens.length === 0 || countViolations(tokens) > 0)
    return {
      outcome: "illegal",
      reward: -3,
      parts: { format: false, values: false, solved: false },
      feedback:
        'the answer is not a JSON object whose "formula" holds numbers, + - * / and brackets, each in its place',
    };
  if (!isSameMultiset(tokens.filter(isNumeral).map(readNumeral), numbers))
    return {
      outcome: "wrong-numbers",
      reward: -2,
      parts: { format: true, values: false, solved: false },
      feedback: `the formula does not use each of ${numbers.join(", ")} exactly once`,
    };
  const value = evaluateFormula(tokens, bigArithmetic);
  const solved =
    value !== undefined &&
    value.denominator === 1n &&
    value.numerator === BigInt(target) &&
    !statesOtherValue(written, target);
  return {
    outcome: solved ? "correct" : "incorrect",
    reward: solved ? 5 : -1,
    parts: { format: true, values: true, solved },
    feedback: solved ? `the formula equals ${target}` : `the formula is not ${target}`,
  };
}

function isSameMultiset(left: readonly number[], right: readonly number[]): boolean {
  const sort = (values: readonly number[]): string => [...values].sort((a, b) => a - b).join();
  return left.length === right.length && sort(left) === sort(right);
}

const taskSchema = z.strictObject({
  numbers: z.array(z.number().int().min(1).max(1e6)).min(2).max(8),
  target: z.number().int().min(-1e9).max(1e9),
});

/** A task from a user's JSON, e.g. {"numbers": [1, 81, 1, 1], "target": 81}. Throws `UsageError` on any other shape. */
function parseTask(value: unknown): CountdownTask {
  const task = taskSchema.safeParse(value).data;
  if (task === undefined)
    throw new UsageError('Cannot read the task: write it like {"numbers": [1, 81, 1, 1], "target": 81}');
  return { ...task, solution: "" };
}

/** Countdown with four numbers, out of distribution with six. Rewards: +5 correct, −1 incorrect, −2 wrong numbers, −3 illegal. */
export const countdown: Environment<CountdownTask> = createChatOnly({
  name: "countdown",
  outcomes,
  attempts: 1,
  createTask,
  parseTask,
  describeTask: ({ numbers, target }) => `${target} of ${numbers.join(" ")}`,
  prompt: ({
    numbers,
    target,
  }) => `Write a formula whose value is ${target}, made from these numbers: ${numbers.join(", ")}.
- Use each of them exactly once, and no other number.
- The formula may hold + - * / and brackets. Fractions on the way are allowed.

End with one JSON object: {"formula": "the formula"}`,
  referenceAnswer: ({ solution, target }) => {
    if (solution === "") throw new RangeError(`Cannot solve for ${target}: the task came without a solution`);
    return `{"formula": "${solution}"}`;
  },
  grade,
});
