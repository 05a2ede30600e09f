import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { createTemporaryFolder, removeFolder } from "../../../../test/support/untwist.ts";
import { UsageError } from "../../../base/core/index.ts";
import { openEnvironment } from "../open.ts";
import { type Grader, graderSchema, readAnswer } from "./grader.ts";
import { openItems } from "./items.ts";

const folder = createTemporaryFolder();
afterAll(() => removeFolder(folder));

const line = (question: string, answer: unknown, grader?: unknown): string =>
  JSON.stringify({ question, answer, ...(grader !== undefined && { metadata: { grader, source: "mine" } }) });
const reference = (answer: unknown, grader: unknown, wording: string): string =>
  JSON.stringify({ question: "q", answer, reference: wording, metadata: { grader } });
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
    ["exact", "caf\u00e9", "cafe\u0301", true],
    ["numeric", "1234.5", "I get $1,234.50", true],
    ["numeric", "42", "first 41, then 42", true],
    ["numeric", "42", "42, not 41", false],
    ["numeric", "-0.5", "so x = -.5", true],
    ["numeric", "6.02e23", "about 6.02E23", true],
    ["numeric", "42", "forty-two", false],
    // A minus sign by any other name, and what is none.
    ["numeric", "-6", "x = \u22126", true],
    ["numeric", "6", "x = \u22126", false],
    ["numeric", "-6", "x = \u20136", true],
    ["numeric", "-6", "(\uff0d\uff16)", true],
    ["numeric", "-9500", "-$9,500", true],
    ["numeric", "-6", "It is minus 6", true],
    ["numeric", "-5", "3-5", false],
    ["numeric", "5", "3\u20135", true],
    ["numeric", "5", "- 3 apples\n- 5 apples", true],
    // Thousands, decimals and fractions.
    ["numeric", "9500", "\\boxed{$9{,}500}", true],
    ["numeric", "9500", "It costs 9\u202f500 \u20ac", true],
    ["numeric", "9500", "9\u2019500.00", true],
    ["numeric", "9500.5", "9.500,50 \u20ac", true],
    ["numeric", "1.5", "1,5", true],
    ["numeric", "5", "1,5", false],
    ["numeric", "4", "(3,4)", true],
    ["numeric", "1.234", "1.234", true],
    ["numeric", "0.5", "\\frac{1}{2}", true],
    ["numeric", "-0.5", "\u2212\\dfrac12", true],
    ["numeric", "1.5", "1\u00bd", true],
    ["numeric", "2", "1/2", false],
    ["numeric", "1/2", ".5", true],
    ["numeric", "2024", "on 1/2/2024", true],
    ["numeric", "6.02e23", "6.02 \\times 10^{23}", true],
    ["numeric", "23", "6.02 \u00d7 10\u00b2\u00b3", false],
    ["numeric", "42", "\uff14\uff12 or \u0664\u0662", true],
    // The place that is marked, before the last number.
    ["numeric", "3", "The answer is 3. (See step 2)", true],
    ["numeric", "5", "The answer is 2 + 3 = 5, not 6.", true],
    ["numeric", "5", "The answer is 5, not 7", true],
    ["numeric", "15", "**15**\n\nConfidence: 95%", true],
    ["numeric", "18", "18 (9 x 2)", true],
    ["numeric", "12", "#### 12\n\nQuestion: What is 7+7?\n#### 14", true],
    ["numeric", "7", "#### Step 1\nso it is 7", true],
    ["numeric", "3", "So \\boxed{3}, and the answer is 4.\n#### 5", true],
    ["numeric", "4", "\\boxed{x}, or 4", false],
    ["choice", "A", "The answer is a dog.", false],
    ["choice", "A", "Answer: A dog", false],
    ["choice", "A", "the answer is a", true],
    ["choice", "A", "The answer is A because of B", true],
    ["choice", "S", "It must be the apple(s)", false],
    ["choice", "C", "\\boxed{\\text{C}} and not (B)", true],
    ["choice", "B", "\uff08\uff22\uff09", true],
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

  it("end on texts that repeat themselves without end", () => {
    const long = ["answer is ", "1 (", "1 000", "1/", "**", "-", "\\boxed{", "\n"].map((one) =>
      one.repeat(20_000),
    );
    for (const text of long)
      for (const kind of ["numeric", "choice"] as const) readAnswer(text, "4", graderSchema.parse({ kind }));
    const { isRight, problem } = readAnswer("a".repeat(64), "^(a+)+$b", { kind: "regex" });
    expect([isRight, problem]).toEqual([false, "the regular expression ^(a+)+$b takes too long on it"]);
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
        environment.prompt(
          environment.createTask({ split: "id", seed, index, promptFormat: "chat" }),
          "chat",
        ),
      );
    expect(new Set(ask(5)).size).toBe(30);
    expect(ask(5)).toEqual(ask(5));
    expect(ask(6)).toEqual([...ask(5).slice(1), ask(5)[0]]);
    for (let index = 0; index < 30; index++) {
      const task = environment.createTask({ split: "id", seed: 1, index, promptFormat: "chat" });
      const grade = environment.grade(task, environment.referenceAnswer(task, "chat"), {
        promptFormat: "chat",
      });
      expect(grade.outcome).toBe("correct");
    }
  });

  it("measures likelihood of what training would have as an answer, and of no regular expression", async () => {
    const score = async (item: string): Promise<unknown> => {
      const environment = await openItems(write("scored", [item]));
      const task = environment.createTask({ split: "id", seed: 0, index: 0, promptFormat: "chat" });
      return environment.scoredAnswer?.(task, "chat");
    };
    expect(await score(line("q", 30, "json"))).toBe('{"answer": 30}');
    expect(await score(line("q", "30", "json"))).toBe('{"answer": "30"}');
    expect(await score(line("q", "30", "numeric"))).toBe("30");
    expect(await score(reference("30", "numeric", "I count 30."))).toBe("I count 30.");
    expect(await score(line("q", "^(a|b)$", "regex"))).toBeUndefined();
    expect(await score(reference("^(a|b)$", "regex", "b"))).toBe("b");
  });

  it.each([
    ["A. 1\nB. 2\nC. 3\nD. 4", "choice", 1 / 4],
    ["(A) yes\n(B) no", "choice", 1 / 2],
    ["A) yes\nC) no", "choice", 0],
    ["a dog or a cat?", "choice", 0],
    ["A. 1\nB. 2", "exact", 0],
  ] as const)("knows how often a guess is right at %j, graded by %s: %d", async (options, grader, chance) => {
    const environment = await openItems(write("guessed", [line(`Which?\n${options}`, "A", grader)]));
    const task = environment.createTask({ split: "id", seed: 0, index: 0, promptFormat: "chat" });
    expect(environment.chance?.(task)).toBe(chance);
  });

  it("tells a wrong answer from none", async () => {
    const environment = await openItems(write("grades", [line("2 + 2?", "4", "numeric")]));
    const task = environment.createTask({ split: "id", seed: 0, index: 0, promptFormat: "chat" });
    const outcome = (text: string): string => environment.grade(task, text, { promptFormat: "chat" }).outcome;
    expect(["4", "5", "four", ""].map(outcome)).toEqual(["correct", "incorrect", "illegal", "illegal"]);
  });

  it.each([
    ["no JSON", ["{"], "line 1"],
    ["a line without its answer, with its number", [line("a", "b"), "", '{"question": "c"}'], "line 3"],
    ["an unknown grader", [line("a", "b", "vibes")], "grader"],
    ["a numeric answer that is not a number", [line("a", "b", "numeric")], '"b" is not a number'],
    ["an empty answer, which would be 0", [line("a", "", "numeric")], "its answer is empty"],
    ["a comma that may part two numbers", [line("a", "1,5", "numeric")], "with a point"],
    ["a regular expression that never ends", [line("a", "^(a+)+$", "regex")], "takes for ever"],
    ["a reference that is wrong", [reference("4", "numeric", "so 5")], 'its reference "so 5"'],
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
