import { describe, expect, it } from "vitest";
import { createRandom } from "../../../base/core/index.ts";
import type { Example } from "../environment.ts";
import { gradeCompact } from "./compact.ts";
import { cardNames, type GeneralPointsTask, valueCards } from "./hand.ts";
import { listSolvableHands, skills } from "./skills.ts";

function draw(skill: string, numExamples = 2000): readonly Example[] {
  return Array.from({ length: numExamples }, (_, index) => skills[skill]!.draw(createRandom(index, skill)));
}

/** The task in a prompt that states a rule, read apart from the code that writes prompts. */
function readTask(prompt: string): GeneralPointsTask {
  const match = /^rule J = (\d+) , Q = (\d+) , K = (\d+) ; c: (.*) ; [a-z]+$/.exec(prompt)!;
  const cards = match[4]!.split(" ").map((name) => cardNames.indexOf(name) + 1);
  return { cards, rule: { J: Number(match[1]), Q: Number(match[2]), K: Number(match[3]) } };
}

function fractionOf(tasks: readonly GeneralPointsTask[], values: readonly number[]): number {
  const same = tasks.filter(({ rule }) => [rule.J, rule.Q, rule.K].join() === values.join());
  return same.length / tasks.length;
}

describe("skills", () => {
  it("teach the five skills, and never the keyword of fine-tuning", () => {
    expect(Object.keys(skills)).toEqual(["read", "solve", "arithmetic", "game-long", "game-short"]);
    for (const skill of Object.keys(skills)) {
      for (const { prompt, answer } of draw(skill, 200)) expect(`${prompt} ${answer}`).not.toContain("play");
    }
  });

  it("read cards under random rules, the rule of training and the changed rule", () => {
    const examples = draw("read");
    const tasks = examples.map(({ prompt }) => readTask(prompt));
    for (const [index, { answer }] of examples.entries()) {
      expect(answer).toBe(`n: ${valueCards(tasks[index]!).join(" ")}`);
      expect(examples[index]!.prompt).toMatch(/ ; read$/);
    }
    expect(fractionOf(tasks, [10, 10, 10])).toBeGreaterThan(0.16);
    expect(fractionOf(tasks, [10, 10, 10])).toBeLessThan(0.24);
    expect(fractionOf(tasks, [11, 12, 13])).toBeGreaterThan(0.16);
    expect(fractionOf(tasks, [11, 12, 13])).toBeLessThan(0.24);
    expect(new Set(tasks.map(({ rule }) => rule.Q)).size).toBe(13);
  });

  it("solve any of the solvable hands", () => {
    expect(listSolvableHands()).toHaveLength(1334);
    const seen = new Set<string>();
    for (const { prompt, answer } of draw("solve", 4000)) {
      const values = /^n: (.*) ; solve$/.exec(prompt)![1]!.split(" ").map(Number);
      seen.add([...values].sort((a, b) => a - b).join());
      expect(answer).toMatch(/^s: .* = 24$/);
    }
    expect(seen.size).toBeGreaterThan(1200);
  });

  it("calculate one operation", () => {
    const operators = new Set<string>();
    for (const { prompt, answer } of draw("arithmetic")) {
      const [left, operator = "", right] = prompt.split(" ");
      operators.add(operator);
      const [a, b, result] = [Number(left), Number(right), Number(answer)];
      if (operator === "+") expect(a + b).toBe(result);
      if (operator === "-") expect(a - b).toBe(result);
      if (operator === "*") expect(a * b).toBe(result);
      if (operator === "/") expect(result * b).toBe(a);
    }
    expect([...operators].sort()).toEqual(["*", "+", "-", "/"]);
  });

  it("play whole games in two formats", () => {
    const tasks = draw("game-long").map(({ prompt, answer }) => {
      const task = readTask(prompt);
      expect(prompt).toMatch(/ ; show$/);
      expect(gradeCompact(task, answer).outcome).toBe("correct");
      return task;
    });
    expect(fractionOf(tasks, [10, 10, 10])).toBeGreaterThan(0.21);
    expect(fractionOf(tasks, [10, 10, 10])).toBeLessThan(0.29);
    const keywords = new Set<string>();
    for (const { prompt, answer } of draw("game-short")) {
      keywords.add(prompt.split(" ; ").at(-1)!);
      expect(answer.startsWith("n: ")).toBe(true);
      const cards = / ; (c: .*) ; /.exec(prompt)![1]!;
      expect(gradeCompact(readTask(prompt), `${cards} ${answer}`).outcome).toBe("correct");
    }
    expect([...keywords].sort()).toEqual(["deal", "game", "hand", "round"]);
  });
});
