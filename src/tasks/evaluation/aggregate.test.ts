import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { aggregate } from "./aggregate.ts";
import type { EvaluatedItem } from "./evaluate.ts";

const items: fc.Arbitrary<readonly EvaluatedItem[]> = fc.array(
  fc.record({
    split: fc.constantFrom("id" as const, "ood" as const),
    index: fc.nat(),
    promptHash: fc.constant("0123456789abcdef"),
    answer: fc.string(),
    numAttempts: fc.integer({ min: 1, max: 5 }),
    outcome: fc.constantFrom("correct", "incorrect", "illegal"),
    reward: fc.integer({ min: -3, max: 5 }),
    parts: fc.record({ format: fc.boolean(), values: fc.boolean(), solved: fc.boolean() }),
    reference: fc.record({
      negativeLogLikelihood: fc.double({ min: 0, max: 100, noNaN: true }),
      numTokens: fc.integer({ min: 1, max: 30 }),
    }),
  }),
);

describe("aggregate()", () => {
  it("counts every item of a split once, in the splits together all", () => {
    fc.assert(
      fc.property(items, (drawn) => {
        const [id, ood] = [aggregate(drawn, "id"), aggregate(drawn, "ood")];
        for (const part of ["solved", "format", "values"] as const) {
          expect(id[part].total + ood[part].total).toBe(drawn.length);
          expect(id[part].correct + ood[part].correct).toBe(drawn.filter(({ parts }) => parts[part]).length);
          expect(id[part].correct).toBeLessThanOrEqual(id[part].total);
        }
        for (const { outcomes, solved } of [id, ood])
          expect(Object.values(outcomes).reduce((sum, count) => sum + count, 0)).toBe(solved.total);
      }),
    );
  });

  it("weighs the loss by tokens, not by items", () => {
    const item = (negativeLogLikelihood: number, numTokens: number): EvaluatedItem => ({
      split: "id",
      index: 0,
      promptHash: "",
      answer: "",
      numAttempts: 1,
      outcome: "correct",
      reward: 5,
      parts: { format: true, values: true, solved: true },
      reference: { negativeLogLikelihood, numTokens },
    });
    expect(aggregate([item(2, 1), item(4, 11)], "id").loss).toBeCloseTo(0.5, 12);
    expect(aggregate([], "id")).toEqual({
      solved: { correct: 0, total: 0 },
      format: { correct: 0, total: 0 },
      values: { correct: 0, total: 0 },
      loss: 0,
      outcomes: {},
    });
  });
});
