/** What a base model is taught before it meets the game under its own keyword: parts of the game, and whole games. */
import type { Random } from "../../../base/core/index.ts";
import { type Operator, operators } from "../arithmetic/rational.ts";
import type { Skill } from "../environment.ts";
import { writeAnswer, writePrompt, writeSolution, writeValues } from "./compact.ts";
import { dealCards, dealTask, type GeneralPointsTask, type Rule, splitRules, valueCards } from "./hand.ts";
import { calculate, findSteps, numberLimit } from "./solver.ts";

/** A rule: random values 1..13 for that fraction of draws, else that of either split with equal chances. */
function drawRule(random: Random, randomFraction: number): Rule {
  if (random.uniform() >= randomFraction) return random.pick([splitRules.id, splitRules.ood]);
  return { J: random.integer(1, 13), Q: random.integer(1, 13), K: random.integer(1, 13) };
}

/** A hand solvable in whole numbers; half of the rules are random, a quarter each split's. */
function drawGame(random: Random): GeneralPointsTask {
  const rule = drawRule(random, 0.5);
  return dealTask(random, { split: "id", rule, accept: (values) => findSteps(values) !== undefined });
}

let solvableHands: readonly (readonly number[])[] | undefined;

/** Every multiset of four values 1..13 that whole-number steps take to 24, each once, in ascending order. */
export function listSolvableHands(): readonly (readonly number[])[] {
  solvableHands ??= listHands([], 4).filter((values) => findSteps(values) !== undefined);
  return solvableHands;
}

function listHands(start: readonly number[], numLeft: number): readonly (readonly number[])[] {
  if (numLeft === 0) return [start];
  const lowest = start.at(-1) ?? 1;
  return Array.from({ length: 14 - lowest }, (_, offset) => [...start, lowest + offset]).flatMap((hand) =>
    listHands(hand, numLeft - 1),
  );
}

interface Sum {
  readonly left: number;
  readonly right: number;
  readonly result: number;
}

const sums = new Map<Operator, readonly Sum[]>();

/** Every pair of operands 0..99 whose result is allowed. */
function listSums(operator: Operator): readonly Sum[] {
  const known = sums.get(operator);
  if (known !== undefined) return known;
  const numbers = Array.from({ length: numberLimit }, (_, value) => value);
  const found = numbers.flatMap((left) =>
    numbers.flatMap((right) => {
      const result = calculate(left, operator, right);
      return result === undefined ? [] : [{ left, right, result }];
    }),
  );
  sums.set(operator, found);
  return found;
}

/**
 * Several keywords call the short format, so that a keyword never heard before is taken as one more of them: a base
 * model knows the game but not the format that fine-tuning will ask for.
 */
const shortKeywords = ["game", "deal", "round", "hand"] as const;

/** The skills, by name. None of them uses the keyword `play`. */
export const skills: Readonly<Record<string, Skill>> = {
  read: {
    summary: "Read four cards off as numbers under a stated rule.",
    draw: (random) => {
      const task = { rule: drawRule(random, 0.6), cards: dealCards(random, "id") };
      return { prompt: writePrompt(task, "read"), answer: writeValues(valueCards(task)) };
    },
  },
  solve: {
    summary: "Solve four given numbers in steps.",
    draw: (random) => {
      const values = random.shuffle(random.pick(listSolvableHands()));
      return { prompt: `${writeValues(values)} ; solve`, answer: writeSolution(values) };
    },
  },
  arithmetic: {
    summary: "Calculate one operation on whole numbers from 0 to 99.",
    draw: (random) => {
      const operator = random.pick(operators);
      const { left, right, result } = random.pick(listSums(operator));
      return { prompt: `${left} ${operator} ${right} ; calculate`, answer: String(result) };
    },
  },
  "game-long": {
    summary: "Play a whole game under a stated rule: cards, values and steps.",
    draw: (random) => {
      const task = drawGame(random);
      return { prompt: writePrompt(task, "show"), answer: writeAnswer(task) };
    },
  },
  "game-short": {
    summary: "Play a whole game under a stated rule: values and steps only.",
    draw: (random) => {
      const task = drawGame(random);
      const values = valueCards(task);
      return {
        prompt: writePrompt(task, random.pick(shortKeywords)),
        answer: `${writeValues(values)} ${writeSolution(values)}`,
      };
    },
  },
};
