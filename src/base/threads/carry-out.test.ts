import { getEventListeners } from "node:events";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { carryOut, type PlannedTask, type PlanOptions } from "./carry-out.ts";
import { createInlineWorkers, type Share, type Workers } from "./workers.ts";

type Plan = readonly PlannedTask<number>[];

/** What happened while a plan was carried out. */
interface Record {
  /** In order. */
  readonly started: {
    readonly task: number;
    readonly numThreads: number;
    readonly together: readonly number[];
  }[];
  readonly ended: number[];
}

/** Workers that note what runs together; `finish` says when a task ends, and how. */
function watch(finish: (task: number) => Promise<unknown>): {
  readonly record: Record;
  readonly workers: Workers<number, string>;
} {
  const record: Record = { started: [], ended: [] };
  const running = new Map<number, Share>();
  const workers = createInlineWorkers<number, string>(async (task, share) => {
    running.set(task, share);
    record.started.push({ task, numThreads: share.numThreads, together: [...running.keys()] });
    try {
      await finish(task);
    } finally {
      running.delete(task);
    }
    record.ended.push(task);
    return `done ${task}`;
  });
  return { record, workers };
}

function optionsOf(
  workers: Workers<number, string>,
  given: Partial<PlanOptions<number, string>> = {},
): PlanOptions<number, string> {
  const { signal } = new AbortController();
  return { workers, numCores: 4, memoryBytes: 100, signal, onDone: () => undefined, ...given };
}

const plans: fc.Arbitrary<Plan> = fc
  .array(fc.record({ cost: fc.integer({ min: 0, max: 20 }), bytes: fc.integer({ min: 0, max: 150 }) }), {
    maxLength: 20,
  })
  .map((tasks) => tasks.map((planned, task) => ({ task, ...planned })));

const small = (costs: readonly number[]): Plan => costs.map((cost, task) => ({ task, cost, bytes: 1 }));

/** A promise, and the way to settle it. */
function createGate(): { readonly opened: Promise<void>; open(): void; break(error: Error): void } {
  let open = (): void => undefined;
  let fail = (_: Error): void => undefined;
  const opened = new Promise<void>((resolve, reject) => {
    open = resolve;
    fail = reject;
  });
  return { opened, open, break: fail };
}

describe("carryOut()", () => {
  it("does every task once, within the cores and the memory, whatever ends first", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        plans,
        fc.integer({ min: 1, max: 5 }),
        async (scheduler, plan, numCores) => {
          const { record, workers } = watch((task) => scheduler.schedule(Promise.resolve(task)));
          const done: (readonly [number, string])[] = [];
          const onDone = ({ task }: PlannedTask<number>, result: string): void => {
            done.push([task, result]);
          };
          await scheduler.waitFor(carryOut(plan, optionsOf(workers, { numCores, onDone })));
          const bytesOf = (task: number): number => plan[task]!.bytes;
          expect(done.map(([task]) => task)).toEqual(record.ended);
          expect(done.map(([, result]) => result)).toEqual(record.ended.map((task) => `done ${task}`));
          expect([...record.ended].sort((a, b) => a - b)).toEqual([...plan.keys()]);
          for (const { task, numThreads, together } of record.started) {
            expect(together.length).toBeLessThanOrEqual(numCores);
            expect(together.length * numThreads).toBeLessThanOrEqual(Math.max(numCores, together.length));
            const bytes = together.reduce((sum, other) => sum + bytesOf(other), 0);
            if (together.length > 1) expect(bytes).toBeLessThanOrEqual(100);
            expect(numThreads).toBeGreaterThanOrEqual(1);
            expect(together).toContain(task);
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  it("starts the largest first, those that need much memory before all others", async () => {
    await fc.assert(
      fc.asyncProperty(plans, async (plan) => {
        const { record, workers } = watch(() => Promise.resolve());
        await carryOut(plan, optionsOf(workers));
        const order = record.started.map(({ task }) => plan[task]!);
        const isLarge = ({ bytes }: PlannedTask<number>): boolean => bytes > 25;
        const large = order.filter(isLarge);
        expect(order.slice(0, large.length)).toEqual(large);
        for (const phase of [large, order.filter((planned) => !isLarge(planned))])
          expect(phase.map(({ cost }) => cost)).toEqual(phase.map(({ cost }) => cost).sort((a, b) => b - a));
      }),
    );
  });

  it("shares the cores: one thread each for many small tasks, several for few or large ones", async () => {
    const threadsOf = async (plan: Plan): Promise<readonly (readonly [number, number])[]> => {
      const { record, workers } = watch(() => Promise.resolve());
      await carryOut(plan, optionsOf(workers, { numCores: 8, memoryBytes: 800 }));
      return record.started.map(({ task, numThreads }) => [task, numThreads]);
    };
    const all = (count: number, bytes: number): Plan =>
      Array.from({ length: count }, (_, task) => ({ task, cost: 1, bytes }));
    expect(new Set((await threadsOf(all(9, 10))).map(([, numThreads]) => numThreads))).toEqual(new Set([1]));
    expect(await threadsOf(all(2, 10))).toEqual([
      [0, 4],
      [1, 4],
    ]);
    // 300 of 800 bytes: two at a time, on four threads each.
    expect(new Set((await threadsOf(all(5, 300))).map(([, numThreads]) => numThreads))).toEqual(new Set([4]));
    // More than all memory: alone, on all cores.
    expect(await threadsOf(all(1, 5000))).toEqual([[0, 8]]);
  });

  it("runs as many at a time as it may", async () => {
    const mostAtOnce = async (plan: Plan): Promise<number> => {
      const gates = plan.map(createGate);
      const { record, workers } = watch((task) => gates[task]!.opened);
      const finished = carryOut(plan, optionsOf(workers));
      await settleEverything();
      const most = record.started.length;
      for (const gate of gates) gate.open();
      await finished;
      return most;
    };
    expect(await mostAtOnce(small([1, 1, 1, 1, 1, 1]))).toBe(4);
    expect(await mostAtOnce(small([1, 1]))).toBe(2);
    expect(await mostAtOnce(small([1, 1, 1, 1, 1]).map((task) => ({ ...task, bytes: 30 })))).toBe(3);
    expect(await mostAtOnce(small([1, 1]).map((task) => ({ ...task, bytes: 60 })))).toBe(1);
  });

  it("throws the first error, when what was under way has ended, and starts nothing more", async () => {
    const gates = small([9, 8, 7, 6, 5, 4]).map(createGate);
    const { record, workers } = watch((task) => gates[task]!.opened);
    let hasEnded = false;
    const done: number[] = [];
    const finished = carryOut(
      small([9, 8, 7, 6, 5, 4]),
      optionsOf(workers, { numCores: 3, onDone: ({ task }) => done.push(task) }),
    ).finally(() => {
      hasEnded = true;
    });
    const caught = finished.catch((error: unknown) => error);
    gates[2]!.break(new Error("third task"));
    await settleEverything();
    expect(hasEnded).toBe(false);
    gates[0]!.break(new Error("first task, later"));
    await settleEverything();
    expect(hasEnded).toBe(false);
    gates[1]!.open();
    expect(await caught).toEqual(new Error("third task"));
    expect(record.started.map(({ task }) => task)).toEqual([0, 1, 2]);
    expect(done).toEqual([1]);
  });

  it("does not start the small tasks when a large one failed", async () => {
    const plan: Plan = [
      { task: 0, cost: 1, bytes: 90 },
      { task: 1, cost: 50, bytes: 1 },
    ];
    const { record, workers } = watch((task) =>
      task === 0 ? Promise.reject(new RangeError("too large")) : Promise.resolve(),
    );
    await expect(carryOut(plan, optionsOf(workers))).rejects.toThrow(new RangeError("too large"));
    expect(record.started.map(({ task }) => task)).toEqual([0]);
  });

  it("throws what the listener throws", async () => {
    const { record, workers } = watch(() => Promise.resolve());
    const onDone = (): void => {
      throw new Error("listener");
    };
    await expect(carryOut(small([3, 2, 1]), optionsOf(workers, { numCores: 1, onDone }))).rejects.toThrow(
      "listener",
    );
    expect(record.started.length).toBe(1);
  });

  it("returns at once when it is aborted, whatever is under way, and starts nothing more", async () => {
    const controller = new AbortController();
    const gates = small([1, 1, 1, 1]).map(createGate);
    const { record, workers } = watch((task) => gates[task]!.opened);
    const finished = carryOut(
      small([1, 1, 1, 1]),
      optionsOf(workers, { numCores: 2, signal: controller.signal }),
    );
    await settleEverything();
    controller.abort();
    await finished;
    for (const gate of gates) gate.open();
    await settleEverything();
    expect(record.started.map(({ task }) => task)).toEqual([0, 1]);
  });

  it("starts nothing when it was aborted before", async () => {
    const { record, workers } = watch(() => Promise.resolve());
    await carryOut(small([1, 2]), optionsOf(workers, { signal: AbortSignal.abort() }));
    expect(record.started).toEqual([]);
  });

  it("has nothing to do without tasks", async () => {
    const { record, workers } = watch(() => Promise.resolve());
    await carryOut([], optionsOf(workers));
    expect(record.started).toEqual([]);
  });

  it("leaves nothing behind on the signal", async () => {
    const { signal } = new AbortController();
    const { workers } = watch(() => Promise.resolve());
    for (let time = 0; time < 3; time++) await carryOut(small([1, 2]), optionsOf(workers, { signal }));
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  it("leaves the plan in its order", async () => {
    const plan = small([1, 5, 3]);
    await carryOut(plan, optionsOf(watch(() => Promise.resolve()).workers));
    expect(plan).toEqual(small([1, 5, 3]));
  });
});

/** Lets every promise that can settle do so. */
async function settleEverything(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await Promise.resolve();
}
