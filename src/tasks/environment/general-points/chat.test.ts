import { describe, expect, it } from "vitest";
import { gradeChat, writeChatAnswer, writeChatPrompt, writeChatRetry } from "./chat.ts";
import type { GeneralPointsTask } from "./hand.ts";
import { scoreFormula } from "./score.ts";

const rule = { J: 10, Q: 10, K: 10 };
const task: GeneralPointsTask = { cards: [4, 6, 1, 1], rule };

function grade(cards: readonly number[], formula: string, compat = false): ReturnType<typeof gradeChat> {
  return gradeChat({ cards, rule }, JSON.stringify({ formula }), compat);
}

describe("gradeChat() on the study's own examples", () => {
  const golden: readonly (readonly [
    cards: readonly number[],
    formula: string,
    reward: number,
    outcome: string,
  ])[] = [
    [[4, 6, 1, 1], "4*6*1*1", 5, "correct"],
    [[4, 6, 1, 1], "4*6*1*1=24", 5, "correct"],
    [[4, 6, 1, 1], "4 * 6*1*1", -3, "illegal"],
    [[4, 6, 1, 1], "None", -3, "illegal"],
    [[4, 6, 1, 1], "", -2, "wrong-numbers"],
    [[4, 6, 1, 1], "4*6", -2, "wrong-numbers"],
    [[4, 6, 1, 1], "4+6+1+1", -1, "incorrect"],
    [[4, 6, 1, 1], "4*6*2*1", -4, "wrong-numbers"],
    [[4, 6, 1, 1], "4*6*4*1", -4, "wrong-numbers"],
    [[4, 6, 1, 1], "4**6*1*1", -3, "illegal"],
    [[4, 6, 1, 1], "4*6*1*1*", -1, "incorrect"],
    [[4, 6, 1, 1], "-4*6*1*1", -3, "illegal"],
    [[4, 6, 1, 1], "04*6*1*1", -1, "incorrect"],
    [[4, 6, 1, 1], "4/(1-1)*6", -1, "incorrect"],
    [[4, 6, 1, 1], "((4*6))*1*1", 5, "correct"],
    [[1, 2, 3, 4], "1*2*3*4", 5, "correct"],
    [[1, 2, 3, 4], "1+2+3+4", -1, "incorrect"],
    [[1, 2, 3, 4], "1*2*3", -2, "wrong-numbers"],
    [[1, 2, 3, 4], "1*2*3*5", -4, "wrong-numbers"],
    [[1, 2, 3, 4], "(1+2+3)*4)", -3, "illegal"],
    [[1, 2, 3, 4], "1 * 2*3*4", -3, "illegal"],
    [[1, 2, 3, 4], "-1+2+3+4", -3, "illegal"],
    [[1, 2, 3, 4], "1(2+3)*4", -6, "illegal"],
  ];
  for (const [cards, formula, reward, outcome] of golden) {
    it(`gives "${formula}" on ${cards.join(" ")} a reward of ${reward}`, () => {
      for (const compat of [false, true]) {
        expect(grade(cards, formula, compat)).toMatchObject({ reward, outcome });
      }
    });
  }

  it("rewards what falls short of a solution only by its last bracket", () => {
    expect(grade([4, 6, 1, 1], "4*(6*1*1")).toMatchObject({ reward: 1, outcome: "partial" });
    expect(grade([4, 6, 1, 1], "(4*6*1*1")).toMatchObject({ reward: -1 }); // no layout brackets all four numbers
    const solutions = (): readonly string[] => ["(4*6*1*1)"];
    const options = { values: [4, 6, 1, 1], solutions, compat: false };
    expect(scoreFormula("(4*6*1*1", options)).toMatchObject({ reward: 1, outcome: "partial" });
  });

  it("names the part that begins a solution", () => {
    const solutions = (): readonly string[] => ["4*6*1*1"];
    const score = scoreFormula("4+6+1+1", { values: [4, 6, 1, 1], solutions, compat: false });
    expect(score.feedback).toContain('only "4" begins a solution');
    expect(grade([1, 2, 3, 4], "04+1+2+3").feedback).toContain("begins like no solution");
  });

  it("is exact, and repeats the study's floating-point defect on request", () => {
    expect(grade([3, 3, 8, 8], "8/(3-8/3)")).toMatchObject({ reward: 5, outcome: "correct" });
    const repeated = grade([3, 3, 8, 8], "8/(3-8/3)", true);
    expect(repeated).toMatchObject({ reward: 0, outcome: "incorrect", parts: { solved: false } });
    expect(repeated.feedback).toContain("floating point");
  });

  it("adds penalties of different kinds", () => {
    expect(grade([1, 2, 3, 4], "-1*2*3*5)")).toMatchObject({ reward: -3 - 3 - 2 - 2, outcome: "illegal" });
  });
});

describe("gradeChat() on answers", () => {
  const right = { reward: 5, parts: { format: true, values: true, solved: true } };
  const missing = { reward: -3, outcome: "illegal", parts: { format: false, solved: false } };

  it("reads JSON with or without the other keys", () => {
    expect(gradeChat(task, '{"formula":"4*6*1*1=24"}')).toMatchObject(right);
    expect(gradeChat(task, ' {"cards": [], "number": [1, 1, 4, 6], "formula": "4*6*1*1"}\n')).toMatchObject(
      right,
    );
    expect(gradeChat(task, '{"number": ["4", "6", "1", "1"], "formula": "4*6*1*1"}')).toMatchObject(right);
  });

  it("finds the formula in text that is not JSON, for the study in exactly its spelling", () => {
    expect(gradeChat(task, 'Sure: {"formula": "4*6*1*1=24",}')).toMatchObject(right);
    expect(gradeChat(task, '{"formula": "1+1", "formula": "4*6*1*1",}')).toMatchObject({ reward: -2 });
    for (const space of ["", " ", "\n  "]) {
      const fenced = `\`\`\`json\n{"formula":${space}"4*6*1*1"}\n\`\`\``;
      expect(gradeChat(task, fenced), fenced).toMatchObject(right);
      expect(gradeChat(task, fenced, true)).toMatchObject(space === " " ? right : missing);
    }
    expect(gradeChat(task, "{'formula': '4*6*1*1'}")).toMatchObject(missing);
    expect(gradeChat(task, '"formula": "4*6\n*1*1"')).toMatchObject(missing);
    expect(gradeChat(task, "4*6*1*1=24")).toMatchObject(missing);
    expect(gradeChat(task, "")).toMatchObject(missing);
    expect(gradeChat(task, "null")).toMatchObject(missing);
    expect(gradeChat(task, '"4*6*1*1"')).toMatchObject(missing);
    expect(gradeChat(task, '{"formula": null}')).toMatchObject(missing);
  });

  it("turns a numeric formula into text", () => {
    expect(gradeChat(task, '{"formula": 24}')).toMatchObject({ reward: -4, parts: { format: true } });
    expect(gradeChat(task, '{"formula": -1.5}')).toMatchObject(missing);
  });

  it("reads typeset operators as what they mean, the study does not", () => {
    expect(grade([3, 3, 8, 8], "8 ÷ (3 − 8 ÷ 3)")).toMatchObject(right);
    expect(grade([3, 3, 8, 8], "8 ÷ (3 − 8 ÷ 3)", true)).toMatchObject({ reward: -3 });
  });

  it("grades the text before the first =, and what it is said to equal", () => {
    expect(grade([4, 6, 1, 1], "4*6*1*1=25", true)).toMatchObject(right);
    expect(grade([4, 6, 1, 1], "4*6*1*1=25")).toMatchObject({ reward: -1, outcome: "incorrect" });
    expect(grade([3, 3, 8, 8], "8/(3-8/3)=25")).toMatchObject({ reward: -1, parts: { solved: false } });
    expect(grade([4, 6, 1, 1], "4*6*1*1=24=24")).toMatchObject(right);
    expect(grade([4, 6, 1, 1], "=4*6*1*1")).toMatchObject({ reward: -2, parts: { format: false } });
  });

  it("tells stated values from the formula's", () => {
    const face: GeneralPointsTask = { cards: [13, 2, 1, 1], rule: { J: 11, Q: 12, K: 13 } };
    const stated = (numbers: string): boolean =>
      gradeChat(face, `{"number": ${numbers}, "formula": "(10+2)*(1+1)"}`).parts.values;
    expect(stated("[13, 2, 1, 1]")).toBe(true);
    expect(stated("[1, 2, 1, 13]")).toBe(true);
    expect(stated("[10, 2, 1, 1]")).toBe(false);
    expect(stated("[13, 2, 1]")).toBe(false);
    expect(stated("[13, 2, 1, null]")).toBe(false);
    expect(stated("13")).toBe(false);
    expect(gradeChat(face, '{"number": [13, 2, 1, 1], "formula": "(13-2+1)*1",}').parts.values).toBe(true);
    expect(gradeChat(face, '{"formula": "(13-1)*2*1"}').parts.values).toBe(true);
    expect(gradeChat(face, '{"formula": "(10+2)*(1+1)"}').parts.values).toBe(false);
  });
});

describe("the chat prompt format", () => {
  const face: GeneralPointsTask = { cards: [5, 11, 3, 1], rule: { J: 11, Q: 12, K: 13 } };

  it("states the rule, the cards and the keys", () => {
    const prompt = writeChatPrompt(face);
    expect(prompt).toContain("J counts as 11, Q counts as 12 and K counts as 13");
    expect(prompt).toContain('Cards: ["5", "J", "3", "A"]');
    for (const key of ["cards", "number", "formula"]) expect(prompt).toContain(`"${key}"`);
  });

  it("answers in JSON, without a division where none is needed", () => {
    expect(JSON.parse(writeChatAnswer({ cards: [1, 10, 4, 1], rule }))).toEqual({
      cards: ["A", "10", "4", "A"],
      number: [1, 10, 4, 1],
      formula: "(1+1)*10+4=24",
    });
    expect(writeChatAnswer({ cards: [3, 3, 8, 8], rule })).toContain('"8/(3-8/3)=24"');
    expect(() => writeChatAnswer({ cards: [1, 1, 1, 1], rule })).toThrow(RangeError);
  });

  it("repeats every answer with its reason on a retry", () => {
    const answers = ['{"formula": "5+11"}', '{"formula": "5+11+3+1=24"}'];
    const attempts = answers.map((answer) => ({ answer, grade: gradeChat(face, answer) }));
    const retry = writeChatRetry(face, attempts);
    expect(retry.startsWith(writeChatPrompt(face))).toBe(true);
    expect(retry.indexOf(answers[1]!)).toBeGreaterThan(retry.indexOf(answers[0]!));
    for (const { grade } of attempts) expect(retry).toContain(`failed because ${grade.feedback}. `);
  });
});

describe("an answer without JSON", () => {
  it("is illegal, and is told what is missing", () => {
    for (const answer of ["8/(3-8/3)", "8 ÷ (3 − 8 ÷ 3)", ""])
      expect(gradeChat({ cards: [3, 3, 8, 8], rule }, answer)).toMatchObject({
        outcome: "illegal",
        feedback: 'the answer has no JSON object with a "formula"',
      });
  });
});
