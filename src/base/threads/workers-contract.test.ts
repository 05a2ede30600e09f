import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Worker } from "node:worker_threads";
import { afterEach, describe, expect, it } from "vitest";
import { builtProgram } from "../../../test/support/build-programs.ts";
import { UsageError } from "../core/index.ts";
import { createWorkerPool } from "./worker-pool.ts";
import { createInlineWorkers, type TaskHandler, type Workers } from "./workers.ts";

/** What test/support/worker-fixture.mjs understands. */
type FixtureTask =
  | { readonly kind: "echo"; readonly value: number; readonly numTurns: number }
  | { readonly kind: "refuse"; readonly message: string; readonly exitCode: number }
  | { readonly kind: "fail" | "throwText"; readonly message: string }
  | { readonly kind: "meet"; readonly buffer: SharedArrayBuffer; readonly numExpected: number }
  | { readonly kind: "block"; readonly socketPath: string }
  | { readonly kind: "data" | "die" | "answerThenDie" | "answerFunction" | "spin" };

interface FixtureResult {
  readonly value: unknown;
  readonly numThreads: number;
}

type FixtureWorkers = Workers<FixtureTask, FixtureResult>;

const fixture = builtProgram("worker-fixture");
const alone = { numThreads: 1 };
const limitMs = 120_000;

const opened: FixtureWorkers[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((workers) => workers.close()));
});

function openPool(size: number, url: URL = fixture): FixtureWorkers {
  const pool = createWorkerPool<FixtureTask, FixtureResult>({ url, data: { mark: 7 }, size });
  opened.push(pool);
  return pool;
}

/** The tasks of the fixture that need no thread of their own. */
const handle: TaskHandler<FixtureTask, FixtureResult> = async (task, { numThreads }) => {
  switch (task.kind) {
    case "echo":
      for (let turn = 0; turn < task.numTurns; turn++) await new Promise(setImmediate);
      return { value: task.value, numThreads };
    case "refuse":
      throw new UsageError(task.message, { exitCode: task.exitCode });
    case "fail":
      throw new RangeError(task.message);
    default:
      throw new TypeError(`Cannot carry out ${task.kind} here`);
  }
};

const echo = (value: number, numTurns = 0): FixtureTask => ({ kind: "echo", value, numTurns });
const errorOf = (running: Promise<unknown>): Promise<unknown> =>
  running.then(
    () => undefined,
    (error: unknown) => error,
  );

/** Threads started while `act` runs. */
async function countStarts(act: () => Promise<void>): Promise<number> {
  let numStarts = 0;
  const count = (): void => void numStarts++;
  process.on("worker", count);
  try {
    await act();
    // The event comes a tick after the start.
    await new Promise(setImmediate);
  } finally {
    process.off("worker", count);
  }
  return numStarts;
}

/** The ends of the threads that are started while `act` runs. */
async function watchEnds(act: () => Promise<unknown>): Promise<readonly Promise<void>[]> {
  const ends: Promise<void>[] = [];
  const watch = (worker: Worker): void =>
    void ends.push(new Promise((resolve) => worker.once("exit", () => resolve())));
  process.on("worker", watch);
  try {
    await act();
  } finally {
    process.off("worker", watch);
  }
  return ends;
}

describe.each([
  ["createInlineWorkers()", () => createInlineWorkers(handle)],
  ["createWorkerPool() of one thread", () => openPool(1)],
  ["createWorkerPool() of three threads", () => openPool(3)],
])("%s", (_name, open: () => FixtureWorkers) => {
  it("gives every task its own result, in whatever order they end", { timeout: limitMs }, async () => {
    const workers = open();
    const values = Array.from({ length: 40 }, (_, index) => index);
    const results = await Promise.all(
      values.map((value) => workers.run(echo(value, (value * 7) % 11), { numThreads: 1 + (value % 3) })),
    );
    expect(results).toEqual(values.map((value) => ({ value, numThreads: 1 + (value % 3) })));
  });

  it("keeps class, message and exit code of a UsageError", { timeout: limitMs }, async () => {
    const error = await errorOf(
      open().run({ kind: "refuse", message: 'Cannot read "a"', exitCode: 4 }, alone),
    );
    expect(error).toBeInstanceOf(UsageError);
    expect(error).toMatchObject({ name: "UsageError", message: 'Cannot read "a"', exitCode: 4 });
  });

  it("keeps message and stack of other errors", { timeout: limitMs }, async () => {
    const error = await errorOf(open().run({ kind: "fail", message: "Cannot add: far too large" }, alone));
    expect(error).toBeInstanceOf(Error);
    expect(error).not.toBeInstanceOf(UsageError);
    expect(error).toMatchObject({
      message: "Cannot add: far too large",
      stack: expect.stringMatching(
        /^RangeError: Cannot add: far too large\n.*(worker-fixture\.js|workers-contract\.test)/s,
      ),
    });
  });

  it("carries out the tasks after an error, and gives errors to their own tasks", {
    timeout: limitMs,
  }, async () => {
    const workers = open();
    const outcomes = await Promise.allSettled([
      workers.run(echo(1, 5), alone),
      workers.run({ kind: "fail", message: "first" }, alone),
      workers.run(echo(2), alone),
      workers.run({ kind: "refuse", message: "second", exitCode: 2 }, alone),
      workers.run(echo(3), alone),
    ]);
    expect(
      outcomes.map((outcome) =>
        outcome.status === "fulfilled" ? outcome.value.value : outcome.reason.message,
      ),
    ).toEqual([1, "first", 2, "second", 3]);
  });

  it("refuses tasks after close()", { timeout: limitMs }, async () => {
    const workers = open();
    await workers.run(echo(1), alone);
    await workers.close();
    expect(await errorOf(workers.run(echo(2), alone))).toBeInstanceOf(Error);
  });

  it("may be closed unused, and twice", { timeout: limitMs }, async () => {
    const workers = open();
    await workers.close();
    await expect(workers.close()).resolves.toBeUndefined();
  });
});

describe("createWorkerPool()", { timeout: limitMs }, () => {
  it("starts threads when they are needed, at most its size, and uses them again", async () => {
    expect(await countStarts(async () => void openPool(3))).toBe(0);
    const pool = openPool(3);
    expect(
      await countStarts(async () => {
        for (const value of [1, 2, 3]) await pool.run(echo(value), alone);
      }),
    ).toBe(1);
    const more = await countStarts(async () => {
      await Promise.all(Array.from({ length: 20 }, (_, value) => pool.run(echo(value, 3), alone)));
    });
    expect(more).toBe(2);
  });

  it("carries out as many tasks at a time as it has threads", async () => {
    const pool = openPool(3);
    const meet: FixtureTask = { kind: "meet", buffer: new SharedArrayBuffer(4), numExpected: 3 };
    const results = await Promise.all([1, 2, 3].map(() => pool.run(meet, alone)));
    expect(results.map(({ value }) => value)).toEqual([3, 3, 3]);
  });

  it("gives its threads the data", async () => {
    expect(await openPool(1).run({ kind: "data" }, alone)).toEqual({ value: { mark: 7 }, numThreads: 1 });
  });

  it.each([1, 2])(
    "rejects the task of a thread that dies, and goes on with others (%i threads)",
    async (size) => {
      const pool = openPool(size);
      const outcomes = await Promise.allSettled([
        pool.run(echo(1), alone),
        pool.run({ kind: "die" }, alone),
        pool.run(echo(2), alone),
        pool.run({ kind: "die" }, alone),
        pool.run(echo(3), alone),
        pool.run(echo(4), alone),
      ]);
      expect(
        outcomes.map((outcome) => (outcome.status === "fulfilled" ? outcome.value.value : outcome.reason)),
      ).toEqual([1, expect.any(Error), 2, expect.any(Error), 3, 4]);
      expect(await pool.run(echo(5), alone)).toMatchObject({ value: 5 });
    },
  );

  it("gives no task to a thread that died while it waited for one", async () => {
    const pool = openPool(1);
    await Promise.all(await watchEnds(() => pool.run({ kind: "answerThenDie" }, alone)));
    expect(await pool.run(echo(1), alone)).toMatchObject({ value: 1 });
  });

  it("rejects with an Error where a text is thrown", async () => {
    const error = await errorOf(openPool(1).run({ kind: "throwText", message: "far too large" }, alone));
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ message: "far too large" });
  });

  it("rejects a task whose result cannot be sent, and goes on", async () => {
    const pool = openPool(1);
    await expect(pool.run({ kind: "answerFunction" }, alone)).rejects.toBeDefined();
    expect(await pool.run(echo(1), alone)).toMatchObject({ value: 1 });
  });

  describe("close()", () => {
    it("rejects what is under way and what waits, never to be started", async () => {
      const pool = openPool(1);
      const buffer = new SharedArrayBuffer(4);
      const running = errorOf(pool.run({ kind: "spin" }, alone));
      const waiting = [1, 2].map(() => errorOf(pool.run({ kind: "meet", buffer, numExpected: 1 }, alone)));
      await pool.close();
      expect(await Promise.all([running, ...waiting])).toEqual([
        expect.any(Error),
        expect.any(Error),
        expect.any(Error),
      ]);
      expect(new Int32Array(buffer)[0]).toBe(0);
    });

    it("ends the threads that wait for tasks", async () => {
      const pool = openPool(2);
      const ends = await watchEnds(async () => {
        await Promise.all([pool.run(echo(1, 20), alone), pool.run(echo(2, 20), alone)]);
        await pool.close();
      });
      expect(ends).toHaveLength(2);
      await Promise.all(ends);
    });

    it("starts no thread for a task that comes later", async () => {
      const pool = openPool(1);
      await pool.close();
      expect(await countStarts(async () => void (await errorOf(pool.run(echo(1), alone))))).toBe(0);
    });

    it("does not wait for a thread deep in a native routine", async () => {
      const folder = mkdtempSync(join(tmpdir(), "untwist-pool-"));
      const socketPath = join(folder, "socket");
      const server = createServer();
      try {
        await new Promise<void>((resolve) => server.listen(socketPath, resolve));
        const connected = new Promise<Socket>((resolve) => server.once("connection", resolve));
        const pool = openPool(1);
        let hasEnded = false;
        const running = errorOf(pool.run({ kind: "block", socketPath }, alone)).then((error) => {
          hasEnded = true;
          return error;
        });
        const socket = await connected;
        await pool.close();
        expect(hasEnded).toBe(false);
        socket.end();
        expect(await running).toBeInstanceOf(Error);
      } finally {
        server.close();
        rmSync(folder, { recursive: true });
      }
    });
  });

  describe.each([
    ["is missing", new URL("./no-such-worker.mjs", import.meta.url), /no-such-worker/],
    ["throws", new URL('data:text/javascript,throw new Error("Cannot start at all")'), /Cannot start at all/],
    ["cannot be parsed", new URL("data:text/javascript,const const"), /const/],
    ["ends the thread", new URL("data:text/javascript,process.exit(3)"), /thread ended/],
    ["serves no tasks", new URL("data:text/javascript,export%20{}"), /thread ended/],
  ])("where the entry file %s", (_name, url, message) => {
    it("rejects every task, with one start for each at most", async () => {
      const pool = openPool(2, url);
      const numStarts = await countStarts(async () => {
        const running = [1, 2, 3, 4, 5].map((value) => errorOf(pool.run(echo(value), alone)));
        for (const error of await Promise.all(running)) {
          expect(error).toBeInstanceOf(Error);
          expect(error).toMatchObject({ message: expect.stringMatching(message) });
        }
      });
      expect(numStarts).toBeLessThanOrEqual(5);
      await expect(pool.close()).resolves.toBeUndefined();
    });
  });
});
