import { statSync, utimesSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { createMachine, createTestEffects } from "../../../test/support/effects.ts";
import { createFollowedRun } from "../../../test/support/followed-run.ts";
import { writeSums } from "../../../test/support/questions.ts";
import { createFallenRun } from "../../../test/support/run-folder.ts";
import { createTinyModel } from "../../../test/support/tiny-model.ts";
import { createTemporaryFolder, hashFiles, removeFolder } from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/core/index.ts";
import { type JobPlan, obtainJob, type PieceHandler } from "../../cluster/job/index.ts";
import { saveModel } from "../../engine/model/index.ts";
import type { RunFolder } from "../../run/index.ts";
import { openAnswerPieces, planAnswerJob, readPieceAnswers } from "./answer-job.ts";
import type { StandaloneSource } from "./answer-source.ts";
import type { RepairSubject, Subject } from "./answerer.ts";

const place = createTemporaryFolder();
afterAll(() => removeFolder(place));

const { folder } = await createFallenRun(join(place, "fallen"));
const checkpoint = (id: string, path = folder.locate(`checkpoints/${id}`)): Subject => ({
  kind: "checkpoint",
  id,
  path,
});
const repair: RepairSubject = {
  kind: "repair",
  id: "whole matrices",
  grid: "few",
  key: "0123",
  target: { id: "sft-3", path: folder.locate("checkpoints/sft-3") },
  source: { id: "sft-1", path: folder.locate("checkpoints/sft-1") },
  operation: { operation: "rollback", strength: 1 },
  isIdentity: false,
};
const embedded: StandaloneSource = { kind: "embedded" };
const server: StandaloneSource = {
  kind: "server",
  template: "serve {path} {port}",
  startMs: 1000,
  requests: { api: "chat", temperature: 0, fields: {}, concurrency: 1, timeoutMs: 1000, maxTries: 1 },
};

const plan = (
  subjects: readonly Subject[],
  source: StandaloneSource = embedded,
  run: RunFolder = folder,
): Promise<JobPlan> => planAnswerJob({ kind: "evaluation", folder: run, subjects }, source);
const listKeys = ({ pieces }: JobPlan): readonly (string | undefined)[] => pieces.map(({ key }) => key);

describe("planAnswerJob()", () => {
  it("makes a piece of each subject, and estimates its time and memory", async () => {
    // Two tables of 30 × 24; in two layers 24 × 24 + 40 × 24 + 24; and 12 × 20 that no step changes.
    const numParameters = 2 * 720 + 2 * (576 + 960 + 24) + 240;
    const numTokens = 2 * 40 * 32;
    const seconds = 2 + (2 * numParameters * numTokens) / 2e9;
    const { pieces } = await plan([checkpoint("sft-1"), repair]);
    expect(pieces.map(({ name }) => name)).toEqual(["sft-1", "whole matrices"]);
    expect(pieces.map(({ bytes }) => bytes)).toEqual([16 * numParameters, 64 * numParameters]);
    for (const piece of pieces) expect(piece.seconds).toBeCloseTo(seconds, 9);
    const [served] = (await plan([checkpoint("sft-1")], server)).pieces;
    const { size } = statSync(folder.locate("checkpoints/sft-1/model.safetensors"));
    expect(served).toMatchObject({ seconds: 1800, bytes: 4 * 2 ** 30 + size });
  });

  it("tells other processes absolute folders, and of a model in memory nothing", async () => {
    const path = folder.locate("checkpoints/sft-1");
    const inMemory = { ...checkpoint("sft-1", relative(process.cwd(), path)), model: createTinyModel() };
    expect(await plan([inMemory])).toEqual(await plan([checkpoint("sft-1")]));
    expect((await plan([inMemory])).input).toMatchObject({
      run: folder.path,
      subjects: [{ kind: "checkpoint", id: "sft-1", path }],
      source: { kind: "embedded" },
    });
  });

  it("gives a piece the same key whoever else is asked, and another one where its answers may be others", async () => {
    const path = join(place, "copied");
    await saveModel(path, createTinyModel());
    const one = checkpoint("one", path);
    const [key] = listKeys(await plan([one]));
    expect(key).toMatch(/^[0-9a-f]{16}$/);
    expect(listKeys(await plan([checkpoint("base"), one]))[1]).toBe(key);
    // How chats are put is what the run was asked, not what this command says.
    expect(listKeys(await plan([one], { kind: "embedded", template: "none" }))).toEqual([key]);
    const asked = folder.recipe.evaluation ?? { numTasks: 0 };
    const changed = {
      ...folder,
      recipe: { ...folder.recipe, evaluation: { ...asked, seed: 2 } },
    } as RunFolder;
    const others = [await plan([one], server), await plan([one], embedded, changed)];
    utimesSync(join(path, "tokenizer.json"), 1, 1);
    others.push(await plan([one]));
    const keys = others.flatMap(listKeys);
    expect(new Set([key, ...keys]).size).toBe(4);
  });

  it("takes answers for others once questions, judges or the source of a repair changed", async () => {
    const sums = join(place, "sums");
    const environment = writeSums(sums, 2);
    const evaluation = { numTasks: 2, seed: 1, numAttempts: 1, maxNewTokens: 8, batchSize: 1 };
    const model = join(place, "source");
    await saveModel(model, createTinyModel());
    const subject = { ...repair, source: { id: "sft-1", path: model } };
    const run = await createFollowedRun(join(place, "followed"), {}, { environment, evaluation });
    const keys = new Set(listKeys(await plan([subject], embedded, run)));
    const asking = { engine: "embedded", template: "model" } as const;
    const templated = { ...run, recipe: { ...run.recipe, asking } } as RunFolder;
    for (const key of listKeys(await plan([subject], embedded, templated))) keys.add(key);
    writeFileSync(join(sums, "ood.jsonl"), '{"question": "2 plus 2 ?", "answer": "4"}\n'.repeat(2));
    for (const key of listKeys(await plan([subject], embedded, run))) keys.add(key);
    utimesSync(join(model, "model.safetensors"), 1, 1);
    for (const key of listKeys(await plan([subject], embedded, run))) keys.add(key);
    expect(keys.size).toBe(4);
  });
});

/** What a piece gives, carried out on one core. */
const carryOut = (handler: PieceHandler, index: number): Promise<unknown> =>
  handler.carryOut({ name: "any", seconds: 1, bytes: 0, index }, { cores: 1, bytes: 2 ** 30 });

describe("openAnswerPieces()", () => {
  const effects = createTestEffects({ machine: createMachine(join(place, "cache")) });

  it("lets a subject answer as a plan in a file says, reads the run only, and keeps what was measured", async () => {
    const model = join(place, "tiny");
    await saveModel(model, createTinyModel());
    const evaluation = { numTasks: 2, seed: 1, numAttempts: 1, maxNewTokens: 8, batchSize: 2 };
    const asked = { environment: "general-points", promptFormat: "compact", evaluation } as const;
    const run = await createFollowedRun(join(place, "answered"), { base: model }, asked);
    const whole = await plan([checkpoint("base", model)], embedded, run);
    const before = hashFiles(run.path);
    let nowMs = 0;
    const handler = openAnswerPieces(JSON.parse(JSON.stringify(whole.input)), {
      ...effects,
      now: () => (nowMs += 5),
    });
    const result = await carryOut(handler, 0);
    await handler.close();
    expect(hashFiles(run.path)).toEqual(before);
    const origin = { args: [], folder: place, at: "2026-01-01T00:00:00Z" };
    const job = await obtainJob(join(place, "jobs"), { plan: whole, origin });
    await job.keepResult(0, result);
    const { ms, items, ...rest } = await readPieceAnswers(job, 0);
    expect([ms, rest]).toEqual([5, {}]);
    expect(items.map(({ split, index }) => `${split} ${index}`)).toEqual(["id 0", "id 1", "ood 0", "ood 1"]);
  });

  it("refuses what another version wrote, and lets each piece fail by what is wrong with the run", async () => {
    const { input } = await plan([checkpoint("sft-1"), checkpoint("sft-2")]);
    expect(() => openAnswerPieces({ run: folder.path, subjects: [] }, effects)).toThrow(UsageError);
    const gone = { ...(input as object), run: join(place, "gone") };
    const handler = openAnswerPieces(gone, effects);
    for (const index of [0, 1]) await expect(carryOut(handler, index)).rejects.toThrow(join(place, "gone"));
    await handler.close();
  });
});

describe("readPieceAnswers()", () => {
  it("gives how far a repair moved, and refuses a result that is none", async () => {
    const origin = { args: [], folder: place, at: "2026-01-01T00:00:00Z" };
    const job = await obtainJob(join(place, "jobs"), { plan: await plan([repair]), origin });
    await job.keepResult(0, { ms: 3, moved: 0.25, items: [] });
    expect(await readPieceAnswers(job, 0)).toEqual({ ms: 3, moved: 0.25, items: [] });
    await job.keepResult(0, { ms: 3, items: [{ split: "id" }] });
    await expect(readPieceAnswers(job, 0)).rejects.toThrow(UsageError);
  });
});
