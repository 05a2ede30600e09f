import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { createTestEffects } from "../../../test/support/effects.ts";
import { describeOnly } from "../../../test/support/job.ts";
import { plainRequests as requests } from "../../../test/support/json-server.ts";
import { createMemoryAnswerer } from "../../../test/support/memory-answerer.ts";
import { createFallenRun } from "../../../test/support/run-folder.ts";
import { createTemporaryFolder, removeFolder } from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/core/index.ts";
import { StoppedError } from "../../base/progress/index.ts";
import { HandedOverError } from "../../cluster/dispatch/index.ts";
import { answerMissing, requireOwnServers } from "./answer-missing.ts";
import type { AnswerWork, TimedAnswers } from "./answer-work.ts";
import type { CheckpointSubject } from "./answerer.ts";
import { describeAssignment } from "./assignment.ts";

const place = createTemporaryFolder();
afterAll(() => removeFolder(place));
const { folder } = await createFallenRun(join(place, "run"));

const subjects = ["a", "b", "c"].map(
  (id): CheckpointSubject => ({ kind: "checkpoint", id, path: join(place, id) }),
);

/** Work whose answers are kept in memory. */
function createWork(
  kept: Map<string, TimedAnswers> = new Map(),
): AnswerWork<CheckpointSubject> & { readonly kept: Map<string, TimedAnswers> } {
  return {
    kept,
    kind: "evaluation",
    folder,
    subjects,
    isKept: async ({ id }) => kept.has(id),
    readKept: async ({ id }) => kept.get(id)!,
    keep: async ({ id }, answers) => void kept.set(id, answers),
    nothingMissing: "nothing would be submitted",
  };
}

describe("answerMissing()", () => {
  it("asks each subject that has no answers, in order, after all were prepared, and keeps each", async () => {
    const answerer = createMemoryAnswerer(describeAssignment(folder));
    const work = createWork();
    await answerMissing(work, { answerer, effects: createTestEffects() });
    expect(answerer.calls).toEqual(["prepare a, b, c", "answer a", "answer b", "answer c"]);
    expect([...work.kept.keys()]).toEqual(["a", "b", "c"]);
    for (const { items, ms } of work.kept.values()) expect([items.length, ms]).toEqual([80, 0]);
  });

  it("goes on after a stop with the one that was not answered, and asks none twice", async () => {
    const stop = new AbortController();
    const work = createWork();
    const answerer = createMemoryAnswerer(describeAssignment(folder), { signal: stop.signal });
    const stopping = {
      ...work,
      keep: async (one: CheckpointSubject, answers: TimedAnswers) => {
        await work.keep(one, answers);
        if (one.id === "b") stop.abort();
      },
    };
    await expect(
      answerMissing(stopping, { answerer, effects: createTestEffects({ signal: stop.signal }) }),
    ).rejects.toThrow(StoppedError);
    expect([...work.kept.keys()]).toEqual(["a", "b"]);
    const again = createMemoryAnswerer(describeAssignment(folder));
    await answerMissing(work, { answerer: again, effects: createTestEffects() });
    expect(again.calls).toEqual(["prepare c", "answer c"]);
  });

  it("leaves an answerer alone that others opened, and where nothing is missing asks nobody", async () => {
    const answerer = createMemoryAnswerer(describeAssignment(folder));
    const work = createWork();
    await answerMissing(work, { answerer, effects: createTestEffects() });
    answerer.calls.length = 0;
    await answerMissing(work, { answerer, effects: createTestEffects() });
    expect(answerer.calls).toEqual([]);
  });

  it("says that nothing would be submitted where all is answered", async () => {
    const answerer = createMemoryAnswerer(describeAssignment(folder));
    const work = createWork();
    await answerMissing(work, { answerer, effects: createTestEffects() });
    const described = answerMissing(work, { answerer, job: describeOnly, effects: createTestEffects() });
    await expect(described).rejects.toThrow(new HandedOverError("nothing would be submitted", []));
  });

  it("hands nothing over that processes elsewhere could not use, whatever was checked before", async () => {
    const source = { kind: "endpoint", url: "http://127.0.0.1:1", model: "any", requests } as const;
    const handed = answerMissing(createWork(), {
      answerer: source,
      job: describeOnly,
      effects: createTestEffects(),
    });
    await expect(handed).rejects.toThrow("Cannot hand endpoint over");
  });

  it("reports the progress of repairs to their end", async () => {
    const effects = createTestEffects();
    const answerer = createMemoryAnswerer(describeAssignment(folder));
    await answerMissing({ ...createWork(), kind: "repair" }, { answerer, effects });
    const done = effects.events.flatMap((event) => (event.kind === "progress" ? [event.doneFraction] : []));
    expect(done.length).toBe(3);
    expect([...done].sort((a, b) => a - b)).toEqual(done);
    expect(done.at(-1)).toBe(1);
  });
});

describe("requireOwnServers()", () => {
  it("refuses a job whose subjects share one server", () => {
    const adapters = { kind: "adapters", url: "http://127.0.0.1:1", requests } as const;
    const endpoint = { kind: "endpoint", url: "http://127.0.0.1:1", model: "any", requests } as const;
    for (const source of [adapters, endpoint])
      expect(() => requireOwnServers(source, describeOnly)).toThrow(UsageError);
    requireOwnServers(adapters, undefined);
    requireOwnServers({ kind: "embedded" }, describeOnly);
    requireOwnServers({ kind: "server", template: "", startMs: 1, requests }, describeOnly);
  });
});
