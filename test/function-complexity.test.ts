import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { findComplexFunctions } from "../tools/function-complexity.ts";
import { readAllSources, readSources } from "../tools/source.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const mostWays = 12;
const mostLines = 400;

/** What is found in a text that holds functions of any complexity. */
function measure(text: string): readonly string[] {
  return findComplexFunctions([{ file: "a.ts", text }], 0).map((sentence) =>
    sentence.replace(/^a\.ts:(\d+) has (\d+) ways through (.*), more than 0: .*$/, "$1 $3 $2"),
  );
}

describe("the functions of this project", () => {
  for (const folder of ["src", "web/src"])
    it(`are no more complex than a reader takes in: ${folder}`, () => {
      const sources = readSources(root, folder);
      expect(sources.length).toBeGreaterThan(10);
      expect(findComplexFunctions(sources, mostWays)).toEqual([]);
    });
});

describe("the files of this project", () => {
  for (const folder of ["src", "web/src", "tools", "bench"])
    it(`are no longer than a reader takes in: ${folder}`, () => {
      const sources = readAllSources(root, folder);
      expect(sources.length).toBeGreaterThan(2);
      const long = sources
        .map(({ file, text }) => ({ file, numLines: text.split("\n").length - 1 }))
        .filter(({ numLines }) => numLines > mostLines);
      expect(long).toEqual([]);
    });
});

describe("findComplexFunctions()", () => {
  const branches: Readonly<Record<string, number>> = {
    "return a;": 0,
    "if (a) b();": 1,
    "if (a) b(); else b(b);": 1,
    "if (a) b(); else if (b) a();": 2,
    "return a ? a : b;": 1,
    "return a && b;": 1,
    "return a || b;": 1,
    "return a ?? b;": 1,
    "return a && b && a;": 2,
    "for (;;) b();": 1,
    "for (const c in a) b(c);": 1,
    "for (const c of a) b(c);": 1,
    "while (a) b();": 1,
    "do b(); while (a);": 1,
    "try { b(); } catch { a(); }": 1,
    "try { b(); } finally { a(); }": 0,
    "switch (a) { case 1: case 2: b(); break; default: a(); }": 2,
    "a ??= b;": 1,
    "a ||= b;": 1,
    "a &&= b;": 1,
    "a += b; a?.b?.(); type C<T> = T extends string ? 1 : 2;": 0,
  };
  for (const [text, count] of Object.entries(branches))
    it(`counts ${count} branches: ${text}`, () => {
      expect(measure(`function f(a, b) { ${text} }`)).toEqual([`1 f ${1 + count}`]);
    });

  it("counts the branches in the defaults of a function's arguments", () => {
    expect(measure("function f(a, b = a ? 1 : 2) {}")).toEqual(["1 f 2"]);
  });

  it("counts a function inside of another on its own", () => {
    const text = [
      "export const f = (a) => {",
      "  const g = (b) => (b ? 1 : 2);",
      "  if (a) return g;",
      "  return [a].map((b) => b && a && g(b)) || function h() { while (a); };",
      "};",
    ].join("\n");
    expect(measure(text)).toEqual(["1 f 3", "2 g 2", "4 a function without a name 3", "4 h 2"]);
  });

  it("names methods and properties, and passes over code outside of functions", () => {
    const text = [
      "const c = a ? 1 : 2;",
      "class A { b() { if (a) a(); } }",
      "const o = { p: () => a || b, q() {} };",
      "x = () => 1;",
    ].join("\n");
    expect(measure(text)).toEqual(["2 b 2", "3 p 2", "3 q 1", "4 x 1"]);
  });

  it("says file, line and number of those above the limit only", () => {
    const text = "\nfunction f(a) { if (a) return a || 1; }\nfunction g(a) { return a || 1; }";
    expect(findComplexFunctions([{ file: "src/a.ts", text }], 2)).toEqual([
      "src/a.ts:2 has 3 ways through f, more than 2: extract functions, or make a table",
    ]);
  });

  it("refuses what it cannot parse", () => {
    expect(() => measure("function {")).toThrow("a.ts");
  });
});
