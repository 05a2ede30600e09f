import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createMachine } from "../../../test/support/effects.ts";
import type { Effects, LabEvent } from "./effects.ts";
import { createPhases } from "./phases.ts";

type Progress = Extract<LabEvent, { readonly kind: "progress" }>;

/** An outside that remembers what it was told, with a clock set by hand. */
function createOutside(): {
  readonly effects: Effects;
  readonly told: LabEvent[];
  readonly progress: () => readonly Progress[];
  readonly clock: { ms: number };
} {
  const told: LabEvent[] = [];
  const clock = { ms: 1000 };
  const { signal } = new AbortController();
  const effects: Effects = {
    report: (event) => void told.push(event),
    now: () => clock.ms,
    signal,
    machine: createMachine(),
  };
  return { effects, told, clock, progress: () => told.filter((event) => event.kind === "progress") };
}

const at = (doneFraction: number, rest: Partial<Progress> = {}): Progress => ({
  kind: "progress",
  work: "edit",
  what: "a matrix",
  doneFraction,
  ...rest,
});

describe("createPhases()", () => {
  it("gives each phase its share of the whole", () => {
    const { effects, progress } = createOutside();
    const [first, second, third] = createPhases(effects, [1, 3, 4]);
    for (const done of [0, 1]) first?.report(at(done));
    for (const done of [0, 1 / 3, 1]) second?.report(at(done));
    for (const done of [0.5, 1]) third?.report(at(done));
    expect(progress().map(({ doneFraction }) => doneFraction)).toEqual([
      0,
      1 / 8,
      1 / 8,
      2 / 8,
      4 / 8,
      6 / 8,
      1,
    ]);
  });

  it("tells the time that remains by that of the whole, whatever the phase thinks", () => {
    const { effects, progress, clock } = createOutside();
    const [first, second] = createPhases(effects, [1, 3]);
    first?.report(at(0, { remainingMs: 7 }));
    clock.ms += 100;
    first?.report(at(1, { remainingMs: 7 }));
    clock.ms += 50;
    second?.report(at(1 / 3, { remainingMs: 7 }));
    clock.ms += 10;
    second?.report(at(1, { remainingMs: 7 }));
    // a quarter after 100 ms, half after 150 ms; nothing to go by at the start
    expect(progress()[0]).not.toHaveProperty("remainingMs");
    expect(progress().map(({ remainingMs }) => remainingMs)).toEqual([undefined, 300, 150, 0]);
  });

  it("hands on what else happens, and leaves clock and signal as they are", () => {
    const { effects, told } = createOutside();
    const phases = createPhases(effects, [1, 1]);
    const notice: LabEvent = { kind: "notice", text: "Something" };
    phases[1]?.report(notice);
    phases[0]?.report(at(0.5, { work: "repair", what: "a repair" }));
    expect(told[0]).toEqual(notice);
    expect(told[1]).toMatchObject({ kind: "progress", work: "repair", what: "a repair", doneFraction: 0.25 });
    for (const { now, signal } of phases) expect([now, signal]).toEqual([effects.now, effects.signal]);
  });

  const cost = fc.oneof(fc.constant(0), fc.double({ min: 1e-3, max: 1e12, noNaN: true }));
  const fraction = fc.double({ min: 0, max: 1, noNaN: true }).map(Math.abs);
  const work = fc.array(fc.record({ cost, fractions: fc.array(fraction, { maxLength: 5 }) }), {
    minLength: 1,
    maxLength: 6,
  });

  it("never goes back, stays within 0 and 1, and ends at 1, phases without cost included", () => {
    fc.assert(
      fc.property(work, (parts) => {
        const { effects, progress, clock } = createOutside();
        const phases = createPhases(
          effects,
          parts.map((part) => part.cost),
        );
        for (const [index, { fractions }] of parts.entries())
          for (const done of [...fractions.toSorted((a, b) => a - b), 1]) {
            clock.ms += 10;
            phases[index]?.report(at(done));
          }
        let last = 0;
        for (const { doneFraction, remainingMs = 0 } of progress()) {
          expect(doneFraction).toBeGreaterThanOrEqual(last);
          expect(doneFraction).toBeLessThanOrEqual(1);
          expect(remainingMs).toBeGreaterThanOrEqual(0);
          last = doneFraction;
        }
        expect(last).toBe(1);
      }),
    );
  });

  it("takes no part of the whole for a phase without cost, wherever it stands", () => {
    const { effects, progress } = createOutside();
    const [first, second, third] = createPhases(effects, [0, 2, 0]);
    for (const phase of [first, second, third]) for (const done of [0, 1]) phase?.report(at(done));
    expect(progress().map(({ doneFraction }) => doneFraction)).toEqual([0, 0, 0, 1, 1, 1]);
  });

  it("gives numbers where nothing costs anything, and no phases for no costs", () => {
    const { effects, progress, clock } = createOutside();
    const [only] = createPhases(effects, [0]);
    clock.ms += 10;
    only?.report(at(1));
    expect(progress()).toEqual([at(1, { remainingMs: 0 })]);
    expect(createPhases(effects, [])).toEqual([]);
  });
});
