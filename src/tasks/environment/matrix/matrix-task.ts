/** Questions about a matrix of integers whose answer is one integer: what determinant and rank have in common. */
import { z } from "zod";
import { type Random, UsageError } from "../../../base/core/index.ts";
import { createChatOnly } from "../chat-only.ts";
import type { Environment, Grade, TaskRequest } from "../environment.ts";
import { readLastObject } from "../json-answer.ts";
import type { IntegerMatrix } from "./exact-matrix.ts";

/** A matrix. */
export interface MatrixTask {
  readonly matrix: IntegerMatrix;
}

/** `[[1, 2], [3, 4]]`. */
function writeMatrix(matrix: IntegerMatrix): string {
  return `[${matrix.map((row) => `[${row.join(", ")}]`).join(", ")}]`;
}

/** A matrix with independent entries, both ends included. */
export function drawMatrix(
  random: Random,
  { rows, columns, limit }: { readonly rows: number; readonly columns: number; readonly limit: number },
): number[][] {
  return Array.from({ length: rows }, () =>
    Array.from({ length: columns }, () => random.integer(-limit, limit)),
  );
}

/** What a question about a matrix asks. */
interface MatrixQuestion {
  readonly name: string;
  /** As in `det [[1, 2], [3, 4]]`. */
  readonly short: string;
  readonly isSquare: boolean;
  /** Attempts that a task allows. */
  readonly attempts: number;
  readonly createTask: (request: TaskRequest) => MatrixTask;
  readonly solve: (matrix: IntegerMatrix) => number;
  /** The first line of the prompt, before the matrix. */
  readonly ask: (matrix: IntegerMatrix) => string;
}

/** The environment that asks it. Rewards: correct +5, all else −1. Chat models only. */
export function createMatrixEnvironment({
  name,
  short,
  isSquare,
  attempts,
  createTask,
  solve,
  ask,
}: MatrixQuestion): Environment<MatrixTask> {
  return createChatOnly({
    name,
    outcomes: ["correct", "incorrect", "illegal"],
    attempts,
    createTask,
    parseTask: (value) => parseMatrixTask(value, isSquare),
    describeTask: ({ matrix }) => `${short} ${writeMatrix(matrix)}`,
    prompt: ({ matrix }) => `${ask(matrix)}, given row by row:

${writeMatrix(matrix)}

End with one JSON object: {"answer": the ${name} as a whole number}`,
    referenceAnswer: ({ matrix }) => `{"answer": ${solve(matrix)}}`,
    grade: ({ matrix }, answer, { compat }) => gradeInteger(answer, solve(matrix), compat),
  });
}

const taskSchema = z.strictObject({
  matrix: z.array(z.array(z.number().int().min(-1e6).max(1e6)).min(1)).min(1),
});

/** A matrix from a user's JSON, e.g. {"matrix": [[1, 2], [3, 4]]}. Throws `UsageError` on any other shape. */
function parseMatrixTask(value: unknown, isSquare: boolean): MatrixTask {
  const task = taskSchema.safeParse(value).data;
  const isEven = task?.matrix.every(
    (row) => row.length === (isSquare ? task.matrix.length : task.matrix[0]?.length),
  );
  if (task !== undefined && isEven === true) return task;
  const shape = isSquare ? "a square of integers" : "rows of integers of one length";
  throw new UsageError(`Cannot read the matrix: give ${shape}, as in {"matrix": [[1, 2], [3, 4]]}`);
}

/**
 * Grades an integer answer. `compat` reads as the reference implementation does: any integer in the text will do, and equality
 * is modulo 1000. Rewards: correct +5, all else −1. Never throws.
 */
function gradeInteger(answer: string, expected: number, compat = false): Grade {
  const given = compat ? readAnyInteger(answer) : readInteger(answer);
  if (given === undefined)
    return {
      outcome: "illegal",
      reward: -1,
      parts: { format: false, values: false, solved: false },
      feedback: 'the answer is not a JSON object with a whole number as its "answer"',
    };
  const solved = compat ? (given - expected) % 1000 === 0 : given === expected;
  return {
    outcome: solved ? "correct" : "incorrect",
    reward: solved ? 5 : -1,
    parts: { format: true, values: solved, solved },
    feedback: solved ? `${given} is right` : `${given} is not right`,
  };
}

function readInteger(text: string): number | undefined {
  const { answer } = readLastObject(text);
  const number =
    typeof answer === "string" && /^[-+]?\d{1,15}$/.test(answer.trim()) ? Number(answer) : answer;
  return typeof number === "number" && Number.isSafeInteger(number) ? number + 0 : undefined;
}

/** `"answer": 5` anywhere, or else the first integer of the text. */
function readAnyInteger(text: string): number | undefined {
  const strict = readInteger(text);
  if (strict !== undefined) return strict;
  const found = /"answer":\s*(-?\d{1,15})/.exec(text)?.[1] ?? /-?\d{1,15}/.exec(text)?.[0];
  return found === undefined ? undefined : Number(found);
}
