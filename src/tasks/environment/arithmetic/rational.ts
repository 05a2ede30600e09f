/**
 * Arithmetic behind one table per number type: exact rationals, and floating point for comparison.
 * Numerators and denominators are plain integers: four card values never leave the safe range.
 */

/** The four operators of a formula. */
export const operators = ["+", "-", "*", "/"] as const;
/** An operation of two numbers. */
export type Operator = (typeof operators)[number];

/** True for + - * and /. */
export function isOperator(text: string): text is Operator {
  return text === "+" || text === "-" || text === "*" || text === "/";
}

/** How to calculate with one type of number; undefined is a division by zero. */
export type Arithmetic<Value> = {
  readonly [Name in Operator]: (left: Value, right: Value) => Value | undefined;
} & { readonly from: (integer: number) => Value };

/** numerator / denominator, in lowest terms, denominator ≥ 1. */
export interface Rational {
  readonly numerator: number;
  readonly denominator: number;
}

/** The rational numerator / denominator in lowest terms; undefined when the denominator is 0. */
export function createRational(numerator: number, denominator: number): Rational | undefined {
  if (denominator === 0) return undefined;
  let [divisor, rest] = [Math.abs(denominator), Math.abs(numerator)];
  while (rest !== 0) [divisor, rest] = [rest, divisor % rest];
  const scale = denominator < 0 ? -divisor : divisor;
  return { numerator: numerator / scale + 0, denominator: denominator / scale }; // + 0 turns −0 into 0
}

/** True when the value is that integer. */
export function isInteger(value: Rational, integer: number): boolean {
  return value.denominator === 1 && value.numerator === integer;
}

/** Exact arithmetic. */
export const exactArithmetic: Arithmetic<Rational> = {
  from: (integer) => ({ numerator: integer, denominator: 1 }),
  "+": (a, b) =>
    createRational(a.numerator * b.denominator + b.numerator * a.denominator, a.denominator * b.denominator),
  "-": (a, b) =>
    createRational(a.numerator * b.denominator - b.numerator * a.denominator, a.denominator * b.denominator),
  "*": (a, b) => createRational(a.numerator * b.numerator, a.denominator * b.denominator),
  "/": (a, b) => createRational(a.numerator * b.denominator, a.denominator * b.numerator),
};

/** Binary64 arithmetic, as in the study's scorer. */
export const floatArithmetic: Arithmetic<number> = {
  from: (integer) => integer,
  "+": (a, b) => a + b,
  "-": (a, b) => a - b,
  "*": (a, b) => a * b,
  "/": (a, b) => (b === 0 ? undefined : a / b),
};
