import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { startAddingServer } from "../../../test/support/adding-server.ts";
import { writeDiagonalFolder } from "../../../test/support/checkpoint-folder.ts";
import { createMachine, createTestEffects } from "../../../test/support/effects.ts";
import { createFollowedRun } from "../../../test/support/followed-run.ts";
import { describeOnly } from "../../../test/support/job.ts";
import { countQuestions, plainRequests } from "../../../test/support/json-server.ts";
import { createMemoryAnswerer } from "../../../test/support/memory-answerer.ts";
import { writeSums } from "../../../test/support/questions.ts";
import { createTinyModel } from "../../../test/support/tiny-model.ts";
import { createTemporaryFolder, identifyFiles, removeFolder } from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/core/index.ts";
import { StoppedError } from "../../base/progress/index.ts";
import { saveModel } from "../../engine/model/index.ts";
import { type FollowRecipe, parseRepairGrid, type RunFolder, withLock } from "../../run/index.ts";
import { renewSummary } from "../outcome/index.ts";
import { type RepairRunOptions, repairRun } from "./repair-run.ts";

const place = createTemporaryFolder();

const checkpoints = {
  base: join(place, "base"),
  "sft-1": await writeDiagonalFolder(join(place, "peak"), [5, 3, 2, 1]),
  "sft-2": await writeDiagonalFolder(join(place, "end"), [4, 3, 2, 1]),
};
await saveModel(checkpoints.base, createTinyModel());

let onQuestion = (): void => undefined;
const server = await startAddingServer(checkpoints["sft-2"], ({ route }) => {
  if (route === "chat/completions") onQuestion();
  return true;
});
afterAll(() => {
  server.close();
  removeFolder(place);
});

const numTasks = 4;
const requests = { ...plainRequests, maxTries: 2 };
const source = { kind: "adapters", url: server.url, requests } as const;
const asked: Partial<FollowRecipe> = {
  environment: writeSums(join(place, "sums"), numTasks),
  evaluation: { numTasks, seed: 1, numAttempts: 1, maxNewTokens: 8, batchSize: 1 },
  asking: { engine: "server", api: "chat", temperature: 0, fields: {} },
};

const describeGrid = (name: string, top = 1): NonNullable<Exclude<FollowRecipe["repairs"], false>>[number] =>
  parseRepairGrid(`name: ${name}\ngrid: [{ what: [values], top: [${top}] }]\n`, "grid.yaml");

/** A followed run whose end has solved every task: repairs at the server, whose sums are one too large, solve none. */
async function open(name: string, more: Partial<FollowRecipe> = {}): Promise<RunFolder> {
  const run = await createFollowedRun(join(place, name), checkpoints, { ...asked, ...more });
  const splits = ["id", "ood"] as const;
  const tasks = { environment: "", promptFormat: "chat", evaluation: asked.evaluation! } as const;
  const answerer = createMemoryAnswerer({ splits, tasks }, { solves: ({ id }) => id !== "base" });
  for (const [id, path] of Object.entries(checkpoints)) {
    const { items } = await answerer.answer({ kind: "checkpoint", id, path });
    await run.writeEvaluation(id, items);
  }
  return run;
}

const repair = (
  { path }: RunFolder,
  names: readonly string[] | undefined,
  options: Partial<RepairRunOptions> = {},
): ReturnType<typeof repairRun> =>
  repairRun(
    path,
    names?.map((name, index) => describeGrid(name, index + 1)),
    { source, effects: createTestEffects({ machine: createMachine(join(place, "cache")) }), ...options },
  );

/** A finished run, and what was found when it was repaired without a stop. */
const given = await open("given");
await renewSummary(given);
const records = await repair(given, ["thin", "thick"]);

describe("repairRun()", () => {
  it("carries out the grids that it is given, and puts each into the summary of a finished run once", async () => {
    expect(records.map(({ name, target, source: from }) => [name, from, target])).toEqual([
      ["thin", "sft-1", "sft-2"],
      ["thick", "sft-1", "sft-2"],
    ]);
    for (const { repairs } of records)
      expect(repairs).toMatchObject([
        { role: "edit", ood: { correct: 0, total: numTasks }, gain: { estimate: -1, numItems: 2 } },
      ]);
    // 4 becomes 5, where ‖target‖² = 4² + 3² + 2² + 1².
    expect(records[0]?.repairs[0]?.moved).toBe(Number((1 / Math.sqrt(30)).toPrecision(6)));
    expect((await given.readSummary())?.repairs).toEqual(records);
    const [before, numAsked] = [identifyFiles(join(given.path, "repairs/thick")), countQuestions(server)];
    // The grid of a name that is there takes its place; others stay.
    const [again] = await repair(given, ["thin"]);
    expect([again, countQuestions(server)]).toEqual([records[0], numAsked]);
    expect((await given.readSummary())?.repairs).toEqual(records);
    expect(identifyFiles(join(given.path, "repairs/thick"))).toEqual(before);
  });

  it("carries out those of the recipe where none are given, and leaves no adapters behind", async () => {
    const run = await open("recipe", { repairs: [describeGrid("own")] });
    const own = await repair(run, undefined);
    expect(own.map(({ name }) => name)).toEqual(["own"]);
    expect(existsSync(run.locate("repairs/own/record.json"))).toBe(true);
    // It is not finished: nothing says what it comes to.
    expect(await run.readSummary()).toBeUndefined();
    expect([
      server.adapters.size,
      Object.keys(identifyFiles(run.path)).filter((name) => /adapters/.test(name)),
    ]).toEqual([0, []]);
    const none = await open("none", { repairs: false });
    await renewSummary(none);
    const before = identifyFiles(none.path);
    expect([await repair(none, undefined), identifyFiles(none.path)]).toEqual([[], before]);
  });

  it("goes on after a stop to the same records, and asks nothing twice", async () => {
    const run = await open("stopped");
    const numBefore = countQuestions(server);
    const stop = new AbortController();
    // In the middle of the second repair.
    onQuestion = () => {
      if (countQuestions(server) === numBefore + 2 * numTasks + 3) stop.abort();
    };
    const machine = createMachine(join(place, "cache"));
    const stopped = repair(run, ["thin", "thick"], {
      effects: createTestEffects({ machine, signal: stop.signal }),
    });
    await expect(stopped).rejects.toThrow(StoppedError);
    expect([existsSync(run.locate("repairs/thin/record.json")), server.adapters.size]).toEqual([true, 0]);
    expect(existsSync(run.locate("repairs/thick/record.json"))).toBe(false);
    expect(await repair(run, ["thin", "thick"])).toEqual(records);
    // The question that was on its way may be asked again.
    expect(countQuestions(server) - numBefore).toBeLessThanOrEqual(2 * 2 * numTasks + 1);
  });

  it("refuses a run that has nothing to repair, or not yet, and asks nobody", async () => {
    const numBefore = server.requests.length;
    const unevaluated = await createFollowedRun(join(place, "unevaluated"), checkpoints, asked);
    const base = await open("base-only");
    await base.writeLineage((await base.readLineage()).slice(0, 1));
    for (const [run, words] of [
      [unevaluated, `its checkpoints are not evaluated yet; do it with: evaluating "${unevaluated.path}"`],
      [base, "it has no SFT stage"],
    ] as const) {
      await expect(repair(run, ["thin"])).rejects.toThrow(UsageError);
      await expect(repair(run, ["thin"])).rejects.toThrow(words);
    }
    const locked = await open("locked");
    await withLock(locked, async () => await expect(repair(locked, ["thin"])).rejects.toThrow(UsageError));
    expect(server.requests.length).toBe(numBefore);
  });

  it("refuses to ask repairs otherwise than the checkpoints that they are compared with", async () => {
    const run = await open("otherwise");
    const before = identifyFiles(run.path);
    const warm = { ...source, requests: { ...requests, temperature: 1 } };
    await expect(repair(run, ["thin"], { source: warm })).rejects.toThrow("temperature 1");
    const embedded = repair(run, ["thin"], { source: { kind: "embedded" } });
    await expect(embedded).rejects.toThrow("its other checkpoints were asked through a server");
    await expect(repair(run, ["thin"], { job: describeOnly })).rejects.toThrow("one server answers for all");
    expect(identifyFiles(run.path)).toEqual(before);
  });
});
