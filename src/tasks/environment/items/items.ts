/** A user's own questions as an environment: ID and OOD items from JSON lines, each with its grader. Chat models only. */
import { join, resolve } from "node:path";
import { z } from "zod";
import { createRandom, UsageError } from "../../../base/core/index.ts";
import { fileExists, readText } from "../../../base/file/index.ts";
import { matchWithin } from "../../../base/threads/index.ts";
import { createChatOnly } from "../chat-only.ts";
import type { Environment, Grade, Judging, Split } from "../environment.ts";
import { splits } from "../environment.ts";
import { readLastObject } from "../json-answer.ts";
import { type Grader, graderSchema, readAnswer, regexLimitMs } from "./grader.ts";
import { readWholeNumber } from "./number.ts";

/** A question with its right answer. */
export interface Item {
  readonly question: string;
  readonly answer: string;
  readonly grader: Grader;
  /** The text of a right answer as training would have it: what the loss is measured on. */
  readonly reference?: string;
  /** What it shares with other items. */
  readonly group?: string;
}

const itemSchema = z.looseObject({
  question: z.string().min(1),
  answer: z.union([z.string(), z.number(), z.boolean()]),
  reference: z.string().min(1).optional(),
  metadata: z
    .looseObject({
      grader: z
        .union([z.enum(["exact", "numeric", "choice", "json", "regex", "judge"]), graderSchema])
        .optional(),
      group: z.union([z.string().min(1), z.number()]).optional(),
    })
    .optional(),
});

/**
 * The environment of a folder with `id.jsonl` and `ood.jsonl`: lines of {"question", "answer", "reference", "metadata"}, in which
 * `metadata.grader` says how to grade (default: exact), `metadata.group` what the item shares with others (a document, a template), and
 * `reference` how a right answer is worded in training. Throws `UsageError` naming file and line of what is malformed.
 */
export async function openItems(folder: string): Promise<Environment<Item>> {
  const items = { id: await readItems(folder, "id"), ood: await readItems(folder, "ood") };
  return createItems(`items:${resolve(folder)}`, items);
}

async function readItems(folder: string, split: Split): Promise<readonly Item[]> {
  const path = join(folder, `${split}.jsonl`);
  if (!(await fileExists(path)))
    throw new UsageError(
      `Cannot read the items of "${folder}": there is no ${split}.jsonl in it; give a folder with ${splits.map((one) => `${one}.jsonl`).join(" and ")}`,
    );
  const items = (await readText(path))
    .split("\n")
    .flatMap((line, index) =>
      line.trim() === "" ? [] : [parseItem(line, `line ${index + 1} of "${path}"`)],
    );
  if (items.length === 0) throw new UsageError(`Cannot use "${path}": it holds no items`);
  const groups = new Set(items.map(({ group }) => group));
  const [group] = groups;
  if (group !== undefined && groups.size === 1)
    throw new UsageError(
      `Cannot use "${path}": all of its items are of the group "${group}", and it takes two to compare; leave metadata.group out, or say what differs`,
    );
  return items;
}

function parseItem(line: string, place: string): Item {
  const refuse = (problem: string): never => {
    throw new UsageError(
      `Cannot read ${place}: ${problem}; write it like {"question": "2 + 2?", "answer": "4", "metadata": {"grader": "numeric"}}`,
    );
  };
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return refuse("it is not JSON");
  }
  const parsed = itemSchema.safeParse(value);
  if (!parsed.success)
    return refuse(`its "${parsed.error.issues[0]?.path.join(".") ?? ""}" is missing or wrong`);
  const { question, answer, reference, metadata = {} } = parsed.data;
  const { grader: named = "exact", group } = metadata;
  const grader = typeof named === "string" ? graderSchema.parse({ kind: named }) : named;
  // Spelled as a number where it was given as one, for that is how an answer in JSON has it.
  const spelled =
    grader.kind === "json" ? `{${JSON.stringify(grader.field)}: ${JSON.stringify(answer)}}` : undefined;
  const wording = reference ?? spelled;
  const item = {
    question,
    answer: String(answer),
    grader,
    ...(wording !== undefined && { reference: wording }),
    ...(group !== undefined && { group: String(group) }),
  };
  const problem = findProblem(item);
  return problem === undefined ? item : refuse(problem);
}

/** Why an item could never be answered, or not as it is meant. */
function findProblem(item: Item): string | undefined {
  const { answer, reference, grader } = item;
  if (answer.trim() === "") return "its answer is empty";
  const problem = findAnswerProblem(item);
  if (problem !== undefined || reference === undefined || grader.kind === "judge") return problem;
  return readAnswer(reference, answer, grader).isRight
    ? undefined
    : `its reference ${JSON.stringify(reference)} is not graded as right`;
}

function findAnswerProblem({ answer, grader }: Item): string | undefined {
  if (grader.kind === "numeric") return findNumberProblem(answer);
  if (grader.kind === "choice" && !/^[A-Za-z]$/.test(answer.trim()))
    return `its answer "${answer}" is not a single letter`;
  return grader.kind === "regex" ? findExpressionProblem(answer) : undefined;
}

function findNumberProblem(answer: string): string | undefined {
  const number = readWholeNumber(answer);
  if (number === undefined || !Number.isFinite(number.value)) return `its answer "${answer}" is not a number`;
  return number.isAmbiguous
    ? `its answer "${answer}" may be one number or two; write decimals with a point`
    : undefined;
}

/** Repeats of one character are what broken models say, and what expressions with nested repeats never finish. */
function findExpressionProblem(answer: string): string | undefined {
  let expression: RegExp;
  try {
    expression = new RegExp(answer, "i");
  } catch {
    return `its answer "${answer}" is not a regular expression`;
  }
  const characters = new Set(["a", "0", " ", ...(answer.match(/[\p{L}\p{N}]/gu) ?? [])]);
  for (const character of [...characters].slice(0, 40))
    if (matchWithin(expression, `${character.repeat(40)}\n!`, regexLimitMs) === undefined)
      return `its answer "${answer}" takes for ever on repeated characters; write it without repeats inside of repeats, as a+ for (a+)+`;
  return undefined;
}

/** Items as an environment; a task is one of them, in an order drawn once for each split. */
export function createItems(
  name: string,
  items: Readonly<Record<Split, readonly Item[]>>,
): Environment<Item> {
  const orders = {
    id: createRandom(1, "items", "id").shuffle(items.id),
    ood: createRandom(1, "items", "ood").shuffle(items.ood),
  };
  const needsJudge = [...items.id, ...items.ood].some(({ grader }) => grader.kind === "judge");
  return {
    ...(needsJudge && { judging }),
    ...createChatOnly<Item>({
      name,
      outcomes: ["correct", "incorrect", "illegal"],
      attempts: 1,
      createTask: ({ split, seed, index }) => {
        const order = orders[split];
        const item = order[(seed + index) % order.length];
        if (item === undefined) throw new RangeError(`Cannot take item ${index} of ${split}: there is none`);
        return item;
      },
      parseTask: (value) => parseItem(JSON.stringify(value) ?? "", "the task"),
      describeTask: ({ question }) => question,
      prompt: ({ question }) => question,
      referenceAnswer: ({ answer, reference }) => reference ?? answer,
      // Nobody is trained on a regular expression.
      scoredAnswer: ({ answer, reference, grader }) =>
        reference ?? (grader.kind === "regex" ? undefined : answer),
      chance: findChance,
      group: ({ group }) => group,
      grade: gradeItem,
    }),
    identify: ({ question, answer, grader }) => JSON.stringify([question, answer, grader]),
    numTasks: { id: items.id.length, ood: items.ood.length },
  };
}

/** Of a choice, one in as many as the question lists options on lines of their own, "A.", "B)", "(C)", …; 0 for all else. */
function findChance({ question, grader }: Item): number {
  if (grader.kind !== "choice") return 0;
  const letters = new Set([...question.matchAll(/^\s*\(?([A-Z])[.):]/gm)].map(([, letter]) => letter));
  let numOptions = 0;
  while (letters.has(String.fromCharCode(65 + numOptions))) numOptions++;
  return numOptions < 2 ? 0 : 1 / numOptions;
}

/** What a judge is asked, and what its words mean. */
const judging: Judging<Item> = {
  isNeeded: ({ grader }) => grader.kind === "judge",
  prompt: (
    { question, answer: expected },
    answer,
  ) => `Somebody was asked a question. Say whether their answer means the same as the right one.

Question:
${question}

Right answer:
${expected}

Their answer:
${answer}

End with one JSON object and nothing after it: {"right": true} or {"right": false}`,
  grade: (said) => {
    const { right } = readLastObject(said);
    return typeof right === "boolean" ? describeGrade(right) : undefined;
  },
};

function gradeItem({ answer: expected, grader }: Item, answer: string): Grade {
  const { read, isRight, problem } = readAnswer(answer, expected, grader);
  return read === undefined
    ? describeUnread(problem ?? "the answer holds nothing that could be graded")
    : describeGrade(isRight);
}

function describeUnread(feedback: string): Grade {
  return { outcome: "illegal", reward: -1, parts: { format: false, values: false, solved: false }, feedback };
}

function describeGrade(isRight: boolean): Grade {
  return {
    outcome: isRight ? "correct" : "incorrect",
    reward: isRight ? 1 : 0,
    parts: { format: true, values: isRight, solved: isRight },
    feedback: isRight ? "it is right" : "it is not right",
  };
}
