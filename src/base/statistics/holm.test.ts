import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createRandom } from "../core/index.ts";
import { holm } from "./holm.ts";

/** The definition by closed testing: the largest Bonferroni p-value of all sets of hypotheses that hold one of them. */
function closeByBonferroni(pValues: readonly number[]): number[] {
  return pValues.map((_, hypothesis) => {
    let largest = 0;
    for (let set = 0; set < 2 ** pValues.length; set++) {
      if (((set >> hypothesis) & 1) === 0) continue;
      const members = pValues.filter((_, index) => ((set >> index) & 1) === 1);
      largest = Math.max(largest, Math.min(1, members.length * Math.min(...members)));
    }
    return largest;
  });
}

// Ties, 0 and 1 are as likely as anything between.
const pValue = fc.oneof(
  fc.double({ min: 0, max: 1, noNaN: true }),
  fc.double({ min: 0, max: 0.05, noNaN: true }),
  fc.constantFrom(0, 0.01, 0.5, 1),
);
const pValues = fc.array(pValue, { maxLength: 8 });

describe("holm()", () => {
  it("gives an example worked out by hand", () => {
    // in order 0.01, 0.02, 0.03, 0.4: times 4, 3, 2, 1 gives 0.04, 0.06, 0.06, 0.4
    const adjusted = holm([0.03, 0.01, 0.4, 0.02]);
    for (const [index, expected] of [0.06, 0.04, 0.4, 0.06].entries())
      expect(adjusted[index]).toBeCloseTo(expected, 12);
  });

  it("lets none fall below one that was smaller before", () => {
    // 3 × 0.02 = 0.06 and 2 × 0.025 = 0.05: the second is raised to the first
    expect(holm([0.02, 0.025, 0.9])).toEqual([0.06, 0.06, 0.9]);
  });

  it("leaves a single test as it is, and none empty", () => {
    expect(holm([0.03])).toEqual([0.03]);
    expect(holm([])).toEqual([]);
  });

  it("goes no higher than 1", () => {
    expect(holm([0.6, 0.7, 1])).toEqual([1, 1, 1]);
  });

  it("is what closed testing by Bonferroni gives", () => {
    fc.assert(
      fc.property(pValues, (values) => {
        const expected = closeByBonferroni(values);
        const adjusted = holm(values);
        expect(adjusted).toHaveLength(values.length);
        for (const [index, value] of adjusted.entries()) expect(value).toBeCloseTo(expected[index]!, 12);
      }),
    );
  });

  it("gives each test the same in any order", () => {
    fc.assert(
      fc.property(pValues, fc.nat(), (values, seed) => {
        const order = createRandom(seed, "order").shuffle([...values.keys()]);
        const plain = holm(values);
        expect(holm(order.map((index) => values[index]!))).toEqual(order.map((index) => plain[index]));
      }),
    );
  });

  it("keeps the order of the p-values, and lies between each and its Bonferroni correction", () => {
    fc.assert(
      fc.property(pValues, (values) => {
        const adjusted = holm(values);
        for (const [first, value] of values.entries()) {
          expect(adjusted[first]).toBeGreaterThanOrEqual(value);
          expect(adjusted[first]).toBeLessThanOrEqual(Math.min(1, values.length * value));
          for (const [second, other] of values.entries())
            if (value <= other) expect(adjusted[first]).toBeLessThanOrEqual(adjusted[second]!);
        }
      }),
    );
  });

  it("finds anything among true hypotheses in about 5 of 100 families, where p-values as they are would in half", () => {
    const random = createRandom(3, "family-wise error");
    const [numTrials, numTests] = [4000, 14];
    let [plain, corrected] = [0, 0];
    for (let trial = 0; trial < numTrials; trial++) {
      const values = Array.from({ length: numTests }, () => random.uniform());
      if (Math.min(...values) < 0.05) plain++;
      if (Math.min(...holm(values)) < 0.05) corrected++;
    }
    // 1 − 0.95^14 = 0.512; 1 − (1 − 0.05 / 14)^14 = 0.0489; four standard errors are 0.032 and 0.014
    expect(Math.abs(plain / numTrials - 0.512)).toBeLessThan(0.032);
    expect(Math.abs(corrected / numTrials - 0.0489)).toBeLessThan(0.014);
  });
});
