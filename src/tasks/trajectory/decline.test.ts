import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createRandom, type Random } from "../../base/core/index.ts";
import type { CheckpointOutcome } from "./checkpoint-outcome.ts";
import { chooseKept, spendAlarmRate, watchDecline } from "./decline.ts";

const numItems = 200;
const rate = 0.05;

/**
 * A training as its true accuracies: every item has its own difficulty, and each checkpoint solves the items that are easier
 * than its accuracy, but for some that flip: so checkpoints agree on most items, as real ones do.
 */
function simulate(random: Random, accuracies: readonly number[]): readonly CheckpointOutcome[] {
  const difficulties = Array.from({ length: numItems }, () => random.uniform());
  const flips = 0.1;
  const solve = (accuracy: number): readonly boolean[] =>
    difficulties.map((difficulty) =>
      random.uniform() < flips ? random.uniform() < accuracy : difficulty < accuracy,
    );
  return accuracies.map((accuracy, index) => ({
    id: `sft-${index + 1}`,
    stage: "sft",
    step: index + 1,
    solved: { id: [true], ood: solve(accuracy) },
  }));
}

const numTrajectories = 200;
const simulateMany = (
  path: string,
  draw: (random: Random) => readonly number[],
): readonly (readonly [readonly number[], readonly CheckpointOutcome[]])[] =>
  Array.from({ length: numTrajectories }, (_, index) => {
    const random = createRandom(index, path);
    const accuracies = draw(random);
    return [accuracies, simulate(random, accuracies)];
  });

/** Rises to a peak within the first ten checkpoints and falls from there by 20 to 60 points within eight. */
function drawDecline(random: Random): readonly number[] {
  const peakAt = random.integer(2, 9);
  const [start, peak] = [0.1 + 0.2 * random.uniform(), 0.6 + 0.35 * random.uniform()];
  const end = peak - 0.2 - 0.4 * random.uniform();
  return Array.from({ length: 20 }, (_, index) =>
    index <= peakAt
      ? start + ((peak - start) * index) / peakAt
      : Math.max(end, peak - ((peak - end) * (index - peakAt)) / 8),
  );
}

/** Rises and stays, or is flat from the start. */
function drawRise(random: Random): readonly number[] {
  const [start, end] = [random.uniform(), 1].map((value) => 0.2 + 0.6 * value);
  const numSteps = random.integer(1, 15);
  return Array.from({ length: 30 }, (_, index) => start! + (end! - start!) * Math.min(1, index / numSteps));
}

describe(`watchDecline() over ${numTrajectories} simulated trainings of ${numItems} OOD items`, () => {
  it("raises no alert in at least 95 % of those that never decline", () => {
    const alerts = simulateMany("rise", drawRise).filter(
      ([, one]) => watchDecline(one, { falseAlarmRate: rate }).alert !== undefined,
    );
    expect(alerts.length).toBeLessThanOrEqual(rate * numTrajectories);
  });

  it("raises none either where all checkpoints are equally good, the hardest case", () => {
    const flat = simulateMany("flat", (random) =>
      Array.from(
        { length: 30 },
        (
          (accuracy) => () =>
            accuracy
        )(0.3 + 0.4 * random.uniform()),
      ),
    );
    const alerts = flat.filter(([, one]) => watchDecline(one, { falseAlarmRate: rate }).alert !== undefined);
    expect(alerts.length).toBeLessThanOrEqual(rate * numTrajectories);
  });

  it("raises it within two checkpoints of a decline of 20 points, never before the peak is passed", () => {
    const declines = simulateMany("decline", drawDecline);
    let [numInTime, numDeep, numEarly] = [0, 0, 0];
    for (const [accuracies, outcomes] of declines) {
      const peak = Math.max(...accuracies);
      const peakAt = accuracies.indexOf(peak);
      const fallen = accuracies.findIndex((accuracy, index) => index > peakAt && accuracy <= peak - 0.2);
      const { alert } = watchDecline(outcomes, { falseAlarmRate: rate });
      if (alert !== undefined && alert.point.step - 1 <= peakAt) numEarly += 1;
      if (fallen < 0) continue;
      numDeep += 1;
      if (alert !== undefined && alert.point.step - 1 <= fallen + 2) numInTime += 1;
    }
    expect(numDeep).toBeGreaterThan(100);
    expect(numInTime / numDeep).toBeGreaterThanOrEqual(0.95);
    expect(numEarly / numTrajectories).toBeLessThanOrEqual(rate);
  });

  it("names a checkpoint to keep that is hardly worse than the best", () => {
    for (const [accuracies, outcomes] of simulateMany("decline", drawDecline)) {
      const { alert } = watchDecline(outcomes, { falseAlarmRate: rate });
      if (alert !== undefined)
        expect(Math.max(...accuracies) - accuracies[alert.peak.step - 1]!).toBeLessThan(0.25);
    }
  });
});

describe("watchDecline()", () => {
  const outcome = (step: number, solved: readonly boolean[]): CheckpointOutcome => ({
    id: `sft-${step}`,
    stage: "sft",
    step,
    solved: { id: [true], ood: solved },
  });
  const first = (count: number): readonly boolean[] =>
    Array.from({ length: 40 }, (_, index) => index < count);

  it("tests on the odd-numbered items only, against the best by the even-numbered ones", () => {
    const { looks, peak } = watchDecline(
      [outcome(1, first(10)), outcome(2, first(30)), outcome(3, first(6))],
      { falseAlarmRate: 0.05 },
    );
    expect(looks).toHaveLength(2);
    // Of items 6 to 29 the odd-numbered twelve: 2 ** -12, against 0.05 · (2/3 / 16 + 1/3 · 6 / π²): it is the first look that is tested.
    expect(looks[1]).toMatchObject({
      onlyPeak: 12,
      onlyNewest: 0,
      isDecline: true,
      peak: { checkpoint: "sft-2" },
    });
    expect(looks[1]?.pValue).toBeCloseTo(2 ** -12, 12);
    expect(looks[1]?.threshold).toBeCloseTo(0.05 * (2 / 48 + 2 / Math.PI ** 2), 12);
    expect(looks[0]).toMatchObject({ pValue: 1, threshold: 0, isDecline: false });
    expect(peak).toMatchObject({ checkpoint: "sft-2", oodHeldOut: { correct: 15, total: 20 } });
  });

  it("says the same of a training however many checkpoints came since", () => {
    const random = createRandom(4, "prefix");
    const outcomes = simulate(random, [0.3, 0.6, 0.8, 0.7, 0.4, 0.3, 0.3]);
    const whole = watchDecline(outcomes, { falseAlarmRate: 0.1 });
    for (let count = 1; count <= outcomes.length; count++)
      expect(watchDecline(outcomes.slice(0, count), { falseAlarmRate: 0.1 }).looks).toEqual(
        whole.looks.slice(0, count - 1),
      );
  });

  it("has nothing to say of one checkpoint, or none", () => {
    expect(watchDecline([], { falseAlarmRate: 0.05 })).toEqual({ looks: [], peakCandidates: [] });
    expect(watchDecline([outcome(1, first(9))], { falseAlarmRate: 0.05 })).toMatchObject({
      looks: [],
      peak: { step: 1 },
    });
    expect(() => watchDecline([], { falseAlarmRate: 0 })).toThrow(RangeError);
  });

  it("counts as candidates for the peak what the held-out items cannot tell from it", () => {
    const { peakCandidates } = watchDecline(
      [outcome(1, first(4)), outcome(2, first(30)), outcome(3, first(28))],
      { falseAlarmRate: 0.05 },
    );
    expect(peakCandidates.map(({ step }) => step)).toEqual([2, 3]);
  });
});

describe("spendAlarmRate()", () => {
  it("spends no more than everything over any number of looks", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5000 }), (numLooks) => {
        let spent = 0;
        for (let look = 1; look <= numLooks; look++) spent += spendAlarmRate(look);
        expect(spent).toBeLessThan(1);
      }),
      { numRuns: 20 },
    );
  });
});

describe("chooseKept()", () => {
  const of = (
    id: string,
    correct: number,
  ): { readonly id: string; readonly ood: { readonly correct: number; readonly total: number } } => ({
    id,
    ood: { correct, total: 10 },
  });
  it("keeps the best, the earlier of two as good, and always the newest", () => {
    const all = [of("a", 3), of("b", 9), of("c", 9), of("d", 1)];
    expect([...chooseKept(all, 1)]).toEqual(["b", "d"]);
    expect([...chooseKept(all, 3)]).toEqual(["b", "c", "a", "d"]);
    expect([...chooseKept([], 2)]).toEqual([]);
  });
});
