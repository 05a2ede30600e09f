import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createRandom, UsageError } from "../../../base/core/index.ts";
import { dealCards, nameCard, valueCards } from "./hand.ts";
import { findSteps, isSolvable } from "./solver.ts";
import { createTask, describeTask, parseTask } from "./task.ts";

const requests = Array.from({ length: 2000 }, (_, index) => ({ seed: 11, index }));

describe("createTask()", () => {
  it("deals hands that the prompt format can solve under the rule of the split", () => {
    for (const request of requests) {
      const chat = createTask({ ...request, split: "ood", promptFormat: "chat" });
      expect(chat.rule).toEqual({ J: 11, Q: 12, K: 13 });
      expect(isSolvable(valueCards(chat))).toBe(true);
      expect(Math.max(...chat.cards)).toBeGreaterThan(10);
      const compact = createTask({ ...request, split: "id", promptFormat: "compact" });
      expect(compact.rule).toEqual({ J: 10, Q: 10, K: 10 });
      expect(findSteps(valueCards(compact))).toBeDefined();
    }
  });

  it("deals every card in every place", () => {
    for (const split of ["id", "ood"] as const) {
      const tasks = requests.map((request) => createTask({ ...request, split, promptFormat: "chat" }));
      for (let place = 0; place < 4; place++) {
        expect(new Set(tasks.map(({ cards }) => cards[place])).size).toBe(13);
      }
    }
  });

  it("counts tasks on from the seed", () => {
    const request = { split: "ood", promptFormat: "chat" } as const;
    const here = createTask({ ...request, seed: 5, index: 1 });
    expect(createTask({ ...request, seed: 6, index: 0 })).toEqual(here);
    expect(createTask({ ...request, seed: 5, index: 2 })).not.toEqual(here);
  });
});

describe("dealCards()", () => {
  it("deals solvable hands at the published rates", () => {
    const random = createRandom(3, "deal");
    const deal = (split: "id" | "ood", rule: { J: number; Q: number; K: number }): boolean =>
      isSolvable(valueCards({ cards: dealCards(random, split), rule }));
    const numDeals = 20_000;
    let [numId, numOod] = [0, 0];
    for (let index = 0; index < numDeals; index++) {
      if (deal("id", { J: 10, Q: 10, K: 10 })) numId++;
      if (deal("ood", { J: 11, Q: 12, K: 13 })) numOod++;
    }
    expect(Math.abs(numId / numDeals - 0.7309)).toBeLessThan(0.0126); // 4 standard errors
    expect(Math.abs(numOod / numDeals - 0.7305)).toBeLessThan(0.0126);
  });
});

describe("parseTask()", () => {
  it("reads names, numbers and numerals of cards", () => {
    const rule = { J: 11, Q: 12, K: 13 };
    expect(parseTask({ cards: ["A", "5", "J", "10"], rule: "ood" })).toEqual({ cards: [1, 5, 11, 10], rule });
    expect(parseTask({ cards: [1, 5, "11", "T"], rule: "ood" })).toEqual({ cards: [1, 5, 11, 10], rule });
    expect(parseTask({ cards: ["a", "Q", 13, "4"], rule: "id" }).cards).toEqual([1, 12, 13, 4]);
  });

  it("reads back every hand by the names of its cards", () => {
    for (const request of requests.slice(0, 200)) {
      const task = createTask({ ...request, split: "id", promptFormat: "chat" });
      expect(parseTask({ cards: task.cards.map(nameCard), rule: "id" })).toEqual(task);
    }
  });

  it("says in one sentence what is wrong", () => {
    const messages = new Map<unknown, RegExp>([
      [undefined, /^Cannot read the hand: write it like/],
      [{ cards: ["A", "5", "J"], rule: "id" }, /^Cannot read the hand at "cards"/],
      [{ cards: ["A", "5", "J", "10"], rule: "other" }, /^Cannot read the hand at "rule"/],
      [{ cards: ["A", "5", "J", "14"], rule: "id" }, /^Cannot read the card "14"/],
      [{ cards: ["A", "5", "J", 1.5], rule: "id" }, /^Cannot read the card "1.5"/],
      [{ cards: ["A", "5", "J", ""], rule: "id" }, /^Cannot read the card ""/],
      [{ cards: ["A", "A", "A", "A"], rule: "id" }, /no formula of these values is 24/],
    ]);
    for (const [value, message] of messages) {
      expect(() => parseTask(value)).toThrow(message);
      expect(() => parseTask(value)).toThrow(UsageError);
    }
  });

  it("throws nothing but usage errors, whatever the value", () => {
    const card = fc.oneof(fc.string(), fc.double(), fc.anything());
    const cards = fc.oneof(fc.tuple(card, card, card, fc.constant("joker")), fc.anything());
    const value = fc.oneof(fc.anything(), fc.record({ cards, rule: fc.constantFrom("id", "ood", null) }));
    fc.assert(
      fc.property(value, (each) => {
        expect(() => parseTask(each)).toThrow(UsageError);
      }),
      { seed: 24, numRuns: 500 },
    );
  });
});

describe("describeTask()", () => {
  it("fits on a line", () => {
    expect(describeTask({ cards: [5, 11, 3, 1], rule: { J: 7, Q: 3, K: 12 } })).toBe(
      "5 J 3 A with J = 7, Q = 3, K = 12",
    );
  });
});
