import { writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { buildModel, writeCheckpointFolder } from "../../../test/support/checkpoint-folder.ts";
import { createTestEffects } from "../../../test/support/effects.ts";
import { createFollowedRun } from "../../../test/support/followed-run.ts";
import { type JsonServer, plainRequests, startJsonServer } from "../../../test/support/json-server.ts";
import { sumWords, writeQuestions, writeSums } from "../../../test/support/questions.ts";
import { createFallenRun } from "../../../test/support/run-folder.ts";
import { createTinyModel } from "../../../test/support/tiny-model.ts";
import { createTemporaryFolder, identifyFiles, removeFolder } from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/core/index.ts";
import { type FollowRecipe, openRunFolder, type RunFolder } from "../../run/index.ts";
import type { RequestOptions, RunSource } from "../answer/index.ts";
import { requireSameAsking, type Settling, settleTasks } from "./settle-tasks.ts";

const place = createTemporaryFolder();
const servers: JsonServer[] = [];
afterAll(() => {
  for (const server of servers) server.close();
  removeFolder(place);
});

const sums = writeSums(join(place, "sums"), 3);
const others = writeSums(join(place, "others"), 4);

const checkpoints = { base: join(place, "base"), "sft-1": join(place, "sft-1") };
for (const [id, path] of Object.entries(checkpoints)) await writeCheckpointFolder(path, buildModel(id));

const requests = plainRequests;
/** A server that need not be there: whoever settles tasks asks nobody, but for a judge. */
const served = (change: Partial<RequestOptions> = {}): RunSource => ({
  kind: "adapters",
  url: "http://127.0.0.1:1",
  requests: { ...requests, ...change },
});
const embedded: RunSource = { kind: "embedded" };

let numRuns = 0;
/** A followed run of two checkpoints. */
const follow = (more: Partial<FollowRecipe> = {}): Promise<RunFolder> =>
  createFollowedRun(join(place, `run-${numRuns++}`), checkpoints, more);

/** Settles what a run is asked: sums through a server, unless said otherwise. */
async function settle(folder: RunFolder, change: Partial<Settling> = {}): Promise<RunFolder> {
  return await settleTasks(folder, {
    choice: { environment: sums },
    source: served(),
    effects: createTestEffects(),
    isDry: false,
    model: undefined,
    missing: await folder.readLineage(),
    ...change,
  });
}

/** A run that was asked this, and whose base has answered. */
async function answer(change: Partial<Settling> = {}): Promise<RunFolder> {
  const folder = await settle(await follow(), change);
  await folder.writeEvaluation("base", []);
  return folder;
}

/** Expects a refusal with these words, that leaves the run as it is. */
async function refuse(
  folder: RunFolder,
  change: Partial<Settling>,
  ...words: readonly string[]
): Promise<void> {
  const before = identifyFiles(folder.path);
  const refusal = settle(folder, change);
  await expect(refusal).rejects.toThrow(UsageError);
  for (const word of words) await expect(refusal).rejects.toThrow(word);
  expect(identifyFiles(folder.path)).toEqual(before);
}

/** Two that no test changes: one that was asked nothing yet, and one that has an answer. */
const [unasked, answered] = [await follow(), await answer()];

describe("settleTasks() of a followed run", () => {
  it("settles in full what nobody said yet, and keeps it with the run", async () => {
    const folder = await follow();
    const settled = await settle(folder, { choice: { environment: sums, seed: 7 } });
    expect(settled.recipe).toMatchObject({
      environment: sums,
      promptFormat: "chat",
      evaluation: { numTasks: 3, seed: 7, numAttempts: 1, maxNewTokens: 512, batchSize: 128 },
    });
    expect(settled.recipe).toHaveProperty("asking", {
      engine: "server",
      api: "chat",
      temperature: 0,
      fields: {},
    });
    expect((await openRunFolder(folder.path)).recipe).toEqual(settled.recipe);
  });

  it("says what would be asked without writing it, where nothing may be written", async () => {
    const folder = await follow();
    const before = identifyFiles(folder.path);
    expect((await settle(folder, { isDry: true })).recipe).toMatchObject({ environment: sums });
    expect(identifyFiles(folder.path)).toEqual(before);
  });

  it("leaves a run alone that is told again what it is asked, by whatever way to the questions", async () => {
    const settled = await settle(await follow());
    const before = identifyFiles(settled.path);
    expect(await settle(settled)).toBe(settled);
    const environment = `items:${relative(process.cwd(), join(place, "sums"))}`;
    expect(await settle(settled, { choice: { environment } })).toBe(settled);
    await settled.writeEvaluation("base", []);
    expect(await settle(settled, { choice: { environment, numTasks: 3 } })).toBe(settled);
    expect(await settle(settled, { choice: {} })).toBe(settled);
    expect(identifyFiles(settled.path)).toMatchObject(before);
  });

  it("binds nobody as long as nothing was answered", async () => {
    const settled = await settle(await follow());
    const again = await settle(settled, { choice: { environment: others } });
    expect(again.recipe).toMatchObject({ environment: others, evaluation: { numTasks: 4 } });
    // Where only something else is said, the environment of before stays.
    const fewer = await settle(again, { choice: { numTasks: 2 } });
    expect(fewer.recipe).toMatchObject({ environment: others, evaluation: { numTasks: 2 } });
  });

  it.each([
    [{ environment: others }, `environment ${others}`, sums],
    [{ promptFormat: "compact" }, "prompt format compact", "chat"],
    [{ numTasks: 2 }, "numTasks 2", "3"],
    [{ seed: 2 }, "seed 2", "1"],
    [{ numAttempts: 2 }, "numAttempts 2", "1"],
    [{ maxNewTokens: 8 }, "maxNewTokens 8", "512"],
  ] as const)("refuses other tasks once there are answers: %j", async (choice, wanted, settled) => {
    const words = `with ${wanted}: its checkpoints are asked with ${settled}, and only the same tasks`;
    await refuse(answered, { choice }, words, "follow the checkpoints into another run");
  });

  it("refuses to guess an environment, and a single task, which cannot be halved", async () => {
    await refuse(
      unasked,
      { choice: {} },
      "no environment is chosen for its checkpoints yet",
      "environment general-points",
    );
    const single = writeSums(join(place, "single"), 1);
    await refuse(unasked, { choice: { environment: single } }, "Cannot ask 1 task", single);
    await refuse(unasked, { choice: { environment: sums, numTasks: 1 } }, "raise numTasks");
  });

  it("refuses chats by the template of some and by plain text to others, in whatever order they come", async () => {
    const [plain, templated] = [join(place, "plain"), join(place, "templated")];
    for (const path of [plain, templated]) await writeCheckpointFolder(path, buildModel("chat"));
    writeFileSync(join(templated, "chat_template.jinja"), "{{ messages[0].content }}");
    const entries = [
      { id: "a", path: plain },
      { id: "b", path: templated },
    ];
    for (const missing of [entries, entries.toReversed()])
      await refuse(unasked, { source: embedded, missing }, "b has a chat template and a has none");
    const source = { ...embedded, template: "none" } as const;
    await settle(unasked, { source, missing: entries, isDry: true });
    await settle(unasked, { missing: entries, isDry: true });
    const choice = { environment: "general-points", promptFormat: "compact" } as const;
    await settle(unasked, { choice, source: embedded, missing: entries, isDry: true });
  });
});

describe("settleTasks() of a run that trains", () => {
  it("takes what its recipe says, and nothing else", async () => {
    const { folder } = await createFallenRun(join(place, "trained"));
    expect(await settle(folder, { choice: {}, source: embedded })).toBe(folder);
    expect(await settle(folder, { choice: { numTasks: 40 }, source: embedded })).toBe(folder);
    const words = ["numTasks 41: its checkpoints are asked with 40", "asked what its recipe says"];
    await refuse(folder, { choice: { numTasks: 41 }, source: embedded }, ...words);
  });
});

describe("how checkpoints are asked", () => {
  it.each([
    [{ api: "completions" }, 'api "completions"', '"chat"'],
    [{ temperature: 1 }, "temperature 1", "0"],
    [{ fields: { top_p: 0.5 } }, 'fields {"top_p":0.5}', "{}"],
  ] as const)("is the same at a server: %j is refused", async (change, wanted, settled) => {
    const words = `with ${wanted}: its checkpoints are asked with ${settled}`;
    await refuse(answered, { source: served(change) }, words);
  });

  it("is the same whatever the order of a request's fields", async () => {
    const [one, other] = [
      { top_p: 0.5, top_k: 4 },
      { top_k: 4, top_p: 0.5 },
    ];
    const folder = await answer({ source: served({ fields: one }) });
    expect(await settle(folder, { source: served({ fields: other }) })).toBe(folder);
  });

  it("is either by a server or by the embedded engine", async () => {
    const choice = {};
    await refuse(answered, { choice, source: embedded }, "on the embedded engine", "through a server");
    const model = createTinyModel({ words: sumWords });
    const own = await answer({ source: embedded, model });
    await refuse(
      own,
      { choice },
      "through a server: its other checkpoints were asked on the embedded engine",
    );
  });

  it("is by the same template as before, which is the model's own where it has one", async () => {
    const model = createTinyModel({ words: sumWords, template: "{{ messages[0].content }}" });
    const folder = await answer({ source: embedded, model });
    expect(folder.recipe).toHaveProperty("asking", { engine: "embedded", template: "model" });
    expect(await settle(folder, { source: embedded, model })).toBe(folder);
    const plain = { ...embedded, template: "none" } as const;
    await refuse(folder, { source: plain, model }, 'template "none": its checkpoints are asked with "model"');
  });

  it("was by plain text on the embedded engine in runs of older versions, which did not say", async () => {
    const evaluation = { numTasks: 3, seed: 1, numAttempts: 1, maxNewTokens: 8, batchSize: 128 };
    const folder = await follow({ environment: sums, evaluation });
    await folder.writeEvaluation("base", []);
    const model = createTinyModel({ words: sumWords, template: "{{ messages[0].content }}" });
    expect(await settle(folder, { source: embedded, model })).toBe(folder);
    await refuse(folder, { source: { ...embedded, template: "model" }, model }, 'template "model"', '"none"');
    await refuse(folder, {}, "on the embedded engine");
  });

  it("binds no run that was never asked, and none that trains", async () => {
    const { folder } = await createFallenRun(join(place, "asked"));
    const now = { source: served(), model: undefined, effects: createTestEffects(), missing: [] };
    for (const one of [folder, unasked]) await requireSameAsking(one, now);
  });
});

describe("the judge of a run", () => {
  const judged = writeQuestions(join(place, "judged"), {
    id: [1, 2].map((n) => ({ question: `${n} ?`, answer: "x", grader: "judge" })),
    ood: [3, 4].map((n) => ({ question: `${n} ?`, answer: "x", grader: "judge" })),
  });

  /** A judge that only says who it is. */
  async function startJudge(model: string): Promise<RunSource> {
    const server = await startJsonServer(({ route }) =>
      route === "models" ? { data: [{ id: model, root: `/judges/${model}` }] } : undefined,
    );
    servers.push(server);
    return served({ judge: { url: server.url, model } });
  }

  it("is kept with the run, and no other may grade, nor none", async () => {
    const choice = { environment: judged };
    const source = await startJudge("first");
    const folder = await answer({ choice, source });
    const judge = { model: "first", root: "/judges/first", prompt: expect.stringMatching(/^[0-9a-f]{16}$/) };
    expect(folder.recipe).toHaveProperty("asking.judge", judge);
    expect(await settle(folder, { choice, source })).toBe(folder);
    const second = await startJudge("second");
    await refuse(folder, { choice, source: second }, "by another judge", '"first"', '"second"');
    await refuse(folder, { choice }, "take a judge", "judge.url");
    // Where all is answered, nobody grades.
    expect(await settle(folder, { choice, missing: [] })).toBe(folder);
  });
});
