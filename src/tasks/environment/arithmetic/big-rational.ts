/** Exact rationals of any size, for formulas whose numbers may grow beyond safe integers. */
import type { Arithmetic } from "./rational.ts";

/** numerator / denominator, in lowest terms, denominator ≥ 1. */
export interface BigRational {
  readonly numerator: bigint;
  readonly denominator: bigint;
}

function create(numerator: bigint, denominator: bigint): BigRational | undefined {
  if (denominator === 0n) return undefined;
  let [divisor, rest] = [
    denominator < 0n ? -denominator : denominator,
    numerator < 0n ? -numerator : numerator,
  ];
  while (rest !== 0n) [divisor, rest] = [rest, divisor % rest];
  const scale = denominator < 0n ? -divisor : divisor;
  return { numerator: numerator / scale, denominator: denominator / scale };
}

/** Exact arithmetic without limits. */
export const bigArithmetic: Arithmetic<BigRational> = {
  from: (integer) => ({ numerator: BigInt(integer), denominator: 1n }),
  "+": (a, b) =>
    create(a.numerator * b.denominator + b.numerator * a.denominator, a.denominator * b.denominator),
  "-": (a, b) =>
    create(a.numerator * b.denominator - b.numerator * a.denominator, a.denominator * b.denominator),
  "*": (a, b) => create(a.numerator * b.numerator, a.denominator * b.denominator),
  "/": (a, b) => create(a.numerator * b.denominator, a.denominator * b.numerator),
};
