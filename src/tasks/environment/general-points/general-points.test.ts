import { describe, expect, it } from "vitest";
import { createRandom, type Random } from "../../../base/core/index.ts";
import { generalPoints } from "./general-points.ts";

const fragments = [
  ...'0123456789+-*/()=(){}[]":,. \n\t\\\u0000é٣−×',
  "\u{1f0a1}",
  "\ud800",
  '"formula": "',
  '{"formula":"',
  '"number": [',
  "null",
  "1e999",
  "None",
  "__proto__",
  ...["c: ", "n: ", "s: ", " = ", " , ", "5 J 3 A", "10 - 5 = 5"],
  ...["4*6", "8/(3-8/3)", "(3-8/3)", "3*8", "04"],
];

/** A text with "formula" or near the compact format, from nearly right to noise. */
function drawText(random: Random): string {
  const noise = Array.from({ length: random.integer(0, 40) }, () => random.pick(fragments)).join("");
  const shape = random.uniform();
  if (shape < 0.2) return `{"formula": "${noise}"}`;
  if (shape < 0.25)
    return `{"formula": "${"8/(3-8/3)".slice(0, random.integer(0, 9))}${random.pick(["", noise])}"}`;
  if (shape < 0.5) {
    const formula = random.shuffle(["3", "3", "8", "8"]).map((numeral) => {
      return random.pick([..."+-*/()"]) + numeral + random.pick(["", "", ")"]);
    });
    return `{"formula": "${formula.join("").slice(random.integer(0, 1))}"}`;
  }
  if (shape < 0.7) {
    const words = "c: 5 J 3 A n: 5 10 3 1 s: 10 - 1 = 9 , 5 * 3 = 15 , 9 + 15 = 24".split(" ");
    const place = random.integer(0, words.length);
    return words
      .map((word, index) => (index === place ? random.pick([...words, ...fragments]) : word))
      .join(" ");
  }
  if (shape < 0.999) return noise;
  const long = random.pick(["9", "0", "(", ")", "[", "{", '"', "-", '{"formula":', "(1+", "4*", "1 "]);
  return `{"formula": "${long.repeat(10_000)}${noise}"}`;
}

describe("generalPoints.grade()", () => {
  it("gives any of 100,000 hostile texts a finite reward, and meets every outcome on the way", () => {
    const random = createRandom(24, "fuzz");
    const tasks = {
      chat: generalPoints.parseTask({ cards: [3, 3, 8, 8], rule: "id" }),
      compact: generalPoints.parseTask({ cards: [5, "J", 3, "A"], rule: "id" }),
    };
    const seen = new Set<string>();
    for (let index = 0; index < 100_000; index++) {
      const answer = drawText(random);
      for (const compat of [false, true]) {
        for (const promptFormat of generalPoints.promptFormats) {
          const options = { promptFormat, compat };
          const { outcome, reward, feedback } = generalPoints.grade(tasks[promptFormat], answer, options);
          const isSound = Number.isFinite(reward) && reward <= 5 && generalPoints.outcomes.includes(outcome);
          if (!isSound || feedback.length > 120)
            expect.fail(`${outcome} ${reward} ${feedback} for ${answer}`);
          seen.add(`${promptFormat} ${outcome}`);
        }
      }
    }
    const reachable = generalPoints.outcomes.map((outcome) => `chat ${outcome}`);
    for (const outcome of ["correct", "incorrect", "wrong-numbers", "illegal"])
      reachable.push(`compact ${outcome}`);
    expect([...seen].sort()).toEqual(reachable.sort());
  });

  it("stands a hundred thousand characters of one kind", () => {
    const task = generalPoints.parseTask({ cards: [4, 6, 1, 1], rule: "id" });
    for (const unit of [
      "9",
      "(",
      ")",
      "[",
      "{",
      '"',
      "+",
      '"formula": "',
      '"number": [',
      "c: 5 ",
      "\\",
      "\ud800",
    ]) {
      for (const prefix of ["", '{"formula": "', "c: 4 6 A A n: "]) {
        const answer = prefix + unit.repeat(100_000);
        for (const promptFormat of generalPoints.promptFormats) {
          expect(generalPoints.grade(task, answer, { promptFormat }).parts.solved).toBe(false);
        }
      }
    }
  });

  it("solves a formula in any number of brackets", () => {
    const task = generalPoints.parseTask({ cards: [4, 6, 1, 1], rule: "id" });
    const answer = `{"formula": "${"(".repeat(10_000)}4*6*1*1${")".repeat(10_000)}"}`;
    expect(generalPoints.grade(task, answer, { promptFormat: "chat" }).reward).toBe(5);
  });
});

describe("generalPoints.retryPrompt()", () => {
  it("repeats the prompt where there are no words for feedback", () => {
    const task = generalPoints.createTask({ split: "id", seed: 1, index: 1, promptFormat: "compact" });
    const grade = generalPoints.grade(task, "", { promptFormat: "compact" });
    const attempts = [{ answer: "", grade }];
    expect(generalPoints.retryPrompt(task, { promptFormat: "compact", attempts })).toBe(
      generalPoints.prompt(task, "compact"),
    );
  });
});
