import { describe, expect, it } from "vitest";
import { type DatedCheckpoint, findDifference, type History, splitLeftOvers } from "./continuity.ts";

const day = 86_400_000;
const now = 100 * day;

/** A log of every tenth step up to one, its losses beginning at `loss`. */
function log(step: number, loss: number): History {
  return new Map(
    Array.from({ length: Math.floor(step / 10) }, (_, index) => [(index + 1) * 10, { loss: loss - index }]),
  );
}

const at = (step: number, timeMs: number, history: History = new Map()): DatedCheckpoint => ({
  name: `checkpoint-${step}`,
  step,
  timeMs,
  history,
});

const stepsOf = (items: readonly DatedCheckpoint[]): readonly number[] =>
  splitLeftOvers(items).kept.map(({ step }) => step);

describe("splitLeftOvers()", () => {
  it("keeps one training, in whatever order its folders were copied", () => {
    const steps = [100, 1000, 200, 300];
    expect(stepsOf(steps.map((step, index) => at(step, now + index * day, log(step, 4))))).toEqual([
      100, 200, 300, 1000,
    ]);
  });

  it("leaves out a larger step whose log is another one, by the newest", () => {
    const items = [
      at(100, now + 1, log(100, 2)),
      at(200, now + 2 * 60_000, log(200, 2)),
      at(1000, now - 30 * day, log(1000, 4)),
      at(2000, now - 29 * day, log(2000, 4)),
      at(3000, now - 28 * day, log(3000, 4)),
    ];
    const { kept, leftOver } = splitLeftOvers(items);
    expect(kept.map(({ step }) => step)).toEqual([100, 200]);
    expect(leftOver[0]).toMatchObject({
      item: { step: 1000 },
      reason: expect.stringContaining("older and disagrees with checkpoint-200, as its log says loss 4"),
    });
  });

  it("leaves out a smaller step of an earlier training too", () => {
    expect(
      stepsOf([at(50, now - day, log(50, 9)), at(100, now, log(100, 2)), at(200, now + 1, log(200, 2))]),
    ).toEqual([100, 200]);
  });

  it("keeps what came before a restart, and leaves out what the restart trained again", () => {
    const restarted = new Map([...log(50, 4), [60, { loss: 1 }], [70, { loss: 1 }]]);
    expect(
      stepsOf([at(50, now - 2 * day, log(50, 4)), at(60, now - day, log(60, 4)), at(70, now, restarted)]),
    ).toEqual([50, 70]);
  });

  it("goes by what most agree on where all are as old", () => {
    expect(
      stepsOf([
        at(100, now, log(100, 2)),
        at(200, now, log(200, 2)),
        at(300, now, log(300, 2)),
        at(1000, now, log(1000, 4)),
      ]),
    ).toEqual([100, 200, 300]);
  });

  it("keeps no two that disagree, though a short log agrees with both and times do not decide", () => {
    const other = new Map(
      [...log(300, 2)].map(([step, one]) => [step, { loss: one.loss! + (step > 100 ? 1 : 0) }]),
    );
    const { kept, leftOver } = splitLeftOvers([
      at(100, now, log(100, 2)),
      at(200, now + 1, log(200, 2)),
      at(300, now + 2, other),
    ]);
    expect(kept.map(({ step }) => step)).toEqual([100, 300]);
    expect(leftOver[0]).toMatchObject({
      item: { step: 200 },
      reason: expect.stringContaining("disagrees with checkpoint-300"),
    });
  });

  it("goes by times where there are no logs, unless they are those of copying", () => {
    expect(stepsOf([at(100, now), at(200, now + 1), at(1000, now - day)])).toEqual([100, 200]);
    expect(stepsOf([at(100, now), at(200, now - 1000)])).toEqual([100, 200]);
  });
});

describe("findDifference()", () => {
  it("does not mind times, nor NaN that is NaN on both sides", () => {
    const one: History = new Map([[10, { loss: Number.NaN, eval_runtime: 3 }]]);
    expect(findDifference(one, new Map([[10, { loss: Number.NaN, eval_runtime: 4 }]]))).toBeUndefined();
    expect(findDifference(one, new Map([[10, { loss: 1 }]]))).toContain("loss NaN at step 10");
  });
});
