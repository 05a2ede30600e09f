/**
 * The game in words of a small vocabulary, one space between words:
 * `rule J = 10 , Q = 10 , K = 10 ; c: 5 J 3 A ; play` → `c: 5 J 3 A n: 5 10 3 1 s: 10 - 5 = 5 , …` up to 24.
 * There are no words for feedback: a retry sees the same prompt again.
 */

import { isOperator, operators } from "../arithmetic/rational.ts";
import type { Grade } from "../environment.ts";
import { cardNames, type GeneralPointsTask, nameCard, type Rule, target, valueCards } from "./hand.ts";
import { calculate, findSteps, numberLimit, type Step } from "./solver.ts";

/** The words that end a prompt and say what is asked; `play` is in no skill: fine-tuning brings it. */
const keywords = ["read", "solve", "calculate", "show", "game", "deal", "round", "hand", "play"] as const;
/** A word that ends a prompt. */
type Keyword = (typeof keywords)[number];

/** Every word, in token-id order: 0..99 first, so that an integer is its own id among the words. */
export const vocabulary: readonly string[] = [
  ...Array.from({ length: numberLimit }, (_, value) => String(value)),
  ...["A", "J", "Q", "K", ...operators, "=", ",", ";", "rule", "c:", "n:", "s:"],
  ...keywords,
];

/** `rule J = 10 , Q = 10 , K = 10`. */
function writeRule(rule: Rule): string {
  return `rule J = ${rule.J} , Q = ${rule.Q} , K = ${rule.K}`;
}

/** `c: 5 J 3 A`. */
export function writeCards(cards: readonly number[]): string {
  return `c: ${cards.map(nameCard).join(" ")}`;
}

/** `n: 5 10 3 1`. */
export function writeValues(values: readonly number[]): string {
  return `n: ${values.join(" ")}`;
}

/** `s: 10 - 5 = 5 , …`, the canonical solution. Throws `RangeError` when the values have none. */
export function writeSolution(values: readonly number[]): string {
  const steps = findSteps(values);
  if (steps === undefined) {
    throw new RangeError(
      `Cannot solve ${values.join(", ")} in whole numbers from 0 to 99: no steps reach ${target}`,
    );
  }
  return `s: ${steps.map((step) => `${step.left} ${step.operator} ${step.right} = ${step.result}`).join(" , ")}`;
}

/** The prompt of a hand, ending in the keyword that says what is asked. */
export function writePrompt(task: GeneralPointsTask, keyword: Keyword): string {
  return `${writeRule(task.rule)} ; ${writeCards(task.cards)} ; ${keyword}`;
}

/** The answer to `play`: cards, values and canonical solution. Throws `RangeError` when there is none. */
export function writeAnswer(task: GeneralPointsTask): string {
  const values = valueCards(task);
  return `${writeCards(task.cards)} ${writeValues(values)} ${writeSolution(values)}`;
}

const card = `(?:${cardNames.join("|")})`;
const integer = "(?:0|[1-9][0-9]?)";
const step = `${integer} [-+*/] ${integer} = ${integer}`;
const four = (item: string): string => `${item}(?: ${item}){3}`;
const answerShape: RegExp = new RegExp(
  `^(?<cards>c: ${four(card)}) (?<values>n: ${four(integer)}) s: (?<steps>${step}(?: , ${step}){2})$`,
);

/**
 * Grades an answer to `play`, strictly: shape, then cards and values in the order shown, then every step and the
 * result. Rewards: correct +5, incorrect −1, wrong-numbers −2, illegal −3. Never throws.
 */
export function gradeCompact(task: GeneralPointsTask, answer: string): Grade {
  const found = answerShape.exec(answer)?.groups;
  if (found === undefined) {
    return {
      outcome: "illegal",
      reward: -3,
      parts: { format: false, values: false, solved: false },
      feedback: "the answer is not four cards, four numbers and three steps",
    };
  }
  const values = valueCards(task);
  const rightValues = found.values === writeValues(values);
  if (!rightValues || found.cards !== writeCards(task.cards)) {
    return {
      outcome: "wrong-numbers",
      reward: -2,
      parts: { format: true, values: rightValues, solved: false },
      feedback: rightValues ? "the cards are not those dealt" : "the values do not follow the rule",
    };
  }
  const fault = findFault(values, parseSteps(found.steps ?? ""));
  return {
    outcome: fault === undefined ? "correct" : "incorrect",
    reward: fault === undefined ? 5 : -1,
    parts: { format: true, values: true, solved: fault === undefined },
    feedback: fault ?? `the steps reach ${target}`,
  };
}

function parseSteps(text: string): readonly Step[] {
  return text.split(" , ").flatMap((line) => {
    const [left, operator = "", right, , result] = line.split(" ");
    if (!isOperator(operator)) return [];
    return [{ left: Number(left), operator, right: Number(right), result: Number(result) }];
  });
}

/** Why the steps do not lead from the values to the target; undefined when they do. */
function findFault(values: readonly number[], steps: readonly Step[]): string | undefined {
  const left = [...values];
  for (const each of steps) {
    const line = `${each.left} ${each.operator} ${each.right} = ${each.result}`;
    for (const operand of [each.left, each.right]) {
      const index = left.indexOf(operand);
      if (index < 0) return `"${line}" uses a number that is not left`;
      left.splice(index, 1);
    }
    if (calculate(each.left, each.operator, each.right) !== each.result) return `"${line}" is not right`;
    left.push(each.result);
  }
  return left.length === 1 && left[0] === target ? undefined : `the steps do not reach ${target}`;
}
