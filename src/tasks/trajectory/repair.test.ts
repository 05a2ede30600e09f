import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createRandom } from "../../base/core/index.ts";
import type { CheckpointOutcome } from "./checkpoint-outcome.ts";
import { halfAnswers } from "./checkpoint-outcome.ts";
import { computeShare } from "./recovery.ts";
import { measureRepairs, type RepairEnds, type RepairOutcome } from "./repair.ts";

const options = { seed: 5, numDraws: 200 };

/** Items at even positions and at odd ones, each a digit: 1 is solved. */
function items(evens: string, odds: string): boolean[] {
  return [...evens].flatMap((even, index) => [even === "1", odds[index] === "1"]);
}

type Solved = CheckpointOutcome["solved"];

const checkpoint = (id: string, step: number, solved: Solved): CheckpointOutcome => ({
  id,
  stage: "sft",
  step,
  solved,
});

const edit = (name: string, solved: Solved): RepairOutcome => ({ name, isCandidate: true, solved });
const control = (name: string, solved: Solved): RepairOutcome => ({ name, isCandidate: false, solved });

// Held out, the source solves 8 of 8 and the target 1 of 8: 7 tasks differ, mid-p = 2^−7.
const ends: RepairEnds = {
  source: checkpoint("peak", 5, { id: items("11", "11"), ood: items("11111111", "11111111") }),
  target: checkpoint("end", 100, { id: items("10", "10"), ood: items("00000001", "00000001") }),
};

const some = edit("some", { id: items("11", "10"), ood: items("11100001", "11100001") });
const worse = edit("worse", { id: items("00", "01"), ood: items("11111110", "00000000") });
const whole = control("whole", { id: items("11", "11"), ood: items("11111111", "11111111") });

const numItems = 12;
const table = fc.array(fc.boolean(), { minLength: numItems, maxLength: numItems });
const solvedTables = fc.record({ id: table, ood: table });
const randomGrids = fc.record({
  source: solvedTables,
  target: solvedTables,
  repairs: fc.array(fc.record({ isCandidate: fc.boolean(), solved: solvedTables }), { maxLength: 6 }),
});

function measureRandom({
  source,
  target,
  repairs,
}: {
  readonly source: Solved;
  readonly target: Solved;
  readonly repairs: readonly Omit<RepairOutcome, "name">[];
}): ReturnType<typeof measureRepairs> {
  return measureRepairs(
    repairs.map((repair, index) => ({ ...repair, name: `repair-${index}` })),
    { source: checkpoint("peak", 5, source), target: checkpoint("end", 100, target) },
    { seed: 1, numDraws: 10 },
  );
}

describe("measureRepairs()", () => {
  it("counts and compares repairs as worked out by hand", () => {
    const { repairs } = measureRepairs([some, worse, whole], ends, options);
    expect(repairs.map(({ name, id, ood }) => [name, id.correct, id.total, ood.correct, ood.total])).toEqual([
      ["some", 3, 4, 8, 16],
      ["worse", 1, 4, 7, 16],
      ["whole", 4, 4, 16, 16],
    ]);
    // OOD on the odd positions alone: 4 − 1, 0 − 1 and 8 − 1 of 8 tasks
    expect(repairs.map(({ gain }) => gain)).toMatchObject([
      { estimate: 3 / 8, onlyFirst: 3, onlySecond: 0, numItems: 8 },
      { estimate: -1 / 8, onlyFirst: 0, onlySecond: 1, numItems: 8 },
      { estimate: 7 / 8, onlyFirst: 7, onlySecond: 0, numItems: 8 },
    ]);
    // ID on the odd positions: the target solves the first of 2
    expect(repairs.map(({ idGain }) => idGain)).toMatchObject([
      { estimate: 0, onlyFirst: 0, onlySecond: 0, numItems: 2 },
      { estimate: 0, onlyFirst: 1, onlySecond: 1, numItems: 2 },
      { estimate: 1 / 2, onlyFirst: 1, onlySecond: 0, numItems: 2 },
    ]);
    expect(repairs.map(({ recovered }) => recovered?.estimate)).toEqual([3 / 7, -1 / 7, 1]);
    // Alone 2^−3, and no less beside another repair; a control stands for itself: 2^−7.
    const [first, second, third] = repairs.map(({ gain }) => gain.pValue);
    expect(first).toBeGreaterThanOrEqual(1 / 8);
    expect(second).toBeGreaterThan(first!);
    expect(third).toBeCloseTo(1 / 128, 12);
  });

  it("says of the best what the halves that did not choose it say", () => {
    const { best } = measureRepairs([some, worse, whole], ends, options);
    // at even positions "worse" solves 0 + 7, "some" 2 + 4
    expect(best).toMatchObject({
      name: "worse",
      selected: { correct: 7, total: 10 },
      gain: { estimate: -1 / 8, numItems: 8 },
      idGain: { estimate: 0, onlyFirst: 1, onlySecond: 1, numItems: 2 },
      recovered: { estimate: -1 / 7, numItems: 8 },
    });
  });

  it("chooses by ID and OOD together", () => {
    const ood = edit("ood", { id: items("00", "11"), ood: items("11111000", "11111111") });
    const both = edit("both", { id: items("11", "00"), ood: items("11110000", "00000000") });
    expect(measureRepairs([ood, both], ends, options).best?.name).toBe("both");
  });

  it("chooses no control, and nothing where there are only controls", () => {
    expect(measureRepairs([whole, some], ends, options).best?.name).toBe("some");
    expect(measureRepairs([whole], ends, options).best).toBeUndefined();
    expect(measureRepairs([], ends, options)).toEqual({ repairs: [], best: undefined });
  });

  it("gives ties to the first", () => {
    const [first, second] = [edit("first", some.solved), edit("second", some.solved)];
    expect(measureRepairs([first, second], ends, options).best?.name).toBe("first");
    expect(measureRepairs([second, first], ends, options).best?.name).toBe("second");
  });

  it("measures the recovered share as that of a branch, and says why there is none", () => {
    const { source, target } = ends;
    for (const [outcome, end] of [some, whole].map(
      ({ name, solved }) => [edit(name, solved), { ...target, id: name, solved }] as const,
    )) {
      const [measure] = measureRepairs([outcome], ends, options).repairs;
      const [peak, start, after] = [source, target, end].map((one) => halfAnswers(one, "ood", "held-out"));
      const path = { peak: peak!, start: start!, end: after! };
      expect(measure?.recovered).toEqual(
        computeShare(path, { peak: "the source", start: "the target" }).recovery,
      );
      expect(measure).not.toHaveProperty("reason");
    }
    // 4 tasks lost: mid-p = 2^−4
    const close = { ...target, solved: { id: target.solved.id, ood: items("00000001", "00001111") } };
    const { repairs, best } = measureRepairs([some], { source, target: close }, options);
    expect(repairs[0]).toMatchObject({ recovered: undefined, gain: { estimate: 0 } });
    expect(repairs[0]?.reason).toContain(
      "the target is not clearly below the source (50.0 points, p = 0.063)",
    );
    expect(best?.recovered).toBeUndefined();
  });

  it("recovers nothing that was gained: a target clearly above the source has no loss", () => {
    const swapped = { source: { ...ends.target, step: 5 }, target: { ...ends.source, step: 100 } };
    const [measure] = measureRepairs([some], swapped, options).repairs;
    expect(measure?.recovered).toBeUndefined();
    expect(measure?.reason).toContain("−87.5 points");
  });

  it("takes candidates for one family, which controls are not part of", () => {
    fc.assert(
      fc.property(randomGrids, (grid) => {
        const { repairs } = measureRandom(grid);
        const alone = measureRandom({
          ...grid,
          repairs: grid.repairs.filter(({ isCandidate }) => isCandidate),
        });
        const candidates = repairs.filter((_, index) => grid.repairs[index]?.isCandidate);
        expect(candidates.map(({ gain }) => gain)).toEqual(alone.repairs.map(({ gain }) => gain));
        for (const { gain } of repairs) expect(gain.low > 0 || gain.high < 0).toBe(gain.pValue < 0.05);
      }),
    );
  });

  it("chooses the first candidate that solves most at even positions, whatever lies at odd ones", () => {
    fc.assert(
      fc.property(randomGrids, fc.nat(), (grid, seed) => {
        const counts = grid.repairs.map(({ isCandidate, solved: { id, ood } }) =>
          isCandidate ? countEven(id) + countEven(ood) : -1,
        );
        const most = Math.max(-1, ...counts);
        const { best } = measureRandom(grid);
        expect(best?.name).toBe(most === -1 ? undefined : `repair-${counts.indexOf(most)}`);
        expect(best?.selected).toEqual(most === -1 ? undefined : { correct: most, total: numItems });
        const random = createRandom(seed, "odd");
        const redraw = (list: readonly (boolean | number)[]): boolean[] =>
          list.map((isSolved, item) => (item % 2 === 0 ? Boolean(isSolved) : random.uniform() < 0.5));
        const change = ({ id, ood }: Solved): Solved => ({ id: redraw(id), ood: redraw(ood) });
        const again = measureRandom({
          source: change(grid.source),
          target: change(grid.target),
          repairs: grid.repairs.map((repair) => ({ ...repair, solved: change(repair.solved) })),
        });
        expect([again.best?.name, again.best?.selected]).toEqual([best?.name, best?.selected]);
      }),
    );
  });

  it("gains nothing on average by the best of many equally useless repairs, where the plain maximum would", () => {
    const [numTrials, numRepairs, numTasks] = [400, 20, 200];
    const random = createRandom(11, "winner's curse of repairs");
    const flip = (): boolean[] => Array.from({ length: numTasks }, () => random.uniform() < 0.5);
    const draw = (): Solved => ({ id: flip(), ood: flip() });
    let [naive, heldOut, heldOutId] = [0, 0, 0];
    for (let trial = 0; trial < numTrials; trial++) {
      const [source, target] = [checkpoint("peak", 1, draw()), checkpoint("end", 2, draw())];
      const repairs = Array.from({ length: numRepairs }, (_, index) => edit(`repair-${index}`, draw()));
      const { best } = measureRepairs(repairs, { source, target }, { seed: trial, numDraws: 1 });
      const accuracy = ({ solved }: Pick<RepairOutcome, "solved">): number =>
        solved.ood.filter(Boolean).length / numTasks;
      naive += (Math.max(...repairs.map(accuracy)) - accuracy(target)) / numTrials;
      heldOut += best!.gain.estimate / numTrials;
      heldOutId += best!.idGain.estimate / numTrials;
    }
    // one trial's held-out difference has variance 2 × 0.25 / 100, so the mean of 400 has a standard error of 0.0035;
    // the best of 20 accuracies lies 1.87 standard deviations of 0.035 above their mean
    expect(Math.abs(heldOut)).toBeLessThan(4 * 0.0035);
    expect(Math.abs(heldOutId)).toBeLessThan(4 * 0.0035);
    expect(naive).toBeGreaterThan(0.05);
  });
});

function countEven(solved: readonly boolean[]): number {
  return solved.filter((isSolved, item) => isSolved && item % 2 === 0).length;
}
