import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createRandom, type Random } from "../../base/core/index.ts";
import { mcnemarMidP } from "../../base/statistics/index.ts";
import type { CheckpointOutcome } from "./checkpoint-outcome.ts";
import { computeContrast, type SolvedPair } from "./contrast.ts";
import { watchDecline } from "./decline.ts";
import { describeTrajectory } from "./describe-trajectory.ts";
import { fewestDiscordant, measureSensitivity } from "./sensitivity.ts";
import { computeTrajectory, type TrajectoryOptions } from "./trajectory.ts";

const solve = (numSolved: number, numItems: number): boolean[] =>
  Array.from({ length: numItems }, (_, index) => index < numSolved);

/** The half at odd positions gets `numSolved`, the other half as many. */
const both = (numSolved: number, numItems: number): boolean[] =>
  Array.from({ length: 2 * numItems }, (_, index) => Math.floor(index / 2) < numSolved);

const checkpoint = (id: string, step: number, ood: readonly boolean[]): CheckpointOutcome => ({
  id,
  stage: step === 0 ? "base" : "sft",
  step,
  ...(step > 0 && { parent: "base" }),
  solved: { id: solve(10, 20), ood },
});

const describeRun = (
  counts: readonly number[],
  numItems: number,
  options: Partial<TrajectoryOptions> = {},
): readonly string[] => {
  const checkpoints = counts.map((count, index) =>
    checkpoint(index === 0 ? "base" : `sft-${index}`, index, both(count, numItems)),
  );
  return describeTrajectory(computeTrajectory(checkpoints, { seed: 1, numDraws: 400, ...options }));
};

describe("fewestDiscordant", () => {
  it("is the first count that the mid-p test calls significant", () => {
    expect(fewestDiscordant).toBe(5);
    expect(mcnemarMidP({ onlyFirst: 5, onlySecond: 0 })).toBeLessThan(0.05);
    expect(mcnemarMidP({ onlyFirst: 4, onlySecond: 0 })).toBeGreaterThan(0.05);
  });
});

/** Nothing is solved by guessing, and there is one comparison. */
const byNothing = { chance: 0, level: 0.05 };

describe("measureSensitivity()", () => {
  it("cannot judge a loss from nothing, whatever the second checkpoint does", () => {
    fc.assert(
      fc.property(fc.integer({ min: 6, max: 200 }), fc.nat(4), fc.nat(200), (numItems, first, second) => {
        const pair = { first: solve(first, numItems), second: solve(Math.min(second, numItems), numItems) };
        expect(measureSensitivity(pair, byNothing).unjudgedBecause).toContain("a loss shows from 5 on");
        expect(measureSensitivity(pair, byNothing).detectableLoss).toBeUndefined();
      }),
    );
  });

  it("cannot judge fewer items than any loss needs", () => {
    const pair = { first: solve(4, 4), second: solve(0, 4) };
    expect(measureSensitivity(pair, byNothing).unjudgedBecause).toMatch(/^4 items are too few/);
  });

  it("takes what guessing solves for nothing", () => {
    const pair = { first: solve(30, 100), second: solve(25, 100) };
    expect(measureSensitivity(pair, { ...byNothing, chance: 0.25 }).unjudgedBecause).toContain(
      "guessing may as well (25.0 %)",
    );
    expect(measureSensitivity(pair, byNothing).unjudgedBecause).toBeUndefined();
    const able = { first: solve(60, 100), second: solve(58, 100) };
    expect(measureSensitivity(able, { ...byNothing, chance: 0.25 }).unjudgedBecause).toBeUndefined();
  });

  it("states a loss of grouped items that is noticed about as often as it says", () => {
    /** Differences of 40 groups of 5: of some groups, all members are lost together; others change by chance. */
    const draw = (random: Random, loss: number): SolvedPair => {
      const items = Array.from({ length: 40 }, (_, group) => {
        const isLost = random.uniform() < loss;
        return Array.from({ length: 5 }, () => {
          const [first, second] = [random.uniform() < 0.95, random.uniform() < 0.95];
          return { key: `group ${group}`, first: isLost || first, second: !isLost && second };
        });
      }).flat();
      return {
        first: items.map(({ first }) => first),
        second: items.map(({ second }) => second),
        keys: items.map(({ key }) => key),
      };
    };
    const loss = 0.25;
    const pairs = Array.from({ length: 300 }, (_, trial) => draw(createRandom(trial, "groups"), loss));
    const stated = pairs.map((pair) => measureSensitivity(pair, byNothing).detectableLoss ?? 1);
    const plain = measureSensitivity({ ...pairs[0]!, keys: undefined }, byNothing).detectableLoss ?? 1;
    const mean = stated.reduce((sum, one) => sum + one, 0) / stated.length;
    // Members that are lost together count for less than as many items that stand alone.
    expect(mean).toBeGreaterThan(1.5 * plain);
    const later = Array.from({ length: 300 }, (_, trial) => draw(createRandom(trial, "later"), mean));
    const power = later.filter((pair) => computeContrast(pair).pValue < 0.05).length / later.length;
    expect(power).toBeGreaterThan(0.7);
    expect(power).toBeLessThan(0.97);
  });

  it("cannot judge where answers change so much that no loss would show", () => {
    const random = createRandom(3, "churn");
    const flip = (): boolean[] => Array.from({ length: 30 }, () => random.uniform() < 0.3);
    const { unjudgedBecause } = measureSensitivity({ first: flip(), second: flip() }, byNothing);
    expect(unjudgedBecause).toContain("not even losing everything would show");
  });

  it("states a loss that the test notices where nothing else changes", () => {
    const { detectableLoss = 0 } = measureSensitivity(
      { first: solve(90, 100), second: solve(90, 100) },
      byNothing,
    );
    expect(detectableLoss).toBeGreaterThan(0.05);
    expect(detectableLoss).toBeLessThan(0.1);
  });
});

describe("a trajectory at the floor", () => {
  it.for([
    ["a base that solves nothing", [0, 0, 0]],
    ["a model that noise wrecked", [1, 0, 1]],
    ["a peak at the very end", [0, 0, 3]],
  ] as const)("is not judged: %s", ([, counts]) => {
    const [first] = describeRun(counts, 20);
    expect(first).toMatch(/^Whether OOD accuracy was forgotten cannot be judged/);
    expect(describeRun(counts, 20).join(" ")).not.toMatch(
      /no significant forgetting|no forgetting to report/,
    );
  });

  it("is judged by what SFT taught, though the base solved nothing", () => {
    expect(describeRun([0, 18, 4], 20)[0]).toMatch(/70.0 points forgotten/);
  });

  it("is not judged where guessing does as well", () => {
    expect(describeRun([26, 24, 25], 100, { oodChance: 0.25 })[0]).toContain("cannot be judged");
    expect(describeRun([26, 24, 25], 100)[0]).toContain("no significant forgetting");
  });

  it("says which loss would have been noticed", () => {
    expect(describeRun([80, 85, 84], 100)[1]).toMatch(/A loss of \d+\.\d points is noticed in 80 % of cases/);
    expect(describeRun([0, 0, 0], 100)[1]).not.toContain("is noticed");
  });
});

describe("watchDecline() at the floor", () => {
  const watch = (counts: readonly number[]): readonly boolean[] =>
    watchDecline(
      counts.map((count, index) => checkpoint(`sft-${index + 1}`, index + 1, both(count, 50))),
      { falseAlarmRate: 0.05 },
    ).looks.map(({ isBlind }) => isBlind);

  it("is blind until enough is solved for an alert to be possible", () => {
    expect(watch([0, 0, 3])).toEqual([true, true]);
    expect(watch([50, 40, 30])).toEqual([false, false]);
  });

  it("is not blind where the loss of everything raises an alert, and blind where it raises none", () => {
    for (const solved of [3, 4, 5, 6, 7, 20]) {
      const looks = watchDecline(
        [solved, 0].map((count, index) => checkpoint(`sft-${index + 1}`, index + 1, both(count, 50))),
        { falseAlarmRate: 0.05 },
      ).looks;
      expect(looks.map(({ isBlind }) => isBlind)).toEqual(looks.map(({ isDecline }) => !isDecline));
    }
  });
});
