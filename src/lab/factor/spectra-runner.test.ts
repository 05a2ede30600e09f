import { describe, expect, it } from "vitest";
import { createMachine, createTestEffects } from "../../../test/support/effects.ts";
import { type Effects, StoppedError } from "../../base/progress/index.ts";
import { createInlineWorkers } from "../../base/threads/workers.ts";
import {
  createSpectraPool,
  createSpectraRunner,
  type PlannedSpectraTask,
  type SpectraRunner,
  type SpectraWorkers,
} from "./spectra-runner.ts";
import type { KnownTensor, SpectraAnswer } from "./spectra-task.ts";

const know = (name: string): KnownTensor => ({ folder: "model", name, shape: [2, 2], fingerprint: name });

/** A task of each kind; they cost 10, 30 and 60. */
const tasks: readonly PlannedSpectraTask[] = [
  { task: { kind: "fingerprint", tensor: know("small") }, cost: 10, bytes: 1 },
  { task: { kind: "factorize", tensor: know("middle"), request: { numVectors: 1 } }, cost: 30, bytes: 1 },
  {
    task: {
      kind: "compare",
      before: know("a"),
      after: know("large"),
      settings: { ranks: [1] },
      isProduct: false,
    },
    cost: 60,
    bytes: 1,
  },
];

/** Workers in this thread; what each task answers is for the test to say. */
const answering = (answer: (kind: string) => SpectraAnswer = () => ({ damaged: [] })): SpectraWorkers =>
  createInlineWorkers(async ({ kind }) => answer(kind));

/** A runner that carries out one task at a time. */
const createRunner = (effects: Effects, workers: SpectraWorkers = answering()): SpectraRunner =>
  createSpectraRunner({ work: "spectra", share: { cores: 1, bytes: 100 } }, effects, workers);

/** A clock whose time the test sets. */
function createClock(): { ms: number; readonly now: () => number } {
  const clock = { ms: 0, now: () => clock.ms };
  return clock;
}

describe("createSpectraRunner()", () => {
  it("carries out the largest first, hands on each answer, and says what was done and how far it is", async () => {
    const effects = createTestEffects();
    const runner = createRunner(effects);
    runner.expect(100);
    const answered: string[] = [];
    await runner.run(tasks, ({ kind }) => answered.push(kind));
    expect(answered).toEqual(["compare", "factorize", "fingerprint"]);
    const progress = { kind: "progress", work: "spectra" };
    expect(effects.events).toMatchObject([
      { ...progress, what: "compared large", doneFraction: 0.6 },
      { ...progress, what: "factorized middle", doneFraction: 0.9 },
      { ...progress, what: "read small", doneFraction: 1 },
    ]);
  });

  it("expects what is to come on top of what was done, and never says that more than all is done", async () => {
    const effects = createTestEffects();
    const runner = createRunner(effects);
    const [small, middle, large] = tasks.map((one) => [one]);
    runner.expect(20);
    await runner.run(small!, () => undefined);
    runner.expect(90);
    await runner.run(middle!, () => undefined);
    runner.expect(40);
    await runner.run(large!, () => undefined);
    const fractions = effects.events.map((event) => event.kind === "progress" && event.doneFraction);
    expect(fractions).toEqual([10 / 20, 40 / 100, 1]);
  });

  it("estimates the rest from the time that was taken", async () => {
    const clock = createClock();
    const effects = createTestEffects({ now: clock.now });
    const spend = answering(() => {
      clock.ms += 600;
      return { damaged: [] };
    });
    const runner = createRunner(effects, spend);
    runner.expect(100);
    await runner.run(tasks.slice(2), () => undefined);
    // 60 of 100 took 600 ms.
    expect(effects.events).toMatchObject([{ doneFraction: 0.6, remainingMs: expect.closeTo(400, 9) }]);
  });

  it("tells of each damaged entry before the task counts as done", async () => {
    const effects = createTestEffects();
    const damaged = (kind: string): SpectraAnswer => ({ damaged: kind === "compare" ? ["x", "y"] : [] });
    await createRunner(effects, answering(damaged)).run(tasks, () => undefined);
    expect(effects.notices()).toEqual(["x", "y"].map((path) => `Damaged cache entry made again: ${path}`));
    expect(effects.events.map(({ kind }) => kind)).toEqual([
      "notice",
      "notice",
      ...tasks.map(() => "progress"),
    ]);
  });

  it("begins no task after a stop, and says that it was stopped, even where all was done", async () => {
    for (const [last, expected] of [
      ["compare", ["compare"]],
      ["fingerprint", ["compare", "factorize", "fingerprint"]],
    ] as const) {
      const stop = new AbortController();
      const begun: string[] = [];
      const stopping = answering((kind) => {
        begun.push(kind);
        if (kind === last) stop.abort();
        return { damaged: [] };
      });
      const runner = createRunner(createTestEffects({ signal: stop.signal }), stopping);
      await expect(runner.run(tasks, () => undefined)).rejects.toThrow(StoppedError);
      expect(begun).toEqual(expected);
    }
  });

  it("passes on what a task and what the listener throws", async () => {
    const failing = answering(() => {
      throw new RangeError("no such tensor");
    });
    await expect(createRunner(createTestEffects(), failing).run(tasks, () => undefined)).rejects.toThrow(
      new RangeError("no such tensor"),
    );
    const refuse = (): never => {
      throw new TypeError("not finite");
    };
    await expect(createRunner(createTestEffects()).run(tasks, refuse)).rejects.toThrow(
      new TypeError("not finite"),
    );
  });
});

describe("createSpectraPool()", () => {
  it("starts no thread before there is a task", async () => {
    const started: unknown[] = [];
    const count = (worker: unknown): void => void started.push(worker);
    process.on("worker", count);
    try {
      const pool = createSpectraPool(createMachine());
      await new Promise(setImmediate);
      await pool.close();
      expect(started).toEqual([]);
    } finally {
      process.off("worker", count);
    }
  });
});
