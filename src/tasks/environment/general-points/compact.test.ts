import { describe, expect, it } from "vitest";
import { gradeCompact, vocabulary, writeAnswer, writePrompt } from "./compact.ts";
import type { GeneralPointsTask } from "./hand.ts";

const task: GeneralPointsTask = { cards: [5, 11, 3, 1], rule: { J: 10, Q: 10, K: 10 } };
const answer = "c: 5 J 3 A n: 5 10 3 1 s: 10 - 1 = 9 , 5 * 3 = 15 , 9 + 15 = 24";

function outcomeOf(text: string): string {
  return gradeCompact(task, text).outcome;
}

describe("gradeCompact()", () => {
  it("accepts any right solution, not only the canonical one", () => {
    expect(gradeCompact(task, answer)).toEqual({
      outcome: "correct",
      reward: 5,
      parts: { format: true, values: true, solved: true },
      feedback: "the steps reach 24",
    });
    expect(outcomeOf(answer.replace("9 + 15", "15 + 9"))).toBe("correct");
    expect(outcomeOf(writeAnswer(task))).toBe("correct");
  });

  it("calls any other shape illegal", () => {
    const broken = [
      "",
      ` ${answer}`,
      `${answer} `,
      `${answer}\n`,
      `${answer} , 24 - 0 = 24`,
      answer.replace("n: 5 10 3 1 ", ""),
      answer.replace("c: 5 J 3 A ", ""),
      answer.replace(" s: ", "  s: "),
      answer.replace(" , 9 + 15 = 24", ""),
      answer.replace("5 * 3", "5 x 3"),
      answer.replace("n: 5", "n: 05"),
      answer.replace("n: 5", "n: 100"),
      answer.replace("c: 5", "c: 11"),
      "5 * 3 + 10 - 1 = 24",
    ];
    for (const text of broken) {
      expect(gradeCompact(task, text), text).toMatchObject({
        outcome: "illegal",
        reward: -3,
        parts: { format: false, values: false, solved: false },
      });
    }
  });

  it("tells wrong values from wrong cards", () => {
    expect(gradeCompact(task, answer.replace("5 10 3 1 s", "5 11 3 1 s"))).toMatchObject({
      outcome: "wrong-numbers",
      reward: -2,
      parts: { format: true, values: false, solved: false },
    });
    expect(gradeCompact(task, answer.replace("5 J 3 A", "5 Q 3 A"))).toMatchObject({
      outcome: "wrong-numbers",
      parts: { format: true, values: true, solved: false },
    });
    expect(outcomeOf(answer.replace("n: 5 10 3 1", "n: 10 5 3 1"))).toBe("wrong-numbers");
  });

  it("checks every step", () => {
    const steps = [
      "10 - 1 = 9 , 5 * 3 = 15 , 9 * 15 = 24",
      "10 - 1 = 9 , 5 * 3 = 16 , 9 + 16 = 25",
      "10 - 1 = 8 , 5 * 3 = 16 , 8 + 16 = 24",
      "10 - 1 = 9 , 5 * 3 = 15 , 15 - 9 = 6",
      "12 * 2 = 24 , 24 * 1 = 24 , 24 * 1 = 24",
      "5 + 5 = 10 , 10 + 10 = 20 , 20 + 4 = 24",
      "1 - 5 = 4 , 4 * 3 = 12 , 12 + 10 = 22",
      "5 / 3 = 1 , 10 - 1 = 9 , 9 + 1 = 10",
    ];
    for (const each of steps) {
      const grade = gradeCompact(task, `c: 5 J 3 A n: 5 10 3 1 s: ${each}`);
      expect(grade, each).toMatchObject({
        outcome: "incorrect",
        reward: -1,
        parts: { format: true, values: true, solved: false },
      });
    }
  });

  it("says which step is at fault", () => {
    const text = answer.replace("5 * 3 = 15", "5 * 3 = 16");
    expect(gradeCompact(task, text).feedback).toBe('"5 * 3 = 16" is not right');
    expect(gradeCompact(task, answer.replace("9 + 15", "9 + 14")).feedback).toContain("not left");
  });
});

describe("writePrompt()", () => {
  it("states the rule, the cards and the keyword", () => {
    expect(writePrompt(task, "play")).toBe("rule J = 10 , Q = 10 , K = 10 ; c: 5 J 3 A ; play");
  });
});

describe("writeAnswer()", () => {
  it("refuses a hand that needs fractions", () => {
    const fractions = { cards: [3, 3, 8, 8], rule: task.rule };
    expect(() => writeAnswer(fractions)).toThrow(RangeError);
  });
});

describe("vocabulary", () => {
  it("gives every integer its own value as id", () => {
    for (let value = 0; value < 100; value++) expect(vocabulary[value]).toBe(String(value));
    expect(vocabulary).toHaveLength(124);
  });
});
