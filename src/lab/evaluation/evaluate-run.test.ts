import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { writeAdapterFolder } from "../../../test/support/adapter-folder.ts";
import { startAddingServer } from "../../../test/support/adding-server.ts";
import { buildModel, writeCheckpointFolder } from "../../../test/support/checkpoint-folder.ts";
import { createMachine, createTestEffects } from "../../../test/support/effects.ts";
import { createFollowedRun } from "../../../test/support/followed-run.ts";
import { describeOnly } from "../../../test/support/job.ts";
import {
  countQuestions,
  describeCompletion,
  type JsonServer,
  plainRequests,
  startJsonServer,
} from "../../../test/support/json-server.ts";
import { createMemoryAnswerer } from "../../../test/support/memory-answerer.ts";
import { writeQuestions, writeSums } from "../../../test/support/questions.ts";
import { createFallenRun, fallenTasks } from "../../../test/support/run-folder.ts";
import { createTinyModel } from "../../../test/support/tiny-model.ts";
import {
  createTemporaryFolder,
  hashFiles,
  identifyFiles,
  removeFolder,
} from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/core/index.ts";
import { StoppedError } from "../../base/progress/index.ts";
import { HandedOverError } from "../../cluster/dispatch/index.ts";
import { saveModel } from "../../engine/model/index.ts";
import { openRunFolder, type RunFolder, withLock } from "../../run/index.ts";
import type { RequestOptions } from "../answer/index.ts";
import { summarize } from "../outcome/index.ts";
import { type EvaluatedRun, type EvaluationOptions, evaluateRun } from "./evaluate-run.ts";

const place = createTemporaryFolder();
const base = await writeCheckpointFolder(join(place, "base"), buildModel("base"));
const server = await startAddingServer(base);
const judges: JsonServer[] = [];
afterAll(() => {
  for (const one of [server, ...judges]) one.close();
  removeFolder(place);
});

const numTasks = 3;
const sums = writeSums(join(place, "sums"), numTasks);
const requests = { ...plainRequests, concurrency: 2, maxTries: 2 };
const source = { kind: "adapters", url: server.url, requests } as const;
const embedded = { kind: "embedded" } as const;
const machine = createMachine(join(place, "cache"));

/** A run of a base and two adapters to it, in a place of its own. */
async function follow(name: string): Promise<RunFolder> {
  const modules = { "model.layers.0.self_attn.q_proj": [24, 24, 4] } as const;
  const write = (id: string): Promise<string> =>
    writeAdapterFolder(join(place, name, id), { base, modules, seed: id });
  const checkpoints = { base, "sft-1": await write("sft-1"), "sft-2": await write("sft-2") };
  return await createFollowedRun(join(place, name, "run"), checkpoints);
}

const evaluate = ({ path }: RunFolder, options: Partial<EvaluationOptions> = {}): Promise<EvaluatedRun> =>
  evaluateRun(path, { environment: sums }, { effects: createTestEffects({ machine }), source, ...options });

/** A run that was evaluated without a stop, and what was told. */
const whole = await follow("whole");
const told = createTestEffects({ machine });
const first = await evaluate(whole, { effects: told });

/** How many OOD tasks each checkpoint solved. */
const listSolved = ({ summary }: Pick<EvaluatedRun, "summary">): readonly (readonly [string, number])[] =>
  summary.checkpoints.map(({ id, accuracy }) => [id, accuracy.ood.correct]);

describe("evaluateRun() of a followed run", () => {
  it("evaluates every checkpoint once, and sums up what each solved", async () => {
    expect(first.evaluated).toEqual(["base", "sft-1", "sft-2"]);
    // The sums of adapters are one too large.
    expect(listSolved(first)).toEqual([
      ["base", numTasks],
      ["sft-1", 0],
      ["sft-2", 0],
    ]);
    const count = (correct: number): object => ({ id: { correct, total: 3 }, ood: { correct, total: 3 } });
    expect(told.events.filter(({ kind }) => kind === "planned" || kind === "evaluated")).toEqual([
      { kind: "planned", stages: [], numEvaluations: 3 },
      { kind: "evaluated", checkpoint: "base", ms: 0, ...count(3) },
      { kind: "evaluated", checkpoint: "sft-1", ms: 0, ...count(0) },
      { kind: "evaluated", checkpoint: "sft-2", ms: 0, ...count(0) },
    ]);
    const [kept, numAsked] = [identifyFiles(join(whole.path, "evaluations")), countQuestions(server)];
    const again = await evaluate(whole);
    expect([again.evaluated, countQuestions(server)]).toEqual([[], numAsked]);
    expect(identifyFiles(join(whole.path, "evaluations"))).toEqual(kept);
    expect(await whole.readSummary()).toEqual(again.summary);
  });

  it("keeps after a stop what is evaluated, and goes on with the rest to the same answers", async () => {
    const run = await follow("stopped");
    const numBefore = countQuestions(server);
    const stop = new AbortController();
    const effects = createTestEffects({ machine, signal: stop.signal });
    const onEvaluated = async (): Promise<void> => stop.abort();
    await expect(evaluate(run, { effects, onEvaluated })).rejects.toThrow(StoppedError);
    const has = async (): Promise<readonly boolean[]> =>
      await Promise.all(["base", "sft-1", "sft-2"].map((id) => run.hasEvaluation(id)));
    expect(await has()).toEqual([true, false, false]);
    const kept = identifyFiles(join(run.path, "evaluations"));
    expect((await evaluate(run)).evaluated).toEqual(["sft-1", "sft-2"]);
    expect(identifyFiles(join(run.path, "evaluations"))).toMatchObject(kept);
    expect(hashFiles(join(run.path, "evaluations"))).toEqual(hashFiles(join(whole.path, "evaluations")));
    expect(countQuestions(server) - numBefore).toBe(3 * 2 * numTasks);
  });

  it("leaves out what its trainer has deleted, and tells of what was never evaluated", async () => {
    const run = await follow("deleted");
    removeFolder(join(place, "deleted", "sft-2"));
    const effects = createTestEffects({ machine });
    expect((await evaluate(run, { effects })).evaluated).toEqual(["base", "sft-1"]);
    const gone = `sft-2 cannot be evaluated any more: ${join(place, "deleted", "sft-2")} is gone`;
    expect(effects.notices().filter((text) => text.includes("gone"))).toEqual([gone]);
    removeFolder(join(place, "deleted", "sft-1"));
    const later = createTestEffects({ machine });
    // What was evaluated in time still counts.
    expect(listSolved(await evaluate(run, { effects: later }))).toEqual([
      ["base", numTasks],
      ["sft-1", 0],
    ]);
    expect(later.notices()).toEqual([gone]);
  });

  it("describes a job without writing anything into the run", async () => {
    const run = await follow("described");
    const before = identifyFiles(run.path);
    const standalone = { kind: "server", template: "serve {path} {port}", startMs: 1, requests } as const;
    const described = evaluate(run, { source: standalone, job: describeOnly });
    await expect(described).rejects.toThrow(HandedOverError);
    await expect(described).rejects.toThrow("3 pieces of evaluation");
    expect(identifyFiles(run.path)).toEqual(before);
    // Adapters share one server, which processes elsewhere do not have.
    await expect(evaluate(run, { job: describeOnly })).rejects.toThrow("one server answers for all");
  });

  it("refuses a run that somebody else works on, and a model that cannot end its answers", async () => {
    const run = await follow("locked");
    await withLock(run, async () => {
      await expect(evaluate(run)).rejects.toThrow(UsageError);
    });
    const { config, ...model } = createTinyModel();
    const { endToken: _, ...endless } = config;
    await saveModel(join(place, "endless"), { ...model, config: endless });
    const other = await createFollowedRun(join(place, "run-endless"), { base: join(place, "endless") });
    const refusal = evaluate(other, { source: embedded });
    await expect(refusal).rejects.toThrow(`the first checkpoint of "${other.path}"`);
    expect((await openRunFolder(other.path)).recipe).toEqual(other.recipe);
  });
});

describe("the judge of a run", () => {
  const answer = { question: "1 plus 1 ?", answer: "two", grader: "judge" } as const;
  const environment = writeQuestions(join(place, "judged"), {
    id: [answer, { ...answer, question: "2 plus 2 ?" }],
    ood: [answer, { ...answer, question: "3 plus 3 ?" }],
  });

  /** A judge that says the same of every answer. */
  async function startJudge(model: string, right: boolean): Promise<JsonServer> {
    const started = await startJsonServer(({ route }) => {
      if (route === "models") return { data: [{ id: model, root: `/judges/${model}` }] };
      return route === "chat/completions" ? describeCompletion(JSON.stringify({ right })) : undefined;
    });
    judges.push(started);
    return started;
  }

  it("grades all checkpoints, those that come later as well, and no other may", async () => {
    const run = await follow("judged");
    const lineage = await run.readLineage();
    await run.writeLineage(lineage.slice(0, 2));
    const ask = (judge: RequestOptions["judge"]): Promise<EvaluatedRun> => {
      const options = {
        effects: createTestEffects({ machine }),
        source: { ...source, requests: { ...requests, judge } },
      };
      return evaluateRun(run.path, { environment }, options);
    };
    const [first, second] = [await startJudge("first", true), await startJudge("second", false)];
    const whole = await ask({ url: first.url, model: "first" });
    expect(listSolved(whole)).toEqual([
      ["base", 2],
      ["sft-1", 2],
    ]);
    expect(whole.summary.asking).toHaveProperty("judge.root", "/judges/first");
    await run.writeLineage(lineage);
    await expect(ask({ url: second.url, model: "second" })).rejects.toThrow("by another judge");
    await expect(ask(undefined)).rejects.toThrow("name one by judge.url and judge.model");
    expect([await run.hasEvaluation("sft-2"), countQuestions(second)]).toEqual([false, 0]);
    expect((await ask({ url: first.url, model: "first" })).evaluated).toEqual(["sft-2"]);
    expect(countQuestions(first)).toBe(3 * 4);
  });
});

describe("evaluateRun() of a run that trains", () => {
  it("gives the summary of a finished one as it is, and refuses other tasks than its recipe's", async () => {
    const { folder } = await createFallenRun(join(place, "trained"), createMemoryAnswerer(fallenTasks));
    const options = { effects: createTestEffects(), source: embedded };
    const unfinished = evaluateRun(folder.path, {}, options);
    await expect(unfinished).rejects.toThrow(UsageError);
    await expect(unfinished).rejects.toThrow(`resuming "${folder.path}"`);
    const summary = { ...(await summarize(folder)), timings: { sft: 9 } };
    await folder.writeSummary(summary);
    const before = identifyFiles(folder.path);
    expect(await evaluateRun(folder.path, { numTasks: 40 }, options)).toMatchObject({
      summary,
      evaluated: [],
    });
    await expect(evaluateRun(folder.path, { numTasks: 41 }, options)).rejects.toThrow("numTasks 41");
    expect(identifyFiles(folder.path)).toEqual(before);
  });
});
