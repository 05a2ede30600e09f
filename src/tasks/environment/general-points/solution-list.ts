/**
 * The study's list of solutions of a hand as texts: every order of the values, every triple of operators, every
 * bracket layout. It finds a solution whenever there is one, but not every spelling: prefix feedback depends on that.
 */
import { evaluateFormula } from "../arithmetic/formula.ts";
import {
  exactArithmetic,
  floatArithmetic,
  isInteger,
  type Operator,
  operators,
} from "../arithmetic/rational.ts";
import { target } from "./hand.ts";

/** Bracket layouts: none, one pair around two or three numbers, or two pairs; 0..3 numbers, 4..6 operators. */
const layouts: readonly (readonly (number | string)[])[] = [
  [0, 4, 1, 5, 2, 6, 3],
  ["(", 0, 4, 1, ")", 5, 2, 6, 3],
  [0, 4, "(", 1, 5, 2, ")", 6, 3],
  [0, 4, 1, 5, "(", 2, 6, 3, ")"],
  ["(", 0, 4, 1, 5, 2, ")", 6, 3],
  [0, 4, "(", 1, 5, 2, 6, 3, ")"],
  ["(", 0, 4, 1, ")", 5, "(", 2, 6, 3, ")"],
];

const operatorTriples: readonly (readonly Operator[])[] = operators.flatMap((first) =>
  operators.flatMap((second) => operators.map((third) => [first, second, third])),
);

const lists = new Map<string, readonly string[]>();

/** Every solution text of that multiset of four values, without spaces and without "=24"; cached by multiset. */
export function listSolutions(values: readonly number[]): readonly string[] {
  const sorted = [...values].sort((a, b) => b - a);
  const key = sorted.join();
  const known = lists.get(key);
  if (known !== undefined) return known;
  const solutions = listOrders(sorted.map(String)).flatMap(solveOrder);
  lists.set(key, solutions);
  return solutions;
}

/** Distinct orders of the words. */
function listOrders(words: readonly string[]): readonly (readonly string[])[] {
  if (words.length <= 1) return [words];
  return [...new Set(words)].flatMap((first) => {
    const index = words.indexOf(first);
    const rest = words.filter((_, other) => other !== index);
    return listOrders(rest).map((order) => [first, ...order]);
  });
}

function solveOrder(numerals: readonly string[]): readonly string[] {
  return operatorTriples.flatMap((triple) => {
    const words = [...numerals, ...triple];
    return layouts
      .map((layout) => layout.map((slot) => (typeof slot === "number" ? (words[slot] ?? "") : slot)))
      .filter(isSolution)
      .map((tokens) => tokens.join(""));
  });
}

/** Exact; floating point, off by far less than 1e-6 for four card values, only rules most formulas out sooner. */
function isSolution(tokens: readonly string[]): boolean {
  const rough = evaluateFormula(tokens, floatArithmetic);
  if (rough === undefined || Math.abs(rough - target) > 1e-6) return false;
  const value = evaluateFormula(tokens, exactArithmetic);
  return value !== undefined && isInteger(value, target);
}
