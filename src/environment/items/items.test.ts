import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { createTemporaryFolder, removeFolder } from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/index.ts";
import { openEnvironment } from "../open.ts";
import { type Grader, graderSchema, readAnswer } from "./grader.ts";
import { openItems } from "./items.ts";

const folder = createTemporaryFolder();
afterAll(() => removeFolder(folder));

const line = (question: string, answer: unknown, grader?: unknown): string =>
  JSON.stringify({ question, answer, ...(grader !== undefined && { metadata: { grader, source: "mine" } }) });
function write(name: string, id: readonly string[], ood: readonly string[] = [line("o", "p")]): string {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, "id.jsonl"), `${id.join("\n")}\n`);
  writeFileSync(join(path, "ood.jsonl"), ood.join("\n"));
  return path;
}

describe("graders", () => {
  it.each([
    ["exact", "Paris", " paris \n", true],
    ["exact", "New  York", "new york", true],
    ["exact", "Paris", "Paris, of course", false],
    ["numeric", "1234.5", "I get $1,234.50", true],
    ["numeric", "42", "first 41, then 42", true],
    ["numeric", "42", "42, not 41", false],
    ["numeric", "-0.5", "so x = -.5", true],
    ["numeric", "6.02e23", "about 6.02E23", true],
    ["numeric", "42", "forty-two", false],
    ["choice", "B", "The answer is (B).", true],
    ["choice", "b", "B", true],
    ["choice", "A", "A. Or is it C? No, I choose A", true],
    ["choice", "B", "It is a bird, so B", true],
    ["choice", "B", "ABBA", false],
    ["choice", "B", "B. I'm sure", true],
    ["choice", "B", "The answer is B, and I am sure", true],
    ["choice", "C", "**Answer:** C", true],
    ["choice", "A", "A", true],
    ["json", "5", 'the set {1, 2 is wrong, so {"answer": 5}', true],
    ["json", "5", 'a {5" pipe} gives {"answer": 5}', true],
    ["json", "4", 'so {"answer": 4}', true],
    ["json", "yes", '{"answer": "Yes"} trailing', true],
    ["json", "4", '{"result": 4}', false],
    ["regex", "^(four|4)$", "Four", true],
    ["regex", "\\b4\\b", "44", false],
  ] as const)("%s holds %j against %j: %s", (kind, expected, text, isRight) => {
    expect(readAnswer(text, expected, graderSchema.parse({ kind })).isRight).toBe(isRight);
  });

  it("take tolerances, absolute and relative, and fields of their own", () => {
    const close = (text: string, grader: Grader): boolean => readAnswer(text, "200", grader).isRight;
    expect(close("201", { kind: "numeric", tolerance: 1, relative: false })).toBe(true);
    expect(close("201.1", { kind: "numeric", tolerance: 1, relative: false })).toBe(false);
    expect(close("202", { kind: "numeric", tolerance: 0.01, relative: true })).toBe(true);
    expect(close('{"total": "200"}', { kind: "json", field: "total" })).toBe(true);
  });

  it("never throw, whatever the text", () => {
    const graders: readonly Grader[] = (["exact", "numeric", "choice", "json", "regex"] as const).map(
      (kind) => graderSchema.parse({ kind }),
    );
    fc.assert(
      fc.property(
        fc.string({ unit: "binary", maxLength: 200 }),
        fc.constantFrom(...graders),
        (text, grader) => {
          readAnswer(text, "4", grader);
        },
      ),
    );
  });
});

describe("openItems()", () => {
  it("asks every item once, in an order that does not change, and knows how many there are", async () => {
    const path = write(
      "many",
      Array.from({ length: 30 }, (_, index) => line(`question ${index}`, index, "numeric")),
    );
    const environment = await openEnvironment(`items:${path}`);
    expect(environment.numTasks).toEqual({ id: 30, ood: 1 });
    const ask = (seed: number): readonly string[] =>
      Array.from({ length: 30 }, (_, index) =>
        environment.prompt(environment.createTask({ split: "id", seed, index, rendering: "chat" }), "chat"),
      );
    expect(new Set(ask(5)).size).toBe(30);
    expect(ask(5)).toEqual(ask(5));
    expect(ask(6)).toEqual([...ask(5).slice(1), ask(5)[0]]);
    for (let index = 0; index < 30; index++) {
      const task = environment.createTask({ split: "id", seed: 1, index, rendering: "chat" });
      const verdict = environment.grade(task, environment.referenceAnswer(task, "chat"), {
        rendering: "chat",
      });
      expect(verdict.outcome).toBe("correct");
    }
  });

  it("tells a wrong answer from none", async () => {
    const environment = await openItems(write("grades", [line("2 + 2?", "4", "numeric")]));
    const task = environment.createTask({ split: "id", seed: 0, index: 0, rendering: "chat" });
    const outcome = (text: string): string => environment.grade(task, text, { rendering: "chat" }).outcome;
    expect(["4", "5", "four", ""].map(outcome)).toEqual(["correct", "incorrect", "illegal", "illegal"]);
  });

  it.each([
    ["no JSON", ["{"], "line 1"],
    ["a line without its answer, with its number", [line("a", "b"), "", '{"question": "c"}'], "line 3"],
    ["an unknown grader", [line("a", "b", "vibes")], "grader"],
    ["a numeric answer that is no number", [line("a", "b", "numeric")], '"b" is no number'],
    ["a choice of two letters", [line("a", "BC", "choice")], "single letter"],
    ["a malformed regular expression", [line("a", "(", "regex")], "regular expression"],
    ["nothing at all", [""], "no items"],
  ] as const)("refuses %s", async (name, lines, words) => {
    const path = write(name, lines);
    await expect(openItems(path)).rejects.toThrow(UsageError);
    await expect(openItems(path)).rejects.toThrow(words);
  });

  it("refuses a folder without one of the splits", async () => {
    const path = join(folder, "half");
    mkdirSync(path);
    writeFileSync(join(path, "id.jsonl"), line("a", "b"));
    await expect(openItems(path)).rejects.toThrow("ood.jsonl");
  });
});
