import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { buildModel, writeCheckpointFolder } from "../../../test/support/checkpoint-folder.ts";
import { createTestEffects } from "../../../test/support/effects.ts";
import { createFakePolicies } from "../../../test/support/fake-policies.ts";
import { createFollowedRun } from "../../../test/support/followed-run.ts";
import { createTinyModel } from "../../../test/support/tiny-model.ts";
import {
  createTemporaryFolder,
  hashFiles,
  identifyFiles,
  removeFolder,
} from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/core/index.ts";
import { type Effects, StoppedError } from "../../base/progress/index.ts";
import { stampWeights } from "../../bridge/trainer/index.ts";
import { loadModel, saveModel } from "../../engine/model/index.ts";
import {
  checkpointPath,
  createRunFolder,
  type ItemRecord,
  type LineageEntry,
  parseRecipe,
  type RunFolder,
  schemaVersion,
} from "../../run/index.ts";
import { findEnvironment } from "../../tasks/environment/index.ts";
import { describeAssignment, type RunEngine } from "../answer/index.ts";
import { keepCheckpoint, keepEvaluation } from "./keep-checkpoint.ts";

const place = createTemporaryFolder();
afterAll(() => removeFolder(place));

const numTasks = 2;
const evaluation = { numTasks, seed: 1, numAttempts: 1, maxNewTokens: 8, batchSize: 1 };
const model = createTinyModel();

/** A run of our own training that has no checkpoint yet. */
const create = (name: string): Promise<RunFolder> =>
  createRunFolder(
    join(place, name),
    parseRecipe(
      `{ name: small, summary: Small, environment: general-points, base: general-points-base, evaluation: ${JSON.stringify(evaluation)} }`,
      "small.yaml",
    ),
    { schema: schemaVersion, recipe: "small", seed: 1, numThreads: 1, versions: {} },
  );

/** An engine that gives every reference answer, and keeps what it had to do. */
function createFake(
  folder: RunFolder,
  given: Partial<Effects> = {},
  onAnswer: () => void = () => undefined,
): {
  readonly engine: RunEngine;
  readonly calls: string[];
  readonly effects: ReturnType<typeof createTestEffects>;
} {
  const calls: string[] = [];
  const effects = createTestEffects(given);
  const engine: RunEngine = {
    assignment: describeAssignment(folder),
    environment: findEnvironment("general-points"),
    config: model.config,
    tokenizer: model.tokenizer,
    folder,
    effects,
    policies: createFakePolicies(async (requests) => {
      onAnswer();
      calls.push("answer");
      return requests.map(({ reference: tokens = [] }) => ({ tokens, logProbs: [], isFinished: true }));
    }, model.config.maxPositions),
    release: async () => undefined,
    loadParameters: async () => model.parameters,
    saveCheckpoint: async (id, parameters) => {
      calls.push(`save ${id}`);
      await saveModel(folder.locate(checkpointPath(id)), { ...model, parameters });
    },
  };
  return { engine, calls, effects };
}

const kept = { id: "sft-4", stage: "sft", step: 4, parent: "base", parameters: model.parameters } as const;
const entry = { id: "sft-4", stage: "sft", step: 4, parent: "base", path: "checkpoints/sft-4" };

describe("keepCheckpoint()", () => {
  it("saves, then evaluates, then enters into the lineage, each once", async () => {
    const folder = await create("whole");
    let nowMs = 0;
    const { engine, calls, effects } = createFake(folder, { now: () => (nowMs += 1000) });
    await keepCheckpoint(engine, kept);
    // A batch is one task.
    expect(calls).toEqual(["save sft-4", "answer", "answer", "answer", "answer"]);
    expect((await loadModel(folder.locate("checkpoints/sft-4"))).parameters).toEqual(model.parameters);
    expect((await folder.readEvaluation("sft-4")).map(({ parts }) => parts.solved)).toEqual(
      Array(4).fill(true),
    );
    expect(await folder.readLineage()).toEqual([entry]);
    const count = { correct: numTasks, total: numTasks };
    const [told, ...more] = effects.events;
    expect([more, told]).toEqual([
      [],
      { kind: "evaluated", checkpoint: "sft-4", ms: expect.any(Number), id: count, ood: count },
    ]);
    expect((await folder.readTimings()).evaluation).toBeGreaterThan(0);
    const before = identifyFiles(folder.path);
    calls.length = 0;
    await keepCheckpoint(engine, kept);
    expect([calls, identifyFiles(folder.path)]).toEqual([[], before]);
  });

  it("keeps after a stop the weights and nothing of the answers, and goes on to the same evaluation", async () => {
    const [whole, folder] = [await create("unstopped"), await create("stopped")];
    await keepCheckpoint(createFake(whole).engine, kept);
    const stop = new AbortController();
    const stopped = createFake(folder, { signal: stop.signal }, () => stop.abort());
    await expect(keepCheckpoint(stopped.engine, kept)).rejects.toThrow(StoppedError);
    expect(stopped.calls).toEqual(["save sft-4", "answer"]);
    expect([await folder.hasEvaluation("sft-4"), await folder.readLineage()]).toEqual([false, []]);
    const again = createFake(folder);
    await keepCheckpoint(again.engine, kept);
    expect(again.calls).toEqual(["answer", "answer", "answer", "answer"]);
    for (const part of ["checkpoints", "evaluations"])
      expect(hashFiles(folder.locate(part))).toEqual(hashFiles(whole.locate(part)));
    expect(await folder.readLineage()).toEqual([entry]);
  });

  it("only enters into the lineage what was evaluated before a kill", async () => {
    const folder = await create("killed");
    const { engine, calls } = createFake(folder);
    await keepCheckpoint(engine, kept);
    await folder.writeLineage([]);
    calls.length = 0;
    await keepCheckpoint(engine, kept);
    expect([calls, await folder.readLineage()]).toEqual([[], [entry]]);
  });
});

const describeItem = (split: "id" | "ood", index: number, more: Partial<ItemRecord> = {}): ItemRecord => ({
  split,
  index,
  promptHash: `${split}-${index}`,
  answer: "",
  numAttempts: 1,
  outcome: "correct",
  reward: 1,
  parts: { solved: true },
  ...more,
});
const items = [describeItem("id", 0), describeItem("id", 1), describeItem("ood", 0), describeItem("ood", 1)];

describe("keepEvaluation()", () => {
  it.each([
    ["ood 1", items.with(3, describeItem("ood", 1, { promptHash: "edited" }))],
    ["their number", items.slice(0, 3)],
  ] as const)(
    "keeps no answers to other tasks than those of a checkpoint before: %s",
    async (what, others) => {
      const folder = await create(`paired-${others.length}`);
      for (const id of ["base", "sft-2", "sft-4"]) await folder.addToLineage({ ...entry, stage: "sft", id });
      // Neither a checkpoint that has no answers, nor its own of before, is in the way.
      await folder.writeEvaluation("sft-4", others);
      await keepEvaluation(folder, { checkpoint: "sft-4", items, ms: 1 }, createTestEffects());
      const effects = createTestEffects();
      const refusal = keepEvaluation(folder, { checkpoint: "sft-2", items: others, ms: 1 }, effects);
      await expect(refusal).rejects.toThrow(UsageError);
      await expect(refusal).rejects.toThrow(`Cannot compare sft-2 with sft-4`);
      await expect(refusal).rejects.toThrow(`the same tasks (${what} differs)`);
      expect([existsSync(folder.locate("evaluations/sft-2.jsonl")), effects.events]).toEqual([false, []]);
    },
  );

  it("notes what the weights of a followed checkpoint were, unless they were written again meanwhile", async () => {
    const path = await writeCheckpointFolder(join(place, "followed"), buildModel("followed"));
    const folder = await createFollowedRun(join(place, "run"), { base: path, "sft-1": path, "sft-2": path });
    const stamps = [await stampWeights(path), "0123456789abcdef", undefined];
    const stamped = (await folder.readLineage()).map((one, index): LineageEntry => {
      const stamp = stamps[index];
      return { ...one, ...(stamp !== undefined && { stamp }) };
    });
    await folder.writeLineage(stamped);
    for (const { id } of stamped)
      await keepEvaluation(folder, { checkpoint: id, items, ms: 1 }, createTestEffects());
    const bytes = readFileSync(join(path, "model.safetensors"));
    const hash = createHash("sha256").update(`model.safetensors ${bytes.length}\n`).update(bytes);
    const [base, ...others] = stamped;
    const content = hash.digest("hex").slice(0, 16);
    expect(await folder.readLineage()).toEqual([{ ...base, content }, ...others]);
  });

  it("tells of answers that were cut off where the limit is not the training's own", async () => {
    const cut = items.map((item) => ({ ...item, ...(item.index === 1 && { outcome: "cut off" }) }));
    const tell = async (folder: RunFolder): Promise<readonly string[]> => {
      const effects = createTestEffects();
      await keepEvaluation(folder, { checkpoint: "sft-1", items: cut, ms: 1 }, effects);
      return effects.notices();
    };
    const tasks = { environment: "general-points", evaluation };
    expect(await tell(await createFollowedRun(join(place, "cut"), {}, tasks))).toEqual([
      expect.stringMatching(/^sft-1: 2 of 4 answers are not complete .*: 2 cut off at 8 tokens/),
    ]);
    expect(await tell(await create("own"))).toEqual([]);
  });
});
