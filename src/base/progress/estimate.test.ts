import { describe, expect, it } from "vitest";
import type { LabEvent } from "./effects.ts";
import { createEstimator, type Estimator } from "./estimate.ts";

const planned: LabEvent = {
  kind: "planned",
  stages: [
    { id: "sft", numSteps: 10, numDone: 4 },
    { id: "rl-from-4", numSteps: 5, numDone: 0 },
  ],
  numEvaluations: 2,
};
const step = (stage: string, ms: number): LabEvent => ({ kind: "step", stage, step: 1, ms, metrics: {} });
const evaluated = (ms: number): LabEvent => ({
  kind: "evaluated",
  checkpoint: "c",
  ms,
  id: { correct: 0, total: 1 },
  ood: { correct: 0, total: 1 },
});

function observe(...events: readonly LabEvent[]): Estimator {
  const estimator = createEstimator();
  for (const event of events) estimator.observe(event);
  return estimator;
}

const repeat = (event: LabEvent, times: number): readonly LabEvent[] =>
  Array.from({ length: times }, () => event);

describe("createEstimator()", () => {
  it("has everything before it at the plan, with an estimate of how long", () => {
    const estimator = observe(planned);
    expect(estimator.doneFraction()).toBe(0);
    expect(estimator.remainingMs()).toBeGreaterThan(0);
  });

  it("counts only the steps that an earlier process left", () => {
    const whole = observe({ ...planned, stages: [{ id: "sft", numSteps: 10, numDone: 0 }] });
    const half = observe({ ...planned, stages: [{ id: "sft", numSteps: 10, numDone: 5 }] });
    const none = observe({ ...planned, stages: [{ id: "sft", numSteps: 10, numDone: 10 }] });
    const perStep = (whole.remainingMs() - half.remainingMs()) / 5;
    expect(perStep).toBeGreaterThan(0);
    expect(half.remainingMs() - none.remainingMs()).toBeCloseTo(5 * perStep);
  });

  it("measures each part by itself once it was seen", () => {
    const estimator = observe(
      planned,
      step("sft", 100),
      step("sft", 300),
      step("rl-from-4", 1000),
      evaluated(50),
    );
    expect(estimator.remainingMs()).toBeCloseTo(4 * 200 + 4 * 1000 + 50);
    expect(estimator.doneFraction()).toBeCloseTo(1450 / (1450 + 4850));
  });

  it("takes parts not seen yet for slower where the machine is slower", () => {
    const slow = observe(planned, step("sft", 500));
    const fast = observe(planned, step("sft", 5));
    expect(slow.remainingMs() / fast.remainingMs()).toBeCloseTo(100);
  });

  it("is done when nothing is left, and between nothing and all before", () => {
    const events = [
      ...repeat(step("sft", 40), 6),
      ...repeat(evaluated(90), 2),
      ...repeat(step("rl-from-4", 300), 5),
    ];
    const estimator = observe(planned);
    let last = 0;
    for (const event of events) {
      estimator.observe(event);
      last = estimator.doneFraction();
      expect(last).toBeGreaterThan(0);
      expect(last).toBeLessThanOrEqual(1);
    }
    expect(last).toBe(1);
    expect(estimator.remainingMs()).toBe(0);
  });

  it("takes nothing to do for done", () => {
    expect(createEstimator().doneFraction()).toBe(1);
  });
});
