import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createRandom } from "../../base/core/index.ts";
import type { CheckpointOutcome } from "./checkpoint-outcome.ts";
import { computeTrajectory } from "./trajectory.ts";

const options = { seed: 5, numDraws: 400 };

/** `numSolved` of `numItems` solved, spread so that both halves hold the same share. */
function solve(numSolved: number, numItems = 200): boolean[] {
  return Array.from({ length: numItems }, (_, index) => Math.floor(index / 2) < numSolved / 2);
}

function sft(step: number, ood: readonly boolean[], parent?: string): CheckpointOutcome {
  return { id: `sft-${step}`, stage: "sft", step, parent, solved: { id: solve(100), ood } };
}

function rl(
  branch: string,
  step: number,
  { parent, ood }: { parent?: string; ood: readonly boolean[] },
): CheckpointOutcome {
  return { id: `${branch}-${step}`, stage: "rl", step, branch, parent, solved: { id: solve(120), ood } };
}

const run: readonly CheckpointOutcome[] = [
  { id: "base", stage: "base", step: 0, solved: { id: solve(20), ood: solve(40) } },
  sft(100, solve(40), "sft-20"),
  sft(5, solve(124), "base"),
  sft(20, solve(80), "sft-5"),
  rl("early", 50, { parent: "sft-20", ood: solve(110) }),
  rl("main", 10, { parent: "sft-100", ood: solve(60) }),
  rl("main", 50, { parent: "main-10", ood: solve(82) }),
  rl("from-peak", 50, { parent: "sft-5", ood: solve(130) }),
];

describe("computeTrajectory()", () => {
  it("measures each half by the choice of the other, and names both", () => {
    // At even positions step 1 is better, at odd ones step 2.
    const odd = Array.from({ length: 40 }, (_, item) => (item % 2 === 1 ? item < 30 : item < 10));
    const even = Array.from({ length: 40 }, (_, item) => (item % 2 === 0 ? item < 30 : item < 20));
    const found = computeTrajectory([sft(1, even), sft(2, odd), sft(3, solve(4, 40))], options);
    expect([found.peak.checkpoint, found.otherPeak?.checkpoint]).toEqual(["sft-1", "sft-2"]);
    // Step 1 on the odd half, 10 of 20, and step 2 on the even half, 5 of 20.
    expect(found.peakAccuracy).toEqual({ correct: 15, total: 40 });
    expect(found.forgetting.estimate).toBeCloseTo((15 - 4) / 40, 12);
    expect(found.plateau.map(({ step }) => step)).toEqual([1, 2]);
  });

  it("never says two things at once: the interval holds 0 just where p is not below 0.05", () => {
    const random = createRandom(21, "agreement");
    for (let trial = 0; trial < 60; trial++) {
      const numItems = random.integer(8, 80);
      const table = (rate: number): boolean[] =>
        Array.from({ length: numItems }, () => random.uniform() < rate);
      const rates = Array.from({ length: random.integer(2, 6) }, () => 0.4 + 0.3 * random.uniform());
      const keys =
        trial % 3 === 0
          ? undefined
          : Array.from({ length: numItems }, (_, item) => String(item >> ((trial % 3) - 1)));
      const checkpoints = rates.map((rate, step) => ({
        ...sft(step, table(rate)),
        solved: { id: [true], ood: table(rate) },
        ...(keys !== undefined && { keys: { id: ["0"], ood: keys } }),
      }));
      const { forgetting, branches } = computeTrajectory(checkpoints, { seed: trial, numDraws: 200 });
      for (const { low, high, pValue, estimate } of [forgetting, ...branches.map(({ gain }) => gain)]) {
        expect(low > 0 || high < 0).toBe(pValue < 0.05);
        expect(high).toBeGreaterThan(low);
        expect(low).toBeLessThanOrEqual(estimate);
        expect(high).toBeGreaterThanOrEqual(estimate);
      }
    }
  });

  it("gives no recovery to a branch that starts before the peak, where nothing was forgotten yet", () => {
    const before = [
      ...run,
      sft(2, solve(20), "base"),
      rl("too-short", 50, { parent: "sft-2", ood: solve(150) }),
      rl("untuned", 50, { parent: "base", ood: solve(150) }),
    ];
    for (const name of ["too-short", "untuned"]) {
      const branch = computeTrajectory(before, options).branches.find((candidate) => candidate.name === name);
      expect(branch?.gain.estimate).toBeGreaterThan(0.5);
      expect(branch?.recovery).toBeUndefined();
      expect(branch?.reason).toContain("nothing was forgotten yet");
    }
  });

  it("finds peak, end, forgetting and recovery of a run worked out by hand", () => {
    const found = computeTrajectory(run, options);
    expect(found.peak).toEqual({
      checkpoint: "sft-5",
      stage: "sft",
      step: 5,
      id: { correct: 100, total: 200 },
      ood: { correct: 124, total: 200 },
    });
    expect(found).toMatchObject({ otherPeak: undefined, peakAccuracy: { correct: 124, total: 200 } });
    expect(found.plateau.map(({ step }) => step)).toEqual([5]);
    expect([found.sftEnd.step, found.rlEnd?.checkpoint, found.mainBranch]).toEqual([100, "main-50", "main"]);
    expect(found.forgetting).toMatchObject({ estimate: 0.42, numItems: 200, onlyFirst: 84, onlySecond: 0 });
    // No draw of signs comes near; of 400, the smallest p-value is 2 · ½ / 401.
    expect(found.forgetting.pValue).toBeCloseTo(1 / 401, 12);
    expect(found.forgetting.low).toBeLessThan(0.42);
    expect(found.forgetting.high).toBeGreaterThan(0.42);
    expect(found.recovery?.estimate).toBeCloseTo(0.5, 12); // (82 − 40) / (124 − 40)
    expect(found.recovery!.low).toBeLessThan(0.5);
    expect(found.recovery!.high).toBeGreaterThan(0.5);
    expect(found).not.toHaveProperty("recoveryUndefinedBecause");
  });

  it("measures every branch from its own start", () => {
    const [early, main, fromPeak] = computeTrajectory(run, options).branches;
    expect(early).toMatchObject({
      name: "early",
      start: { step: 20 },
      gain: { onlyFirst: 30, numItems: 200 },
    });
    expect(early?.recovery?.estimate).toBeCloseTo(15 / 22, 12);
    expect([early?.recovery?.gained, early?.recovery?.lost]).toEqual([0.15, 0.22]);
    expect(main).toMatchObject({ gain: { estimate: 0.21 }, idGain: { estimate: 0.1 } });
    expect(main?.versusPeak.estimate).toBeCloseTo(-0.21, 12);
    expect(fromPeak).toMatchObject({ recovery: undefined, reason: "the start is the peak itself" });
  });

  it("chooses the latest SFT start as main branch when none starts at the end, and says when there is none", () => {
    const withoutMain = run.filter(({ branch }) => branch !== "main");
    expect(computeTrajectory(withoutMain, options).mainBranch).toBe("early");
    const withoutRl = computeTrajectory(run.slice(0, 4), options);
    expect(withoutRl).toMatchObject({ rlEnd: undefined, recovery: undefined, branches: [] });
    expect(withoutRl.recoveryUndefinedBecause).toBe("no RL branch starts from SFT");
  });

  it("gives no recovery where the start is not clearly below the peak", () => {
    const ends = [sft(1, solve(100)), sft(2, solve(98)), rl("r", 9, { parent: "sft-2", ood: solve(120) })];
    const found = computeTrajectory(ends, options);
    expect(found.recovery).toBeUndefined();
    expect(found.recoveryUndefinedBecause).toMatch(
      /^the start is not clearly below the peak \(1.0 points, p = 0.\d+\)$/,
    );
  });

  it("counts the base as a candidate only where SFT names it as its parent", () => {
    const base = { ...run[0]!, solved: { id: solve(20), ood: solve(150) } };
    const [first, last] = [sft(1, solve(100), "base"), sft(2, solve(50), "sft-1")];
    expect(computeTrajectory([base, first, last], options).peak.checkpoint).toBe("base");
    expect(computeTrajectory([base, sft(1, solve(100)), last], options).peak.checkpoint).toBe("sft-1");
  });

  it("gives ties to the earliest step", () => {
    const found = computeTrajectory([sft(9, solve(10)), sft(3, solve(60)), sft(2, solve(60))], options);
    expect(found.peak.step).toBe(2);
  });

  it("finds no forgetting between identical checkpoints", () => {
    const tables = fc.array(fc.boolean(), { minLength: 2, maxLength: 40 });
    fc.assert(
      fc.property(tables, (ood) => {
        const found = computeTrajectory([sft(1, ood), sft(2, ood)], { seed: 1, numDraws: 20 });
        expect(found.forgetting).toMatchObject({ estimate: 0, pValue: 1 });
        // No item differs, and still some might.
        expect(found.forgetting.low).toBeLessThan(0);
        expect(found.forgetting.high).toBeGreaterThan(0);
      }),
    );
  });

  const randomTables = fc
    .record({ numItems: fc.integer({ min: 2, max: 30 }), numCheckpoints: fc.integer({ min: 1, max: 6 }) })
    .chain(({ numItems, numCheckpoints }) => {
      const table = fc.array(fc.boolean(), { minLength: numItems, maxLength: numItems });
      return fc.array(table, { minLength: numCheckpoints, maxLength: numCheckpoints });
    });

  it("keeps forgetting within [−1, 1] and inside its interval's range", () => {
    fc.assert(
      fc.property(randomTables, (tables) => {
        const { forgetting } = computeTrajectory(
          tables.map((ood, step) => sft(step, ood)),
          { seed: 1, numDraws: 20 },
        );
        for (const value of [forgetting.estimate, forgetting.low, forgetting.high]) {
          expect(Math.abs(value)).toBeLessThanOrEqual(1);
        }
        expect(forgetting.low).toBeLessThanOrEqual(forgetting.high);
      }),
    );
  });

  it("does not depend on the order of checkpoints, nor of items within a half", () => {
    fc.assert(
      fc.property(randomTables, fc.nat(), (tables, seed) => {
        const settings = { seed: 1, numDraws: 20 };
        const plain = computeTrajectory(
          tables.map((ood, step) => sft(step, ood)),
          settings,
        );
        const positions = tables[0]!.map((_, item) => item);
        const random = createRandom(seed, "order");
        const even = random.shuffle(positions.filter((item) => item % 2 === 0));
        const odd = random.shuffle(positions.filter((item) => item % 2 === 1));
        const order = positions.map((item) => (item % 2 === 0 ? even : odd)[Math.floor(item / 2)]!);
        const moved = tables.map((ood, step) =>
          sft(
            step,
            order.map((item) => ood[item]!),
          ),
        );
        const again = computeTrajectory(random.shuffle(moved), settings);
        expect([again.peak, again.sftEnd]).toEqual([plain.peak, plain.sftEnd]);
        // The p-value is by random signs, which fall otherwise.
        expect(again.forgetting.estimate).toBe(plain.forgetting.estimate);
      }),
    );
  });

  it("forgets nothing on average when all checkpoints are equally good, where the plain maximum would", () => {
    const [numTrials, numCheckpoints, numItems] = [400, 20, 200];
    const random = createRandom(11, "winner's curse");
    let [naive, fitted] = [0, 0];
    for (let trial = 0; trial < numTrials; trial++) {
      const checkpoints = Array.from({ length: numCheckpoints }, (_, step) =>
        sft(
          step,
          Array.from({ length: numItems }, () => random.uniform() < 0.5),
        ),
      );
      const accuracies = checkpoints.map(({ solved }) => solved.ood.filter(Boolean).length / numItems);
      naive += (Math.max(...accuracies) - accuracies.at(-1)!) / numTrials;
      fitted += computeTrajectory(checkpoints, { seed: trial, numDraws: 10 }).forgetting.estimate / numTrials;
    }
    // one half's difference has variance at most 2 × 0.25 / 100, and both together no more, so the mean of 400 has a standard
    // error of 0.0035; the best of 20 accuracies lies 1.87 standard deviations of 0.035 above their mean
    expect(Math.abs(fitted)).toBeLessThan(4 * 0.0035);
    expect(naive).toBeGreaterThan(0.05);
  });

  it("covers the true forgetting in about 95 of 100 runs", () => {
    const random = createRandom(12, "forgetting coverage");
    let numCovered = 0;
    for (let trial = 0; trial < 300; trial++) {
      const draw = (rate: number): boolean[] => Array.from({ length: 200 }, () => random.uniform() < rate);
      const checkpoints = [sft(1, draw(0.7)), sft(2, draw(0.4))]; // so far apart that the peak is never mistaken
      const { low, high } = computeTrajectory(checkpoints, { seed: trial, numDraws: 400 }).forgetting;
      if (low <= 0.3 + 1e-12 && high >= 0.3 - 1e-12) numCovered++;
    }
    // 4 standard errors of a rate near 0.95 in 300 trials are 0.05
    expect(numCovered / 300).toBeGreaterThan(0.95 - 0.05);
  });

  it("refuses checkpoints that cannot be compared, told apart or placed", () => {
    const compute =
      (...checkpoints: readonly CheckpointOutcome[]) =>
      () =>
        computeTrajectory(checkpoints, options);
    const ood = solve(10);
    expect(compute()).toThrow(/no checkpoint is of stage "sft"/);
    expect(compute(run[0]!)).toThrow(RangeError);
    expect(compute(sft(1, ood), sft(2, ood.slice(1)))).toThrow(TypeError);
    expect(compute(sft(1, ood), sft(2, ood.slice(1)))).toThrow(/OOD items: "sft-1" has 200, "sft-2" has 199/);
    expect(compute(sft(1, [true]))).toThrow(RangeError);
    expect(compute(sft(1, ood), { ...sft(2, ood), id: "sft-1" })).toThrow(/two are named "sft-1"/);
    expect(compute(sft(1, ood), { ...sft(1, ood), id: "other" })).toThrow(
      /SFT has two checkpoints at step 1/,
    );
    expect(compute(sft(0.5, ood))).toThrow(/step is a count/);
    expect(compute(sft(1, ood), rl("r", 1, { ood }))).toThrow(/none of its checkpoints names the parent/);
    expect(compute(sft(1, ood), rl("r", 1, { ood, parent: "sft-7" }))).toThrow(/"sft-7" is not among/);
    const forked = [rl("r", 1, { ood, parent: "sft-1" }), rl("r", 2, { ood, parent: "sft-2" })];
    expect(compute(sft(1, ood), sft(2, ood), ...forked)).toThrow(/give each branch its own name/);
  });
});
