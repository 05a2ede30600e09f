/**
 * Formulas as text: tokens, the study's grammar check, and evaluation with an explicit stack (so that no depth of
 * brackets overflows). A formula that Python could not evaluate is undefined here.
 */
import { type Arithmetic, isOperator, type Operator } from "./rational.ts";

/** Digit runs, operators and brackets, in order; undefined when the text holds anything else. */
export function tokenizeFormula(text: string): readonly string[] | undefined {
  return /^[0-9+\-*/()]*$/.test(text) ? (text.match(/[0-9]+|[^0-9]/g) ?? []) : undefined;
}

/**
 * A formula with the signs that people typeset (× ÷ − · ∶ and their like) as * / and -, the spaces beside them left out: they belong to
 * how such signs are set. All else stays as it is.
 */
export function unifyOperators(text: string): string {
  return text
    .replaceAll(/\s*[×·⋅∙✕✖∗＊]\s*|\s*\\(?:times|cdot)\s*/g, "*")
    .replaceAll(/\s*[÷∕⁄∶／]\s*|\s*\\div\s*/g, "/")
    .replaceAll(/\s*[−–‐‑﹣－]\s*/g, "-")
    .replaceAll(/\s*＋\s*/g, "+")
    .replaceAll("（", "(")
    .replaceAll("）", ")");
}

/** What follows the first "=" of a formula says another value than `target`; nothing at all, or no number, says none. */
export function statesOtherValue(formula: string, target: number): boolean {
  return formula
    .split("=")
    .slice(1)
    .some((part) => {
      const [stated] = /[-+]?\d+(?:\.\d+)?/.exec(part) ?? [];
      return stated !== undefined && Number(stated) !== target;
    });
}

/** True for a digit run. */
export function isNumeral(token: string): boolean {
  return token >= "0" && token < ":";
}

/** The value of a digit run, leading zeros ignored; Infinity for more than 15 digits. */
export function readNumeral(token: string): number {
  const digits = token.replace(/^0+(?=.)/, "");
  return digits.length > 15 ? Number.POSITIVE_INFINITY : Number(digits);
}

/**
 * How many tokens stand where they may not: a number or `(` not after the start, an operator or `(`; an operator not
 * after a number or `)`; a `)` after an operator or `(`, or without its `(`. A bracket that may not stand where it does neither
 * opens nor closes, so that the end of what it should have opened counts as well. A `(` left open and an operator at the end are
 * not counted. All as in the study.
 */
export function countViolations(tokens: readonly string[]): number {
  let numViolations = 0;
  let depth = 0;
  let mayStart = true;
  for (const token of tokens) {
    const starts = token === "(" || isNumeral(token);
    const closesNothing = token === ")" && depth === 0;
    if (starts !== mayStart || closesNothing) numViolations++;
    else if (token === "(") depth++;
    else if (token === ")") depth--;
    mayStart = token === "(" || isOperator(token);
  }
  return numViolations;
}

/**
 * The value under the usual precedence; undefined after a division by zero, an unbalanced bracket, a missing operand
 * or a number with a leading zero.
 */
export function evaluateFormula<Value>(
  tokens: readonly string[],
  arithmetic: Arithmetic<Value>,
): Value | undefined {
  const stacks: Stacks<Value> = { values: [], pending: [], arithmetic };
  const { values, pending } = stacks;
  if (!tokens.every((token) => takeToken(token, stacks))) return undefined;
  const isComplete = reduce(stacks) && pending.length === 0 && values.length === 1;
  return isComplete ? values[0] : undefined;
}

interface Stacks<Value> {
  readonly values: Value[];
  readonly pending: (Operator | "(")[];
  readonly arithmetic: Arithmetic<Value>;
  /** The operator that waits; without it everything back to the last bracket is due. */
  readonly upTo?: Operator;
}

/** Puts a token on the stacks, or calculates what it ends; false where it may not stand there or nothing comes out. */
function takeToken<Value>(token: string, stacks: Stacks<Value>): boolean {
  const { values, pending, arithmetic } = stacks;
  if (token === ")") return reduce(stacks) && pending.pop() !== undefined;
  if (token === "(") {
    pending.push(token);
    return true;
  }
  if (isOperator(token)) {
    if (!reduce({ ...stacks, upTo: token })) return false;
    pending.push(token);
    return true;
  }
  if (token.startsWith("0") && token.length > 1) return false;
  values.push(arithmetic.from(Number(token)));
  return true;
}

/** Applies the pending operators that are due, back to the last bracket at most; false when one fails. */
function reduce<Value>({ values, pending, arithmetic, upTo }: Stacks<Value>): boolean {
  for (let operator = pending.at(-1); operator !== undefined && operator !== "("; operator = pending.at(-1)) {
    if (upTo !== undefined && isProduct(upTo) && !isProduct(operator)) break;
    const [right, left] = [values.pop(), values.pop()];
    if (left === undefined || right === undefined) return false;
    const result = arithmetic[operator](left, right);
    if (result === undefined) return false;
    values.push(result);
    pending.pop();
  }
  return true;
}

function isProduct(operator: Operator): boolean {
  return operator === "*" || operator === "/";
}
