import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { UsageError } from "../../base/core/index.ts";
import { parsePlan } from "./edit-plan.ts";

/** A plan whose operations are flow mappings, one a line: the first stands on line 4. */
function planOf(...operations: readonly string[]): string {
  return `target: after\nsource: before\noperations:\n${operations.map((text) => `  - { ${text} }\n`).join("")}`;
}

const parse = (...operations: readonly string[]): readonly unknown[] =>
  parsePlan(planOf(...operations), "p.yaml").operations;

function refusal(text: string): string {
  try {
    parsePlan(text, "p.yaml");
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
  return "accepted";
}

describe("parsePlan()", () => {
  const filled: Readonly<Record<string, readonly [text: string, operation: object]>> = {
    restore: [
      "operation: restore, what: directions, top: 3",
      { operation: "restore", what: "directions", top: 3, tail: 0, strength: 1 },
    ],
    rollback: ["operation: rollback", { operation: "rollback", strength: 1 }],
    rescale: [
      "operation: rescale, factor: -2, top: 0",
      { operation: "rescale", factor: -2, top: 0, tail: 0 },
    ],
    truncate: ["operation: truncate, keep: 0.5", { operation: "truncate", keep: 0.5, strength: 1 }],
    damp: ["operation: damp", { operation: "damp", factor: 0.75 }],
    rebuild: ["operation: rebuild", { operation: "rebuild" }],
    scramble: [
      "operation: scramble, what: left, top: all",
      { operation: "scramble", what: "left", top: "all", tail: 0, strength: 1, seed: 1 },
    ],
  };
  for (const [name, [text, operation]] of Object.entries(filled))
    it(`fills in what a ${name} leaves out, and chooses no layers or matrices of itself`, () => {
      expect(parse(text)).toStrictEqual([operation]);
      expect(parse(`${text}, layers: "0-1,3", matrices: "q_proj,mlp.*"`)).toStrictEqual([
        { ...operation, layers: "0-1,3", matrices: "q_proj,mlp.*" },
      ]);
    });

  it("keeps what is written in the place of defaults, and the order of operations", () => {
    expect(
      parse(
        "operation: scramble, what: vectors, top: 3, tail: all, strength: 0.25, seed: 7",
        "operation: rollback, strength: 0",
        "operation: damp, factor: 0",
      ),
    ).toStrictEqual([
      { operation: "scramble", what: "vectors", top: 3, tail: "all", strength: 0.25, seed: 7 },
      { operation: "rollback", strength: 0 },
      { operation: "damp", factor: 0 },
    ]);
  });

  it("reads both checkpoints, and needs no source", () => {
    expect(parsePlan(planOf("operation: rebuild"), "p.yaml")).toMatchObject({
      target: "after",
      source: "before",
    });
    const alone = parsePlan("target: after\noperations: [{ operation: rebuild }]\n", "p.yaml");
    expect(alone).toStrictEqual({ target: "after", operations: [{ operation: "rebuild" }] });
  });

  it("takes counts, fractions below 1 and all as amounts", () => {
    for (const amount of [0, 0.5, 1, 3, "all"])
      expect(
        parse(`operation: restore, what: left, top: ${amount}`, `operation: truncate, keep: ${amount}`),
      ).toMatchObject([{ top: amount }, { keep: amount }]);
  });

  it("refuses other amounts, naming the key", () => {
    const said = (amount: string): readonly string[] => [
      refusal(planOf(`operation: restore, what: left, top: ${amount}`)),
      refusal(planOf(`operation: rescale, factor: 1, top: 0, tail: ${amount}`)),
      refusal(planOf(`operation: truncate, keep: ${amount}`)),
    ];
    for (const amount of ["-1", "-0.5"])
      for (const [index, message] of said(amount).entries())
        expect(message).toContain(`"operations.0.${["top", "tail", "keep"][index]}" is too small`);
    for (const amount of ["1.5", "most", ".inf", ".nan", "[3]"])
      for (const [index, message] of said(amount).entries())
        expect(message).toBe(
          `Cannot use the plan p.yaml: "operations.0.${["top", "tail", "keep"][index]}" must be a count, a fraction below 1, or all`,
        );
  });

  it("takes a number of a layer for its pattern, but no other number", () => {
    expect(parse("operation: rollback, layers: 3", "operation: damp, layers: 0")).toMatchObject([
      { layers: "3" },
      { layers: "0" },
    ]);
    for (const layers of ["-1", "1.5", "''"])
      expect(refusal(planOf(`operation: rollback, layers: ${layers}`))).toContain("operations.0.layers");
    expect(refusal(planOf("operation: rollback, matrices: ''"))).toContain("operations.0.matrices");
  });

  it("names the line of malformed YAML", () => {
    expect(refusal(planOf("operation: rebuild", "operation: [damp"))).toMatch(
      /^Cannot read the plan p\.yaml: line 5 is malformed YAML: \S/,
    );
    expect(refusal("target: a\ntarget: b\n")).toMatch(
      /^Cannot read the plan p\.yaml: line 2 is malformed YAML/,
    );
    expect(refusal("target: a\noperations: *none\n")).toContain("line 2");
  });

  it("names unknown keys and where they are", () => {
    expect(refusal(`${planOf("operation: rebuild")}into: here\n`)).toBe(
      'Cannot use the plan p.yaml: unknown key "into"; remove it or check its spelling',
    );
    expect(refusal(planOf("operation: rebuild", "operation: damp, strength: 1"))).toBe(
      'Cannot use the plan p.yaml: unknown key "strength" in "operations.1"; remove it or check its spelling',
    );
  });

  const refused: Readonly<Record<string, readonly [text: string, message: RegExp]>> = {
    "an unknown operation": [planOf("operation: erase"), /"operations\.0\.operation"/],
    "nothing to do": ["target: a\noperations: []\n", /"operations" is too small/],
    "no target": ["operations: [{ operation: rebuild }]\n", /"target" is wrong/],
    "a target without name": ["target: ''\noperations: [{ operation: rebuild }]\n", /"target" is too small/],
    "a restoration of nothing in particular": [planOf("operation: restore, top: 1"), /"operations\.0\.what"/],
    "a restoration of something else": [
      planOf("operation: restore, what: norms"),
      /"operations\.0\.what".*vectors.*directions.*values.*left.*right/,
    ],
    "a factor that is missing": [planOf("operation: rescale, top: 1"), /"operations\.0\.factor"/],
    "an infinite factor": [planOf("operation: rescale, top: 1, factor: .inf"), /"operations\.0\.factor"/],
    "a strength above 1": [
      planOf("operation: rollback, strength: 1.1"),
      /"operations\.0\.strength" is too big/,
    ],
    "a strength below 0": [
      planOf("operation: restore, what: left, top: 1, strength: -0.1"),
      /"operations\.0\.strength" is too small/,
    ],
    "a seed that is not a count": [
      planOf("operation: scramble, what: left, top: 1, seed: 0.5"),
      /"operations\.0\.seed" is wrong/,
    ],
    "a restoration of no ranks at all": [
      planOf("operation: restore, what: left"),
      /"operations\.0\.top" must be a count/,
    ],
    "no mapping": ["just words", /it is wrong/],
    "an empty file": ["", /it is wrong/],
  };
  for (const [name, [text, message]] of Object.entries(refused))
    it(`refuses ${name} in one line`, () => {
      expect(refusal(text)).toMatch(/^Cannot use the plan p\.yaml: [^\n]+[^.\n]$/);
      expect(refusal(text)).toMatch(message);
    });

  it("reads what it gave when that is written as YAML again", () => {
    const choice = {
      layers: fc.constantFrom("0", "1-3", "2,4"),
      matrices: fc.constantFrom("q_proj", "mlp.*,o_proj"),
    };
    const amount = fc.constantFrom(0, 0.25, 1, 8, "all" as const);
    const strength = fc.double({ min: 0, max: 1, noNaN: true }).map(Math.abs);
    const what = fc.constantFrom("vectors", "directions", "values", "left", "right");
    const operation = fc.oneof(
      fc.record(
        { operation: fc.constant("restore"), what, top: amount, tail: amount, strength, ...choice },
        { requiredKeys: ["operation", "what", "top"] },
      ),
      fc.record(
        { operation: fc.constant("truncate"), keep: amount, strength, ...choice },
        { requiredKeys: ["operation", "keep"] },
      ),
      fc.record({ operation: fc.constant("rebuild"), ...choice }, { requiredKeys: ["operation"] }),
    );
    fc.assert(
      fc.property(fc.array(operation, { minLength: 1, maxLength: 4 }), (operations) => {
        const plan = parsePlan(stringify({ target: "a", source: "b", operations }), "p.yaml");
        expect(plan.operations).toMatchObject(operations);
        expect(parsePlan(stringify(plan), "again")).toEqual(plan);
      }),
    );
  });
});
