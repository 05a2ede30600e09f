/**
 * The study's scoring of one formula: penalties for form, then for numbers, then evaluation, then prefixes.
 * Its one known defect, comparing floating-point values, is repeated only on request.
 */
import {
  countViolations,
  evaluateFormula,
  isNumeral,
  readNumeral,
  tokenizeFormula,
} from "../arithmetic/formula.ts";
import { exactArithmetic, floatArithmetic, isInteger } from "../arithmetic/rational.ts";
import { target } from "./hand.ts";

/** Every outcome of a formula, best first. */
export const outcomes = ["correct", "partial", "incorrect", "wrong-numbers", "illegal"] as const;
/** The kind of a grade, best first. */
type Outcome = (typeof outcomes)[number];

/** What is known of the hand. */
export interface ScoreOptions {
  /** The values of the four cards. */
  readonly values: readonly number[];
  /** The texts that prefixes are compared with; asked for only when needed. */
  solutions(): readonly string[];
  /** Compare with the target in floating point. */
  readonly compat: boolean;
}

/** A reward with its name and reason. */
export interface Score {
  readonly outcome: Outcome;
  readonly reward: number;
  /** A short clause that can follow "because". */
  readonly feedback: string;
}

/** Scores the text of a formula without its "=24". Never throws. Rewards add up, so they have no lower bound. */
export function scoreFormula(text: string, options: ScoreOptions): Score {
  const tokens = tokenizeFormula(text);
  if (tokens === undefined) {
    const feedback = "the formula holds characters other than digits, + - * / and brackets";
    return { outcome: "illegal", reward: -3, feedback };
  }
  const penalties = [...checkGrammar(tokens), ...checkNumbers(tokens, options.values)];
  const [worst] = penalties;
  if (worst === undefined) return scoreValue(tokens, options);
  return { ...worst, reward: penalties.reduce((sum, penalty) => sum + penalty.reward, 0) };
}

function checkGrammar(tokens: readonly string[]): readonly Score[] {
  const numViolations = countViolations(tokens);
  if (numViolations === 0) return [];
  const feedback = "the formula has a number, operator or bracket in the wrong place";
  return [{ outcome: "illegal", reward: -3 * numViolations, feedback }];
}

/** Numbers that are not on the cards or else used too often cost 2; card values used too rarely cost 2 more. */
function checkNumbers(tokens: readonly string[], values: readonly number[]): readonly Score[] {
  const used = countEach(tokens.filter(isNumeral).map(readNumeral));
  const dealt = countEach(values);
  const foreign = [...used.keys()].filter((value) => !dealt.has(value));
  const overused = [...used].filter(([value, num]) => num > (dealt.get(value) ?? 0)).map(([value]) => value);
  const underused = [...dealt].filter(([value, num]) => num > (used.get(value) ?? 0)).map(([value]) => value);
  const penalize = (reason: string, numbers: readonly number[]): readonly Score[] =>
    numbers.length === 0
      ? []
      : [{ outcome: "wrong-numbers", reward: -2, feedback: `the formula ${reason} ${nameNumbers(numbers)}` }];
  return [
    ...(foreign.length > 0
      ? penalize("uses numbers that are not on the cards:", foreign)
      : penalize("uses a card more often than dealt:", overused)),
    ...penalize("leaves out cards of value", underused),
  ];
}

function countEach(values: readonly number[]): ReadonlyMap<number, number> {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

function nameNumbers(numbers: readonly number[]): string {
  const named = numbers
    .slice(0, 4)
    .map((value) => (Number.isFinite(value) ? String(value) : "a huge number"));
  return numbers.length > named.length ? `${named.join(", ")} and others` : named.join(", ");
}

/** Scores a formula without penalties: it uses each card once, but may still fail to evaluate. */
function scoreValue(tokens: readonly string[], options: ScoreOptions): Score {
  const value = evaluateFormula(tokens, exactArithmetic);
  const float = evaluateFormula(tokens, floatArithmetic);
  const solved = options.compat ? float === target : value !== undefined && isInteger(value, target);
  if (solved) return { outcome: "correct", reward: 5, feedback: `the formula equals ${target}` };
  const solutions = options.solutions();
  const isPrefix = (text: string): boolean => solutions.some((solution) => solution.startsWith(text));
  if (value === undefined && isPrefix(tokens.join(""))) {
    return { outcome: "partial", reward: 1, feedback: "the formula stops short of a solution" };
  }
  return scorePrefixes(tokens, { isPrefix, float });
}

/** −1 at the first prefix that begins no solution; 0 when every prefix does, which takes a float that misses 24. */
function scorePrefixes(
  tokens: readonly string[],
  options: { isPrefix(text: string): boolean; readonly float: number | undefined },
): Score {
  let good = "";
  for (const token of tokens) {
    const prefix = good + token;
    if (!options.isPrefix(prefix)) {
      const feedback =
        good === ""
          ? `the formula is not ${target} and begins like no solution`
          : `the formula is not ${target}, and only "${good}" begins a solution`;
      return { outcome: "incorrect", reward: -1, feedback };
    }
    good = prefix;
  }
  const feedback = `in floating point the formula gives ${options.float}, which is not ${target}`;
  return { outcome: "incorrect", reward: 0, feedback };
}
