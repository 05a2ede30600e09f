import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createRandom, UsageError } from "../../../base/core/index.ts";
import type { Split } from "../environment.ts";
import { navigation } from "./navigation.ts";
import { type Action, findFirstWrong, listPoints, nameHeading, nameTurn, turnBetween } from "./route.ts";
import { drawStreetMap, headingBetween } from "./street-map.ts";

const task = navigation.parseTask({
  turning: "compass",
  legs: [
    { relative: "left", compass: "west", numPoints: 2, landmark: "bank" },
    { relative: "slightly right", compass: "northwest", landmark: "park" },
  ],
});
const other = { ...task, turning: "relative" as const };
const right = [
  "turn_direction(west)",
  "forward()",
  "forward()",
  "turn_direction(northwest)",
  "forward()",
  "stop()",
] as const;
const grade = (actions: unknown, graded = task): readonly unknown[] => {
  const { outcome, reward, parts } = navigation.grade(graded, JSON.stringify({ actions }), {
    promptFormat: "chat",
  });
  return [outcome, Number(reward.toFixed(4)), parts.format, parts.values, parts.solved];
};
const change = (index: number, action: string): readonly string[] =>
  right.map((one, at) => (at === index ? action : one));

describe("nameTurn()", () => {
  // The study's boundaries: its own code has −340 for 350 → 10, and calls that left.
  it.each([
    [350, 10, 20, "slightly right"],
    [10, 350, -20, "slightly left"],
    [0, 45, 45, "slightly right"],
    [0, 46, 46, "right"],
    [0, 315, -45, "slightly left"],
    [0, 314, -46, "left"],
    [90, 90, 0, "slightly left"],
    [0, 180, 180, "right"],
    [180, 0, 180, "right"],
    [270, 91, -179, "left"],
    [359, 1, 2, "slightly right"],
    [720, -350, 10, "slightly right"],
  ] as const)("calls %i → %i (%i°) %s", (before, after, turn, name) => {
    expect(turnBetween(before, after)).toBe(turn);
    expect(nameTurn(before, after)).toBe(name);
  });

  it("does not depend on where north is", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 359 }),
        fc.integer({ min: 0, max: 359 }),
        fc.integer({ min: 0, max: 359 }),
        (before, after, turned) => {
          expect(nameTurn(before + turned, after + turned)).toBe(nameTurn(before, after));
        },
      ),
    );
  });
});

describe("nameHeading()", () => {
  it("names the nearest of eight directions, around north too", () => {
    expect([0, 22, 23, 90, 337, 338, 359, 360, -45].map(nameHeading)).toEqual([
      "north",
      "north",
      "northeast",
      "east",
      "northwest",
      "north",
      "north",
      "north",
      "northwest",
    ]);
  });

  it("agrees with where a corner lies", () => {
    const here = { east: 0, north: 0 };
    expect(headingBetween(here, { east: 0, north: 5 })).toBe(0);
    expect(headingBetween(here, { east: 5, north: 0 })).toBe(90);
    expect(headingBetween(here, { east: 0, north: -5 })).toBe(180);
    expect(headingBetween(here, { east: -5, north: 0 })).toBe(270);
  });
});

describe("drawStreetMap()", () => {
  it("has streets that lead both ways", () => {
    const corners = drawStreetMap(createRandom(3, "map"));
    for (const [index, { neighbors }] of corners.entries())
      for (const neighbor of neighbors) expect(corners[neighbor]?.neighbors).toContain(index);
  });
});

describe("routes", () => {
  const numRoutes = 10_000;
  it(`of ${numRoutes} numbers are walked to their ends by their reference answers, in both splits and prompt formats`, () => {
    let numTurns = 0;
    for (let index = 0; index < numRoutes; index++) {
      const split: Split = index % 2 === 0 ? "id" : "ood";
      const promptFormat = index % 4 < 2 ? "compact" : "chat";
      const drawn = navigation.createTask({ split, seed: 0, index, promptFormat });
      const grade = navigation.grade(drawn, navigation.referenceAnswer(drawn, promptFormat), {
        promptFormat,
      });
      if (!grade.parts.solved) throw new Error(`Route ${index}: ${grade.feedback}`);
      numTurns += drawn.route.legs.length;
      // No landmark twice, no turn that nobody could name.
      expect(new Set(drawn.route.legs.map(({ landmark }) => landmark)).size).toBe(drawn.route.legs.length);
    }
    expect(numTurns).toBeGreaterThan(2.5 * numRoutes);
  });

  it("are the same in both splits: they differ only in how turns are to be named", () => {
    for (let index = 0; index < 300; index++)
      for (const promptFormat of ["compact", "chat"] as const) {
        const [id, ood] = (["id", "ood"] as const).map((split) =>
          navigation.createTask({ split, seed: 7, index, promptFormat }),
        );
        expect(ood?.route).toEqual(id?.route);
        expect([id?.turning, ood?.turning]).toEqual(["compass", "relative"]);
        const [first, second] = [id, ood].map((one) => navigation.prompt(one!, promptFormat));
        const hide = (text = ""): string =>
          text.replace(/turns (?:compass|relative)/, "").replace(/where x is one of .*/, "");
        expect(hide(second)).toBe(hide(first));
        expect(second).not.toBe(first);
      }
  });

  it("lead where their actions go, step by step", () => {
    const points = listPoints(task.route, "compass");
    expect(points.map(({ place }) => place)).toEqual([
      "start",
      "street",
      "street",
      "corner",
      "street",
      "destination",
    ]);
    const actions: readonly Action[] = points.map(({ action }) => action);
    expect(findFirstWrong(points, actions)).toBeUndefined();
    for (let index = 0; index < actions.length; index++)
      expect(findFirstWrong(points, actions.slice(0, index))).toBe(index);
  });
});

describe("grading of navigation", () => {
  it.each([
    ["all right", right, ["correct", 1, true, true, true]],
    ["a wrong first turn", change(0, "turn_direction(east)"), ["incorrect", -1, true, false, false]],
    ["a wrong second turn", change(3, "turn_direction(north)"), ["incorrect", -0.5, true, false, false]],
    ["no stop", right.slice(0, 5), ["incorrect", -0.1667, true, true, false]],
    ["one step too many", [...right, "stop()"], ["incorrect", -0.1667, true, true, false]],
    ["a stop on the way", change(1, "stop()"), ["incorrect", -0.8333, true, true, false]],
    [
      "turns as the walker sees them",
      change(0, "turn_direction(left)"),
      ["wrong-actions", -1, true, false, false],
    ],
    ["quotes and spaces", change(0, " turn_direction('west') "), ["correct", 1, true, true, true]],
    ["an unknown direction", change(0, "turn_direction(up)"), ["illegal", -1.5, false, false, false]],
    ["an unknown action", change(0, "jump()"), ["illegal", -1.5, false, false, false]],
    ["no list", "forward()", ["illegal", -1.5, false, false, false]],
    ["numbers", [1, 2], ["illegal", -1.5, false, false, false]],
    ["an empty list", [], ["incorrect", -1, true, false, false]],
  ] as const)("of %s", (_, actions, expected) => {
    expect(grade(actions)).toEqual(expected);
  });

  it("asks for turns as the walker sees them out of distribution", () => {
    const relative = [
      "turn_direction(left)",
      "forward()",
      "forward()",
      "turn_direction(slightly right)",
      "forward()",
      "stop()",
    ];
    expect(grade(relative, other)).toEqual(["correct", 1, true, true, true]);
    expect(grade(right, other)).toEqual(["wrong-actions", -1, true, false, false]);
  });

  it("reads the last JSON object of a text, and grades compact answers strictly", () => {
    const text = `I think {"actions": []} no:\n\`\`\`json\n${JSON.stringify({ actions: right })}\n\`\`\``;
    expect(navigation.grade(task, text, { promptFormat: "chat" }).outcome).toBe("correct");
    const compact = (answer: string): string =>
      navigation.grade(task, answer, { promptFormat: "compact" }).outcome;
    expect(compact("a: west forward forward northwest forward stop")).toBe("correct");
    expect(compact("a: left forward forward slightly-right forward stop")).toBe("wrong-actions");
    expect(compact("west forward forward northwest forward stop")).toBe("illegal");
    expect(compact("a: west bank forward northwest forward stop")).toBe("illegal");
    expect(compact("a:")).toBe("illegal");
  });

  it("refuses a route of another shape", () => {
    for (const wrong of [
      {},
      { turning: "up", legs: [] },
      { turning: "compass", legs: [{ relative: "left" }] },
      "left",
      null,
    ])
      expect(() => navigation.parseTask(wrong)).toThrow(UsageError);
  });
});
