/**
 * The game for a chat model: instructions, an answer in JSON, and the study's grading of its formula.
 * A retry repeats the conversation as one text; splitting it into turns is left to the caller's chat template.
 */

import {
  countViolations,
  isNumeral,
  readNumeral,
  statesOtherValue,
  tokenizeFormula,
  unifyOperators,
} from "../arithmetic/formula.ts";
import { writeHistory } from "../conversation.ts";
import type { Attempt, Grade } from "../environment.ts";
import { type GeneralPointsTask, nameCard, target, valueCards } from "./hand.ts";
import { type Score, scoreFormula } from "./score.ts";
import { listSolutions } from "./solution-list.ts";

/** Instructions, the cards, and the JSON to answer with. */
export function writeChatPrompt(task: GeneralPointsTask): string {
  const { J, Q, K } = task.rule;
  return `You play the ${target} game: write one formula, made from four cards, whose value is ${target}.
- The face cards have set values here: J counts as ${J}, Q counts as ${Q} and K counts as ${K}. An ace (A) counts as 1.
- Use each of the four cards exactly once, and no other number.
- The formula may hold numbers, + - * / ( ) and a closing =${target}.

Cards: [${task.cards.map((rank) => `"${nameCard(rank)}"`).join(", ")}]

Answer with one JSON object and nothing else:
{"cards": [the four cards as strings], "number": [their four values], "formula": "the formula, ending in =${target}"}`;
}

/** The conversation so far: the prompt, and each answer with why it failed. */
export function writeChatRetry(task: GeneralPointsTask, attempts: readonly Attempt[]): string {
  return writeHistory(writeChatPrompt(task), attempts);
}

/**
 * The answer with the plainest solution: without division if possible, then the shortest, then the first by
 * character. Throws `RangeError` when the hand has no solution.
 */
export function writeChatAnswer(task: GeneralPointsTask): string {
  const values = valueCards(task);
  const cost = (formula: string): number => formula.length + (formula.includes("/") ? 100 : 0);
  const [formula] = [...listSolutions(values)].sort((a, b) => cost(a) - cost(b) || (a < b ? -1 : 1));
  if (formula === undefined) {
    throw new RangeError(`Cannot solve ${values.join(", ")}: no formula reaches ${target}`);
  }
  const cards = task.cards.map((rank) => `"${nameCard(rank)}"`).join(", ");
  return `{"cards": [${cards}], "number": [${values.join(", ")}], "formula": "${formula}=${target}"}`;
}

/** What could be read from an answer; the formula is the text "None" when there is none, as in the study. */
interface ChatAnswer {
  /** Absent where the answer states none. */
  readonly formula: string | undefined;
  /** The items of the "number" list as texts. */
  readonly numbers: readonly string[] | undefined;
}

/**
 * Grades an answer as the study does; see `scoreFormula`. Never throws. Without `compat`, three things that the study leaves to
 * chance are read as they are meant: "formula" with or without a space behind its colon, × ÷ − for * / -, and a closing "=25", which
 * says that the value is another.
 */
export function gradeChat(task: GeneralPointsTask, answer: string, compat = false): Grade {
  const values = valueCards(task);
  const { formula: given, numbers } = parseChatAnswer(answer, compat);
  // What the study takes for the formula of an answer without one.
  const written = given ?? "None";
  const formula = compat ? written : unifyOperators(written);
  const [graded = ""] = formula.split("=", 1);
  const score = scoreFormula(graded, { values, solutions: () => listSolutions(values), compat });
  const isContradicted = !compat && score.outcome === "correct" && statesOtherValue(formula, target);
  const { outcome, reward, feedback } = isContradicted ? contradicted : score;
  const because = given === undefined ? 'the answer has no JSON object with a "formula"' : feedback;
  const tokens = tokenizeFormula(graded);
  const format = tokens !== undefined && tokens.length > 0 && countViolations(tokens) === 0;
  const stated = numbers ?? (tokens ?? []).filter(isNumeral).map((token) => String(readNumeral(token)));
  const parts = {
    format,
    values: isSameMultiset(stated, values.map(String)),
    solved: outcome === "correct",
  };
  return { outcome, reward, parts, feedback: because };
}

/** A formula that is right and says that it is not. */
const contradicted: Score = {
  outcome: "incorrect",
  reward: -1,
  feedback: `the formula equals ${target}, but says that it equals something else`,
};

function isSameMultiset(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && [...left].sort().join() === [...right].sort().join();
}

/** Strict JSON first; else the first `"formula": "…"` and `"number": […]` in the text, for the study with exactly one space. */
function parseChatAnswer(answer: string, compat: boolean): ChatAnswer {
  const object = parseObject(answer);
  const formula = typeof object.formula === "number" ? String(object.formula) : object.formula;
  if (typeof formula === "string") return { formula, numbers: readNumbers(object.number) };
  const [formulaKey, numberKey] = compat
    ? [/"formula": "(.*?)"/, /"number": \[([^[\]]*)\]/]
    : [/"formula"\s*:\s*"(.*?)"/, /"number"\s*:\s*\[([^[\]]*)\]/];
  const numberText = numberKey.exec(answer)?.[1];
  return {
    formula: formulaKey.exec(answer)?.[1],
    numbers: readNumbers(numberText?.split(",").map((item) => item.replaceAll('"', ""))),
  };
}

/** The object in a JSON text; empty for anything else. Model output is often not JSON, so that is not an error. */
function parseObject(text: string): { readonly formula?: unknown; readonly number?: unknown } {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}

/** The items of a list of numbers or numerals as texts; undefined for no list. */
function readNumbers(value: unknown): readonly string[] | undefined {
  if (!Array.isArray(value)) return undefined;
  return value.map((item: unknown) =>
    typeof item === "number" || typeof item === "string" ? String(item).trim() : "",
  );
}
