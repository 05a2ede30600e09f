import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { createMachine, createTestEffects } from "../../../test/support/effects.ts";
import { createFakePolicies } from "../../../test/support/fake-policies.ts";
import { sumWords, writeQuestions, writeSums } from "../../../test/support/questions.ts";
import { createFallenRun } from "../../../test/support/run-folder.ts";
import { createTinyModel } from "../../../test/support/tiny-model.ts";
import { createTemporaryFolder, removeFolder } from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/core/index.ts";
import { StoppedError } from "../../base/progress/index.ts";
import { listParameters, type ModelDescription, type StoredModel } from "../../engine/model/index.ts";
import type { OpenPolicy } from "../../engine/parallel/index.ts";
import type { AskedTasks } from "../../run/index.ts";
import { findEnvironment, openEnvironment, splits } from "../../tasks/environment/index.ts";
import type { Assignment } from "./answerer.ts";
import { describeStandalone } from "./assignment.ts";
import { answerTasks, checkFit, createEngine, createRunEngine, type Engine, isSameShape } from "./engine.ts";

const place = createTemporaryFolder();
afterAll(() => removeFolder(place));

const machine = createMachine(join(place, "cache"));
const model = createTinyModel();
const cards: AskedTasks = {
  environment: "general-points",
  promptFormat: "compact",
  evaluation: { numTasks: 3, seed: 1, numAttempts: 1, maxNewTokens: 4, batchSize: 2 },
};
const sums: AskedTasks = {
  ...cards,
  environment: writeSums(join(place, "sums"), 3),
  promptFormat: "chat",
};
const assign = (tasks: AskedTasks, template?: Assignment["template"]): Assignment =>
  describeStandalone(tasks, { splits, template, owner: "a checkpoint of mine" });
const templated = (template: string): ReturnType<typeof createTinyModel> =>
  createTinyModel({ words: sumWords, maxPositions: 20, template });

const weigh = (described: ModelDescription): StoredModel => ({ ...described, numStoredBytes: 0 });

describe("createEngine()", () => {
  it("sets itself up for an assignment, and remembers answers where they may be asked again", async () => {
    const answers = [];
    for (const isRemembered of [true, true, false]) {
      const effects = createTestEffects({ machine });
      const engine = await createEngine(weigh(model), { ...assign(cards), isRemembered });
      const policy = await engine.policies.open(listParameters(model.config, model.parameters));
      const items = await answerTasks(engine, model, { policy, effects });
      answers.push({ items, isKnown: effects.notices().some((text) => text.includes("gave before")) });
      await engine.release();
    }
    expect(answers.map(({ isKnown }) => isKnown)).toEqual([false, true, false]);
    expect(answers[0]?.items.length).toBe(6);
    for (const { items } of answers) expect(items).toEqual(answers[0]?.items);
  });

  it("refuses a model that cannot be asked like the others, and tasks that it cannot grade", async () => {
    const { endToken: _, ...endless } = model.config;
    const judged = writeQuestions(join(place, "judged"), {
      id: [{ question: "1 ?", answer: "1", grader: "judge" }],
      ood: [{ question: "2 ?", answer: "2" }],
    });
    for (const [own, assignment, words] of [
      [model, assign(sums, "model"), "Cannot ask a checkpoint of mine: it has no chat template"],
      [model, assign({ ...sums, environment: judged }), "take a judge"],
      [
        { ...model, config: endless },
        assign(cards),
        "Cannot ask a checkpoint of mine: neither its config.json",
      ],
    ] as const) {
      const refusal = createEngine(weigh(own), assignment);
      await expect(refusal).rejects.toThrow(UsageError);
      await expect(refusal).rejects.toThrow(words);
    }
  });

  it("takes an environment that is open instead of opening its own", async () => {
    const environment = findEnvironment("general-points");
    const tasks = { ...cards, environment: "of a folder that is gone" };
    const engine = await createEngine(weigh(model), assign(tasks), { environment });
    expect(engine.environment).toBe(environment);
    await engine.release();
  });
});

describe("createRunEngine()", () => {
  it("saves checkpoints into the run and loads them again, number for number", async () => {
    const { folder } = await createFallenRun(join(place, "run"));
    const effects = createTestEffects({ machine });
    const engine = await createRunEngine(folder, model, effects);
    expect(engine.assignment).toMatchObject({ tasks: { environment: "general-points" }, numThreads: 1 });
    const parameters = model.parameters.map((value, index) => (index === 7 ? Math.PI : value));
    await engine.saveCheckpoint("sft-9", parameters);
    expect(await engine.loadParameters("sft-9")).toEqual(parameters);
    await engine.release();
  });
});

describe("checkFit()", () => {
  it("takes a model that was not there when tasks were chosen, where it has room for them and a template", async () => {
    const environment = await openEnvironment(sums.environment);
    const own = { assignment: assign(sums, "model"), environment };
    // Four words of a sum, and four for the answer.
    checkFit(templated("{{ messages[0].content }}"), own, "sft-9");
    const long = templated("{% for _ in range(5) %}{{ messages[0].content }} {% endfor %}");
    expect(() => checkFit(long, own, "sft-9")).toThrow(
      "prompts of 20 tokens with up to 4 more: sft-9 has 20 positions",
    );
    checkFit(long, { ...own, assignment: assign(sums, "none") }, "sft-9");
    const plain = createTinyModel({ words: sumWords });
    expect(() => checkFit(plain, own, "sft-9")).toThrow("it has no chat template");
    checkFit(plain, { ...own, assignment: assign(sums) }, "sft-9");
  });
});

describe("isSameShape()", () => {
  it("tells configs apart by every field", () => {
    expect(isSameShape(model.config, createTinyModel({ seed: 2 }).config)).toBe(true);
    expect(isSameShape(model.config, { ...model.config, normEpsilon: 1e-5 })).toBe(false);
    expect(isSameShape(model.config, { ...model.config, otherEndTokens: [2] })).toBe(false);
  });
});

describe("answerTasks()", () => {
  /** Gives every reference answer, and counts its batches. */
  async function createFake(): Promise<{
    readonly engine: Pick<Engine, "assignment" | "environment">;
    readonly policy: OpenPolicy;
    readonly batches: readonly number[];
  }> {
    const batches: number[] = [];
    const policies = createFakePolicies(async (requests) => {
      batches.push(requests.length);
      return requests.map(({ reference: tokens = [] }) => ({ tokens, logProbs: [], isFinished: true }));
    });
    const assignment = { ...assign(cards), isRemembered: false };
    return {
      engine: { assignment, environment: findEnvironment("general-points") },
      policy: await policies.open([]),
      batches,
    };
  }

  it("answers batch by batch, and says before each how far it is", async () => {
    const { engine, policy, batches } = await createFake();
    const fractions: number[] = [];
    const onProgress = (fraction: number): number => fractions.push(fraction);
    const items = await answerTasks(engine, model, { policy, effects: createTestEffects(), onProgress });
    expect(items.map(({ parts }) => parts.solved)).toEqual(Array(6).fill(true));
    expect(batches).toEqual([2, 1, 2, 1]);
    expect(fractions).toEqual([0, 2 / 6, 3 / 6, 5 / 6]);
  });

  it("stops between batches once a stop is wished", async () => {
    const { engine, policy, batches } = await createFake();
    const stop = new AbortController();
    const onProgress = (fraction: number): void => {
      if (fraction > 0) stop.abort();
    };
    const effects = createTestEffects({ signal: stop.signal });
    await expect(answerTasks(engine, model, { policy, effects, onProgress })).rejects.toThrow(StoppedError);
    expect(batches).toEqual([2, 1]);
  });
});
