import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { constantSchedule, cosineSchedule, withWarmup } from "./schedule.ts";

describe("constantSchedule()", () => {
  it("is the same at every step", () => {
    expect([1, 2, 1000].map(constantSchedule(0.25))).toEqual([0.25, 0.25, 0.25]);
  });
});

describe("cosineSchedule()", () => {
  it("starts at `from`, is halfway in the middle, and ends and stays at `to`", () => {
    const schedule = cosineSchedule({ from: 1, to: 0.2, numSteps: 101 });
    expect(schedule(1)).toBe(1);
    expect(schedule(51)).toBeCloseTo(0.6, 12);
    expect(schedule(101)).toBe(0.2);
    expect(schedule(5000)).toBe(0.2);
  });

  it("never rises when it goes down", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 400 }), (numSteps, step) => {
        const schedule = cosineSchedule({ from: 3, to: 0.5, numSteps });
        expect(schedule(step + 1)).toBeLessThanOrEqual(schedule(step));
        expect(schedule(step)).toBeGreaterThanOrEqual(0.5);
        expect(schedule(step)).toBeLessThanOrEqual(3);
      }),
    );
  });

  it("is at its end where there is one step only", () => {
    expect(cosineSchedule({ from: 1, to: 0.5, numSteps: 1 })(1)).toBe(0.5);
  });
});

describe("withWarmup()", () => {
  it("rises evenly to the schedule and then follows it", () => {
    const schedule = withWarmup(constantSchedule(2), 4);
    expect([1, 2, 3, 4, 5, 100].map(schedule)).toEqual([0.5, 1, 1.5, 2, 2, 2]);
  });

  it("changes nothing when there are no warm-up steps", () => {
    const schedule = cosineSchedule({ from: 1, to: 0, numSteps: 10 });
    for (let step = 1; step <= 12; step++) expect(withWarmup(schedule, 0)(step)).toBe(schedule(step));
  });
});
