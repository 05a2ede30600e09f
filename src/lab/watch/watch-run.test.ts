import { existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type AddingServer, startAddingServer } from "../../../test/support/adding-server.ts";
import { buildModel, writeCheckpointFolder } from "../../../test/support/checkpoint-folder.ts";
import { createMachine, createTestEffects } from "../../../test/support/effects.ts";
import { plainRequests } from "../../../test/support/json-server.ts";
import { createFallenRun } from "../../../test/support/run-folder.ts";
import { writeAdapterTraining } from "../../../test/support/trainer-folder.ts";
import {
  createTemporaryFolder,
  hashFiles,
  listFilesBelow,
  removeFolder,
} from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/core/index.ts";
import { BusyError, takeLock } from "../../base/file/index.ts";
import { type Effects, StoppedError } from "../../base/progress/index.ts";
import { NothingToFollowError } from "../../bridge/trainer/index.ts";
import { splits } from "../../tasks/environment/index.ts";
import { type OnState, type WatchRequest, watchRun } from "./watch-run.ts";
import type { WatchState } from "./watch-state.ts";

const place = createTemporaryFolder();
const at = (...path: readonly string[]): string => join(place, ...path);
let server: AddingServer;
beforeAll(async () => {
  await writeCheckpointFolder(at("base"), buildModel("base", "BF16"));
  server = await startAddingServer(at("base"));
  mkdirSync(at("items"));
  for (const split of splits) {
    const lines = Array.from({ length: 16 }, (_, index) =>
      JSON.stringify({ question: `${index} plus 7, ${split}?`, answer: String(index + 7) }),
    );
    writeFileSync(at("items", `${split}.jsonl`), lines.join("\n"));
  }
});
afterAll(() => {
  server.close();
  removeFolder(place);
});

/** Trains out of sight, so that a checkpoint can land in one instant. */
const prepare = (name: string, steps: readonly number[]): Promise<string> =>
  writeAdapterTraining(at(`hidden-${name}`), at("base"), steps);

/** Puts checkpoints where the training is watched. */
function land(name: string, ...steps: readonly number[]): void {
  mkdirSync(at(name), { recursive: true });
  for (const step of steps)
    renameSync(at(`hidden-${name}`, `checkpoint-${step}`), at(name, `checkpoint-${step}`));
}

/** The base model knows every sum and each adapter gets all wrong: of 16 tasks that is an alert, of 4 too few for one. */
function describeRequest(name: string, change: Partial<WatchRequest> = {}): WatchRequest {
  const requests = { ...plainRequests, concurrency: 4 };
  return {
    falseAlarmRate: 0.05,
    follow: { folders: [at(name)], out: at(`run-${name}`), base: at("base") },
    tasks: { environment: `items:${at("items")}`, promptFormat: "chat", numTasks: 16 },
    source: { kind: "adapters", url: server.url, requests },
    intervalMs: 1,
    stopOnAlert: false,
    ...change,
  };
}
const fewTasks = (): WatchRequest["tasks"] => ({ ...describeRequest("").tasks, numTasks: 4 });

/** Watches, and gives the last state and the notices. One that would never end is stopped, to fail. */
async function watch(
  request: WatchRequest,
  { onState = () => undefined, ...given }: Partial<Effects> & { readonly onState?: OnState } = {},
): Promise<{ readonly state: WatchState; readonly notices: readonly string[] }> {
  const usual = { machine: createMachine(at("cache")), signal: AbortSignal.timeout(30_000) };
  const effects = createTestEffects({ ...usual, ...given });
  const report = given.report;
  const both: Effects = {
    ...effects,
    report: (event) => {
      effects.events.push(event);
      report?.(event);
    },
  };
  return { state: await watchRun(request, { effects: both, onState }), notices: effects.notices() };
}

const evaluatedIn = (name: string): readonly string[] =>
  listFilesBelow(at(`run-${name}/evaluations`)).map((file) => file.replace(".jsonl", ""));

/** The checkpoints whose adapters the server was given since. */
const loadedSince = (count: number): readonly (string | undefined)[] =>
  server.loaded.slice(count).map((name) => /sft-\d+/.exec(name)?.[0]);

describe("watchRun()", () => {
  it("waits for the first checkpoint, saying so once, and ends with the first that raises an alert", async () => {
    await prepare("late", [10, 20]);
    let numLooks = 0;
    const now = (): number => {
      numLooks += 1;
      if (numLooks === 3) land("late", 10, 20);
      return 0;
    };
    const heard: (string | undefined)[] = [];
    const request = describeRequest("late", { stopOnAlert: true, idleMs: 1 });
    const { state, notices } = await watch(request, {
      now,
      onState: ({ trainings }) => heard.push(trainings[0]?.watch.looks.at(-1)?.point.checkpoint),
    });
    expect(heard).toEqual([undefined, "sft-10"]);
    expect(state.trainings).toMatchObject([
      { name: "sft", keepPath: at("base"), watch: { looks: [{ onlyPeak: 8, onlyNewest: 0 }] } },
    ]);
    const waiting = notices.filter((text) => text.startsWith("Waiting"));
    expect(waiting).toEqual([`Waiting for the first checkpoint in ${at("late")}`]);
    const alert = `ALERT: OOD accuracy of sft has been falling since the base model: 8 of 8 (100.0 %`;
    expect(notices.filter((text) => text.startsWith(alert))).toHaveLength(1);
    // The one after it was there, and was not asked any more.
    expect(evaluatedIn("late")).toEqual(["base", "sft-10"]);
    expect(existsSync(at("run-late/watch.lock"))).toBe(false);
  });

  it("goes on where it was when it is started again: asks nothing twice, and tells of no alert twice", async () => {
    const before = hashFiles(at("run-late/evaluations"));
    const numLoaded = server.loaded.length;
    const { state, notices } = await watch(describeRequest("late", { until: 20 }));
    expect(loadedSince(numLoaded)).toEqual(["sft-20"]);
    expect(hashFiles(at("run-late/evaluations"))).toMatchObject(before);
    expect(evaluatedIn("late")).toEqual(["base", "sft-10", "sft-20"]);
    expect(state.trainings[0]?.watch.looks).toHaveLength(2);
    expect(notices.filter((text) => text.startsWith("ALERT"))).toEqual([]);
    const again = await watch(describeRequest("late", { stopOnAlert: true }));
    expect(again.state.trainings[0]?.alert).toBe(state.trainings[0]?.alert);
    expect(loadedSince(numLoaded)).toEqual(["sft-20"]);
  });

  it("evaluates what lands while it goes on, until a checkpoint of the step that was named", async () => {
    await prepare("growing", [10, 20]);
    land("growing", 10);
    const { state } = await watch(describeRequest("growing", { tasks: fewTasks(), until: 15 }), {
      onState: ({ trainings }) => {
        if (trainings[0]?.watch.looks.length === 1) land("growing", 20);
      },
    });
    expect(evaluatedIn("growing")).toEqual(["base", "sft-10", "sft-20"]);
    expect(state.trainings).toMatchObject([{ name: "sft", watch: { peak: { checkpoint: "base" } } }]);
    expect(state.trainings[0]?.alert).toBeUndefined();
  });

  it("ends once nothing new has come for as long as was said, and not before", async () => {
    await prepare("idle", [10]);
    land("idle", 10);
    let nowMs = 0;
    const now = (): number => (nowMs += 10);
    let evaluatedAtMs = 0;
    const request = describeRequest("idle", { tasks: fewTasks(), idleMs: 40 });
    await watch(request, { now, onState: () => (evaluatedAtMs = nowMs) });
    // Each look at the clock moves it by 10 ms.
    expect(nowMs - evaluatedAtMs).toBeGreaterThanOrEqual(40);
    expect(nowMs - evaluatedAtMs).toBeLessThan(80);
    nowMs = 0;
    const none = describeRequest("never", { idleMs: 50 });
    await expect(watch(none, { now })).rejects.toThrow(NothingToFollowError);
    expect(nowMs).toBeGreaterThanOrEqual(50);
    expect(existsSync(at("run-never"))).toBe(false);
  });

  it("stops when it is told to, keeps what is evaluated by then, and leaves the rest to the next watch", async () => {
    await prepare("stopped", [10, 20]);
    land("stopped", 10, 20);
    const stop = new AbortController();
    const request = describeRequest("stopped", { tasks: fewTasks(), until: 20 });
    const onState: OnState = ({ trainings }) => {
      if (trainings[0]?.watch.looks.length === 1) stop.abort();
    };
    await expect(watch(request, { signal: stop.signal, onState })).rejects.toThrow(StoppedError);
    expect(evaluatedIn("stopped")).toEqual(["base", "sft-10"]);
    expect(listFilesBelow(at("run-stopped")).filter((file) => file.endsWith(".lock"))).toEqual([]);
    const numLoaded = server.loaded.length;
    await watch(request);
    expect([loadedSince(numLoaded), evaluatedIn("stopped")]).toEqual([
      ["sft-20"],
      ["base", "sft-10", "sft-20"],
    ]);
    // While it waits for the next one, too.
    const later = AbortSignal.timeout(20);
    const waiting = describeRequest("stopped", { tasks: fewTasks(), until: 99 });
    await expect(watch(waiting, { signal: later })).rejects.toThrow(StoppedError);
  });
});

describe("watchRun() beside others", () => {
  it("waits, saying so once, while somebody else works on the run, and lets no second watch in", async () => {
    await prepare("shared", [10]);
    land("shared", 10);
    const request = describeRequest("shared", { tasks: fewTasks(), until: 10 });
    await watch(request);
    const held = await takeLock(at("run-shared/run.lock"), "the run");
    let numNotices = 0;
    const { notices } = await watch(request, {
      report: ({ kind }) => {
        if (kind === "notice") numNotices += 1;
        setTimeout(() => void held.release(), 20);
      },
    });
    expect(notices).toEqual([
      expect.stringMatching(/^Waiting: Cannot work on the run ".*run-shared": process/),
    ]);
    expect(numNotices).toBe(1);
    const other = await takeLock(at("run-shared/watch.lock"), "the watch");
    try {
      await expect(watch(request)).rejects.toThrow(BusyError);
    } finally {
      await other.release();
    }
    expect((await watch(request)).state.trainings).toHaveLength(1);
  });

  it("tells of what fails after the first look and goes on, but is refused what fails at the first", async () => {
    await prepare("failing", [10, 20]);
    land("failing", 10);
    const request = describeRequest("failing", { tasks: fewTasks(), until: 20 });
    const { notices } = await watch(request, {
      onState: ({ trainings }) => {
        if (trainings[0]?.watch.looks.length !== 1) return;
        land("failing", 20);
        renameSync(at("base"), at("moved"));
      },
      report: (event) => {
        if (event.kind === "notice" && event.text.startsWith("Going on")) renameSync(at("moved"), at("base"));
      },
    });
    expect(notices.filter((text) => text.startsWith("Going on, though: Cannot "))).toHaveLength(1);
    expect(evaluatedIn("failing")).toEqual(["base", "sft-10", "sft-20"]);
    renameSync(at("base"), at("moved"));
    try {
      await expect(watch(request)).rejects.toThrow(at("base"));
    } finally {
      renameSync(at("moved"), at("base"));
    }
  });
});

describe("watchRun() refuses", () => {
  it("an unknown environment before it writes anything, and to guess one", async () => {
    await prepare("unasked", [10]);
    land("unasked", 10);
    const unknown = watch(describeRequest("unasked", { tasks: { environment: "chess" } }));
    await expect(unknown).rejects.toThrow('"chess"');
    expect(existsSync(at("run-unasked"))).toBe(false);
    const refusal = watch(describeRequest("unasked", { tasks: {} }));
    await expect(refusal).rejects.toThrow(UsageError);
    await expect(refusal).rejects.toThrow("no environment is chosen for its checkpoints yet");
    expect(existsSync(at("run-unasked/watch.lock"))).toBe(false);
  });

  it("other tasks than were asked before, and a run of untwist's own training", async () => {
    const evaluations = hashFiles(at("run-late/evaluations"));
    const other = watch(describeRequest("late", { tasks: fewTasks() }));
    await expect(other).rejects.toThrow("its checkpoints are asked with 16");
    expect(hashFiles(at("run-late/evaluations"))).toEqual(evaluations);
    await createFallenRun(at("run-own"));
    const own = describeRequest("own", { follow: { folders: [at("late")], out: at("run-own") } });
    await expect(watch(own)).rejects.toThrow("it is a run of untwist's own training");
  });
});
