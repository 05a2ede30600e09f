/** A user's own questions as an environment: ID and OOD items from JSON lines, each with its grader. Chat models only. */
import { join, resolve } from "node:path";
import { z } from "zod";
import { createRandom, UsageError } from "../../base/index.ts";
import { fileExists, readText } from "../../file/index.ts";
import { createChatOnly } from "../chat-only.ts";
import type { Environment, Judging, Split, Verdict } from "../environment.ts";
import { splits } from "../environment.ts";
import { readLastObject } from "../json-answer.ts";
import { type Grader, graderSchema, readAnswer } from "./grader.ts";

/** A question with its right answer. */
export interface Item {
  readonly question: string;
  readonly answer: string;
  readonly grader: Grader;
}

const itemSchema = z.looseObject({
  question: z.string().min(1),
  answer: z.union([z.string(), z.number(), z.boolean()]),
  metadata: z
    .looseObject({
      grader: z
        .union([z.enum(["exact", "numeric", "choice", "json", "regex", "judge"]), graderSchema])
        .optional(),
    })
    .optional(),
});

/**
 * The environment of a folder with `id.jsonl` and `ood.jsonl`: lines of {"question", "answer", "metadata"}, in which
 * `metadata.grader` says how to grade (default: exact). Throws `UsageError` naming file and line of what is malformed.
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
  const { question, answer, metadata = {} } = parsed.data;
  const { grader = "exact" } = metadata;
  const item = {
    question,
    answer: String(answer),
    grader: typeof grader === "string" ? graderSchema.parse({ kind: grader }) : grader,
  };
  const problem = findProblem(item);
  return problem === undefined ? item : refuse(problem);
}

/** Why an item could never be answered. */
function findProblem({ answer, grader }: Item): string | undefined {
  if (grader.kind === "numeric" && !Number.isFinite(Number(answer.replaceAll(",", ""))))
    return `its answer "${answer}" is no number`;
  if (grader.kind === "choice" && !/^[A-Za-z]$/.test(answer.trim()))
    return `its answer "${answer}" is no single letter`;
  if (grader.kind !== "regex") return undefined;
  try {
    new RegExp(answer, "i");
    return undefined;
  } catch {
    return `its answer "${answer}" is no regular expression`;
  }
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
      referenceAnswer: ({ answer, grader }) =>
        grader.kind === "json" ? JSON.stringify({ [grader.field]: answer }) : answer,
      grade: gradeItem,
    }),
    identify: ({ question, answer, grader }) => JSON.stringify([question, answer, grader]),
    numTasks: { id: items.id.length, ood: items.ood.length },
  };
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
    return typeof right === "boolean" ? describeVerdict(right) : describeUnread("the judge gave no verdict");
  },
};

function gradeItem({ answer: expected, grader }: Item, answer: string): Verdict {
  const { read, isRight } = readAnswer(answer, expected, grader);
  return read === undefined
    ? describeUnread("the answer holds nothing that could be graded")
    : describeVerdict(isRight);
}

function describeUnread(feedback: string): Verdict {
  return { outcome: "illegal", reward: -1, parts: { format: false, values: false, solved: false }, feedback };
}

function describeVerdict(isRight: boolean): Verdict {
  return {
    outcome: isRight ? "correct" : "incorrect",
    reward: isRight ? 1 : 0,
    parts: { format: true, values: isRight, solved: isRight },
    feedback: isRight ? "it is right" : "it is not right",
  };
}
