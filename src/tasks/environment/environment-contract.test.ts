import { describe, expect, it } from "vitest";
import { UsageError } from "../../base/core/index.ts";
import type { Environment } from "./environment.ts";
import { testEnvironment } from "./environment-contract.ts";
import { generalPoints } from "./general-points/general-points.ts";
import { environments, findEnvironment } from "./registry.ts";

describe("every environment in the table", () => {
  for (const [name, environment] of Object.entries(environments)) {
    it(`${name} keeps the contract`, () => {
      expect(testEnvironment(environment)).toEqual([]);
      expect(environment.name).toBe(name);
    });
  }
});

describe("testEnvironment()", () => {
  const broken: { readonly [promise: string]: Partial<Environment> } = {
    "differs when created again": {
      createTask: (
        (numTasks) => (request) =>
          generalPoints.createTask({ ...request, index: numTasks++ })
      )(0),
    },
    "of the next seed": {
      createTask: (request) => generalPoints.createTask({ ...request, seed: 2 * request.seed }),
    },
    "is not solved by its reference answer": { referenceAnswer: () => "24" },
    "unsound grade": {
      grade: (_, answer, options) => ({
        ...generalPoints.grade(generalPoints.parseTask({ cards: [1, 2, 3, 4], rule: "id" }), answer, options),
        reward: Number.NaN,
      }),
    },
    "prompt of another task": { prompt: () => "the same" },
    'lacks the word "play"': { vocabulary: generalPoints.vocabulary.filter((word) => word !== "play") },
    "repeats a word": { vocabulary: [...generalPoints.vocabulary, "play"] },
    "always draws the same": {
      skills: { idle: { summary: "", draw: () => ({ prompt: "1", answer: "1" }) } },
    },
    "No attempts are allowed": { numAttempts: { compact: 0, chat: 1 } },
    "splits are the same": {
      createTask: (request) => generalPoints.createTask({ ...request, split: "id" }),
    },
  };
  for (const [promise, change] of Object.entries(broken)) {
    it(`reports an environment that breaks a promise: ${promise}`, () => {
      const environment: Environment = { ...generalPoints, ...change };
      expect(testEnvironment(environment).join("\n")).toContain(promise);
    });
  }
});

describe("findEnvironment()", () => {
  it("finds an environment by its name", () => {
    expect(findEnvironment("general-points")).toBe(generalPoints);
  });

  it("names the known ones when there is none of that name", () => {
    expect(() => findEnvironment("chess")).toThrow(UsageError);
    expect(() => findEnvironment("chess")).toThrow('"general-points"');
    expect(() => findEnvironment("constructor")).toThrow(UsageError);
  });
});
