import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  countViolations,
  evaluateFormula,
  readNumeral,
  statesOtherValue,
  tokenizeFormula,
  unifyOperators,
} from "./formula.ts";
import { createRational, exactArithmetic, floatArithmetic, type Operator, operators } from "./rational.ts";

interface Tree {
  readonly text: string;
  readonly value: number | undefined;
}

/** A random formula, fully bracketed, with its value in floating point, calculated while it is built. */
const formula: fc.Arbitrary<Tree> = fc.letrec<{ tree: Tree; leaf: Tree; node: Tree }>((tie) => ({
  tree: fc.oneof({ maxDepth: 4 }, tie("leaf"), tie("node")),
  leaf: fc.integer({ min: 0, max: 13 }).map((value) => ({ text: String(value), value })),
  node: fc
    .tuple(tie("tree"), fc.constantFrom<Operator>(...operators), tie("tree"))
    .map(([left, operator, right]) => ({
      text: `(${left.text}${operator}${right.text})`,
      value:
        left.value === undefined || right.value === undefined
          ? undefined
          : floatArithmetic[operator](left.value, right.value),
    })),
})).tree;

function evaluate(text: string): number | undefined {
  const exact = evaluateFormula(tokenizeFormula(text) ?? [], exactArithmetic);
  return exact === undefined ? undefined : exact.numerator / exact.denominator;
}

describe("evaluateFormula()", () => {
  it("follows the brackets", () => {
    fc.assert(
      fc.property(formula, ({ text, value }) => {
        expect(evaluateFormula(tokenizeFormula(text) ?? [], floatArithmetic)).toBe(value);
        expect(countViolations(tokenizeFormula(text) ?? [])).toBe(0);
      }),
      { seed: 24, numRuns: 200 },
    );
  });

  it("puts products before sums and goes from left to right", () => {
    expect(evaluate("2+3*4")).toBe(14);
    expect(evaluate("10-3-2")).toBe(5);
    expect(evaluate("8/4/2")).toBe(1);
    expect(evaluate("8/4*2")).toBe(4);
    expect(evaluate("2*3+4*5-6/3")).toBe(24);
    expect(evaluate("7-2*3")).toBe(1);
  });

  it("is exact where floating point is not", () => {
    expect(evaluate("8/(3-8/3)")).toBe(24);
    expect(evaluateFormula(tokenizeFormula("8/(3-8/3)") ?? [], floatArithmetic)).not.toBe(24);
  });

  it("is undefined for what Python cannot evaluate", () => {
    for (const text of ["", "4/(1-1)", "(4+6", "4+6)", "4+", "*4", "04+6", "00", "()", "4 6", "4(6)"]) {
      expect(evaluate(text), text).toBeUndefined();
    }
    expect(evaluate("0")).toBe(0);
  });

  it("stands ten thousand brackets", () => {
    expect(evaluate(`${"(".repeat(10_000)}24${")".repeat(10_000)}`)).toBe(24);
    expect(evaluate("(".repeat(100_000))).toBeUndefined();
  });
});

describe("countViolations()", () => {
  const count = (text: string): number => countViolations(tokenizeFormula(text) ?? []);

  it("counts each misplaced token", () => {
    expect(count("(1+2)*3")).toBe(0);
    expect(count("-1+2")).toBe(1);
    expect(count("1**2")).toBe(1);
    expect(count("1+2)")).toBe(1);
    expect(count("(1+)2")).toBe(2);
    expect(count("()")).toBe(1);
    expect(count("))")).toBe(2);
  });

  it("lets a bracket that stands where it may not open or close nothing, as the study does", () => {
    expect(count("1(2+3)*4")).toBe(2);
    expect(count("2(3)")).toBe(2);
    expect(count("(1)(2)(3)")).toBe(4);
    expect(count("2((3))")).toBe(2);
    expect(count("(1+)2)")).toBe(2);
  });

  it("does not count what is left open at the end", () => {
    expect(count("((1+2")).toBe(0);
    expect(count("1+2*")).toBe(0);
    expect(count("")).toBe(0);
  });
});

describe("tokenizeFormula()", () => {
  it("keeps digit runs whole", () => {
    expect(tokenizeFormula("12*(3+045)")).toEqual(["12", "*", "(", "3", "+", "045", ")"]);
    expect(tokenizeFormula("")).toEqual([]);
  });

  it("refuses any other character", () => {
    for (const text of ["1 +2", "1.5", "a", "None", "1+2\n", "٣", "2×3", "−1"]) {
      expect(tokenizeFormula(text), text).toBeUndefined();
    }
  });
});

describe("unifyOperators()", () => {
  it("reads the signs that people typeset, and leaves the study's own text alone", () => {
    expect(unifyOperators("8 ÷ (3 − 8 ÷ 3)")).toBe("8/(3-8/3)");
    expect(unifyOperators("4×6·1 \\times 1")).toBe("4*6*1*1");
    expect(unifyOperators("（2＋4）＊4")).toBe("(2+4)*4");
    for (const text of ["4 * 6*1*1", "4x6", "1 +2\n", "None"]) expect(unifyOperators(text)).toBe(text);
  });
});

describe("statesOtherValue()", () => {
  it("looks at every = and at numbers only", () => {
    for (const text of ["1*24", "1*24=24", "1*24=24=24", "1*24 = 24.", "1*24=", "1*24=the target"])
      expect(statesOtherValue(text, 24), text).toBe(false);
    for (const text of ["1*24=25", "1*24=24=25", "1*24=-24", "1*24=2.4"])
      expect(statesOtherValue(text, 24), text).toBe(true);
  });
});

describe("readNumeral()", () => {
  it("ignores leading zeros and stands any length", () => {
    expect(readNumeral("007")).toBe(7);
    expect(readNumeral("000")).toBe(0);
    expect(readNumeral("9".repeat(100_000))).toBe(Number.POSITIVE_INFINITY);
    expect(readNumeral(`${"0".repeat(100_000)}4`)).toBe(4);
  });
});

describe("exactArithmetic", () => {
  const rational = fc
    .tuple(fc.integer({ min: -500, max: 500 }), fc.integer({ min: 1, max: 500 }))
    .map(([numerator, denominator]) => createRational(numerator, denominator) ?? exactArithmetic.from(0));

  it("undoes addition by subtraction and multiplication by division", () => {
    fc.assert(
      fc.property(rational, rational, (a, b) => {
        const sum = exactArithmetic["+"](a, b) ?? a;
        const difference = exactArithmetic["-"](sum, b) ?? b;
        expect(difference).toEqual(a);
        const product = exactArithmetic["*"](a, b) ?? b;
        expect(exactArithmetic["/"](product, b)).toEqual(b.numerator === 0 ? undefined : a);
      }),
      { seed: 24, numRuns: 200 },
    );
  });

  it("keeps lowest terms with a positive denominator", () => {
    expect(createRational(6, -4)).toEqual({ numerator: -3, denominator: 2 });
    expect(createRational(1, 0)).toBeUndefined();
    expect(createRational(0, -3)).toEqual({ numerator: 0, denominator: 1 });
  });
});
