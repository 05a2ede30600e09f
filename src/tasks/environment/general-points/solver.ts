/**
 * Which hands reach 24, and the one canonical solution of each in whole numbers. Answers are cached by the
 * multiset of values, so that each is searched for at most once.
 *
 * The canonical rule, kept simple so that a tiny model can learn it: sort the numbers left in descending order; try
 * pairs from the largest down, larger operand first, with + then − then ×; take the first way that works out.
 * Hands that need a division are searched once more with ÷ as the last choice.
 */

import {
  exactArithmetic,
  floatArithmetic,
  isInteger,
  type Operator,
  operators,
  type Rational,
} from "../arithmetic/rational.ts";
import { target } from "./hand.ts";

/** One line of a solution: left operator right = result. */
export interface Step {
  readonly left: number;
  readonly operator: Operator;
  readonly right: number;
  readonly result: number;
}

/** One above the largest number of the compact prompt format. */
export const numberLimit = 100;

/** The result in whole numbers; undefined when it is negative, fractional or not below `numberLimit`. */
export function calculate(left: number, operator: Operator, right: number): number | undefined {
  const result = floatArithmetic[operator](left, right);
  if (result === undefined || !Number.isInteger(result)) return undefined;
  return result >= 0 && result < numberLimit ? result : undefined;
}

const withoutDivision: readonly Operator[] = ["+", "-", "*"];
const solutions = new Map<string, readonly Step[] | undefined>();
const solvability = new Map<string, boolean>();

function sortDescending(values: readonly number[]): readonly number[] {
  return [...values].sort((a, b) => b - a);
}

/** The canonical three steps of that multiset of values, in non-negative integers below 100; undefined if none. */
export function findSteps(values: readonly number[]): readonly Step[] | undefined {
  const sorted = sortDescending(values);
  const key = sorted.join();
  if (solutions.has(key)) return solutions.get(key);
  const steps = searchSteps(sorted, withoutDivision) ?? searchSteps(sorted, operators);
  solutions.set(key, steps);
  return steps;
}

function searchSteps(sorted: readonly number[], allowed: readonly Operator[]): readonly Step[] | undefined {
  if (sorted.length === 1) return sorted[0] === target ? [] : undefined;
  for (const [first, left] of sorted.entries()) {
    for (const [offset, right] of sorted.slice(first + 1).entries()) {
      const rest = sorted.filter((_, index) => index !== first && index !== first + 1 + offset);
      for (const operator of allowed) {
        const result = calculate(left, operator, right);
        if (result === undefined) continue;
        const later = searchSteps(sortDescending([...rest, result]), allowed);
        if (later !== undefined) return [{ left, operator, right, result }, ...later];
      }
    }
  }
  return undefined;
}

/** True when the values reach 24 in exact rationals, each used once. */
export function isSolvable(values: readonly number[]): boolean {
  const key = sortDescending(values).join();
  const known = solvability.get(key);
  if (known !== undefined) return known;
  const solvable = findSteps(values) !== undefined || reachesTarget(values.map(exactArithmetic.from));
  solvability.set(key, solvable);
  return solvable;
}

function reachesTarget(values: readonly Rational[]): boolean {
  if (values.length === 1) return values.some((value) => isInteger(value, target));
  return values.some((left, first) =>
    values.some((right, second) => {
      if (first === second) return false;
      const rest = values.filter((_, index) => index !== first && index !== second);
      return operators.some((operator) => {
        const result = exactArithmetic[operator](left, right);
        return result !== undefined && reachesTarget([...rest, result]);
      });
    }),
  );
}
