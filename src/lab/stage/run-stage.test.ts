import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createTestEffects } from "../../../test/support/effects.ts";
import {
  createTemporaryFolder,
  hashFiles,
  identifyFiles,
  removeFolder,
} from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/core/index.ts";
import { type Effects, type LabEvent, StoppedError } from "../../base/progress/index.ts";
import { loadModel } from "../../engine/model/index.ts";
import {
  createRunFolder,
  parseRecipe,
  type Recipe,
  type RecipeChange,
  schemaVersion,
} from "../../run/index.ts";
import { createFirstModel, createRunEngine, type RunEngine } from "../answer/index.ts";
import { runStage } from "./run-stage.ts";
import { planStages, type StagePlan } from "./stage-plan.ts";
import { loadState } from "./state-file.ts";

const place = createTemporaryFolder();
const at = (...path: readonly string[]): string => join(place, ...path);

const text = `name: small
summary: A base of one step and an SFT of four
environment: general-points
evaluation: { numTasks: 2, maxNewTokens: 1, batchSize: 4 }
base:
  model: { hiddenSize: 8, intermediateSize: 8, numLayers: 1, numHeads: 2 }
  phases:
    - { numSteps: 1, batchSize: 1, skills: { arithmetic: 1 }, optimizer: { learningRate: 0.01 } }
sft:
  numSteps: 4
  batchSize: 2
  checkpoints: [2]
  optimizer: { learningRate: 0.01 }
`;

const opened: RunEngine[] = [];
afterAll(async () => {
  for (const engine of opened) await engine.release();
  removeFolder(place);
});

/** A process that works on the run of that name: what it hears, and how it carries out a stage. */
interface Worker {
  readonly engine: RunEngine;
  readonly events: readonly LabEvent[];
  /** The steps that it took. */
  readonly steps: () => readonly number[];
  readonly run: (id: string, by?: RunEngine) => Promise<void>;
}

const parse = (changes: readonly RecipeChange[] = []): Recipe => parseRecipe(text, "small.yaml", changes);

/** Starts a run, or goes on with one, as a new process does. */
async function open(
  name: string,
  {
    onEvent = () => undefined,
    changes = [],
    ...given
  }: Partial<Effects> & {
    readonly onEvent?: (event: LabEvent) => void;
    readonly changes?: readonly RecipeChange[];
  } = {},
): Promise<Worker> {
  const recipe = parse(changes);
  const known = opened.find(({ folder }) => folder.path === at(name))?.folder;
  const record = { schema: schemaVersion, recipe: "small", seed: 1, numThreads: 1, versions: {} } as const;
  const folder = known ?? (await createRunFolder(at(name), recipe, record));
  const { events, ...effects } = createTestEffects(given);
  const report = (event: LabEvent): void => {
    events.push(event);
    onEvent(event);
  };
  const model = await createFirstModel(recipe, 1);
  const engine = await createRunEngine(folder, model, { ...effects, report });
  opened.push(engine);
  const findPlan = (id: string): StagePlan => {
    const plan = planStages(recipe).find((stage) => stage.id === id);
    if (plan === undefined) throw new Error(`The recipe has no stage ${id}`);
    return plan;
  };
  return {
    engine,
    events,
    steps: () => events.flatMap((event) => (event.kind === "step" ? [event.step] : [])),
    run: (id, by = engine) => runStage(by, findPlan(id), model.parameters),
  };
}

/** What must not depend on where a stage was interrupted: all but what a clock says. */
async function describeRun({ engine: { folder } }: Worker): Promise<unknown> {
  const files = Object.entries(hashFiles(folder.path)).filter(
    ([path]) => /^(checkpoints|evaluations)\//.test(path) || path === "lineage.json",
  );
  const metrics = await folder.readMetrics("sft");
  return {
    files: Object.fromEntries(files),
    metrics: metrics.map(({ ms, tokensPerSecond, ...line }) => [typeof ms, typeof tokensPerSecond, line]),
  };
}

let whole: Worker;
beforeAll(async () => {
  whole = await open("whole");
  await whole.run("base");
  await whole.run("sft");
});

describe("runStage()", () => {
  it("takes every step once, and keeps each checkpoint with what it grew from", async () => {
    const { engine, events, steps } = whole;
    const lineage = await engine.folder.readLineage();
    expect(lineage.map(({ id, stage, step, parent }) => [id, stage, step, parent])).toEqual([
      ["base", "base", 1, undefined],
      ["sft-2", "sft", 2, "base"],
      ["sft-4", "sft", 4, "sft-2"],
    ]);
    expect(steps()).toEqual([1, 1, 2, 3, 4]);
    const metrics = await engine.folder.readMetrics("sft");
    expect(metrics.map(({ step, learningRate }) => [step, learningRate])).toEqual(
      [1, 2, 3, 4].map((step) => [step, 0.01]),
    );
    const reported = events.flatMap((event) =>
      event.kind === "step" && event.stage === "sft" ? [event.metrics.loss] : [],
    );
    expect(metrics.map(({ loss }) => loss)).toEqual(reported);
    const evaluated = events.flatMap((event) => (event.kind === "evaluated" ? [event.checkpoint] : []));
    expect(evaluated).toEqual(["base", "sft-2", "sft-4"]);
    const parametersOf = async (id: string): Promise<Float32Array> =>
      (await loadModel(engine.folder.locate(`checkpoints/${id}`))).parameters;
    expect(await parametersOf("sft-2")).not.toEqual(await parametersOf("base"));
    expect(await parametersOf("sft-4")).not.toEqual(await parametersOf("sft-2"));
    expect(existsSync(engine.folder.locateState("sft"))).toBe(false);
  });

  it("does nothing of a stage that is done", async () => {
    const before = identifyFiles(at("whole"));
    const again = await open("whole");
    await again.run("sft");
    expect(again.events).toEqual([]);
    expect(identifyFiles(at("whole"))).toEqual(before);
  });

  it.each([1, 2, 3])(
    "stops after step %i with its state saved, and goes on from there to the same end",
    async (last) => {
      const stop = new AbortController();
      const first = await open(`stopped-${last}`, {
        signal: stop.signal,
        onEvent: (event) => {
          if (event.kind === "step" && event.stage === "sft" && event.step === last) stop.abort();
        },
      });
      await first.run("base");
      await expect(first.run("sft")).rejects.toThrow(StoppedError);
      const { folder } = first.engine;
      expect((await loadState(folder.locateState("sft")))?.step).toBe(last);
      expect((await folder.readMetrics("sft")).map(({ step }) => step)).toEqual([1, 2, 3].slice(0, last));
      // A checkpoint of the very step is left to whoever goes on.
      expect((await folder.readLineage()).map(({ id }) => id)).toEqual(
        last < 3 ? ["base"] : ["base", "sft-2"],
      );
      const second = await open(`stopped-${last}`);
      await second.run("sft");
      expect(second.steps()).toEqual([1, 2, 3, 4].slice(last));
      expect(await describeRun(second)).toEqual(await describeRun(whole));
      expect(existsSync(folder.locateState("sft"))).toBe(false);
    },
  );

  it("takes the steps after the last saved state again where it broke off, and logs none of them twice", async () => {
    const broken = await open("broken", {
      onEvent: (event) => {
        if (event.kind === "step" && event.stage === "sft" && event.step === 3) throw new Error("power cut");
      },
    });
    await broken.run("base");
    await expect(broken.run("sft")).rejects.toThrow("power cut");
    const { folder } = broken.engine;
    // No time passed, so that only the checkpoint's state is there.
    expect((await loadState(folder.locateState("sft")))?.step).toBe(2);
    expect((await folder.readMetrics("sft")).map(({ step }) => step)).toEqual([1, 2, 3]);
    const second = await open("broken");
    await second.run("sft");
    expect(second.steps()).toEqual([3, 4]);
    expect(await describeRun(second)).toEqual(await describeRun(whole));
  });

  it("saves its state between checkpoints once more than five seconds passed, and counts the time of the steps", async () => {
    let nowMs = 0;
    const saved: (number | undefined)[] = [];
    // The clock is read twice in a step and once after it: 1.5 seconds a step, of which 0.5 s are the step's own.
    const slow = await open("slow", {
      changes: [
        { path: "sft.numSteps", value: "9" },
        { path: "sft.checkpoints", value: "[9]" },
      ],
      now: () => (nowMs += 500),
    });
    await slow.run("base");
    const { folder } = slow.engine;
    const addTiming: typeof folder.addTiming = async (name, ms) => {
      if (name === "sft") saved.push((await loadState(folder.locateState("sft")))?.step);
      await folder.addTiming(name, ms);
    };
    await slow.run("sft", { ...slow.engine, folder: { ...folder, addTiming } });
    expect(saved).toEqual([4, 8, 9]);
    expect((await folder.readTimings()).sft).toBe(4.5);
  });

  it("refuses to go on with numbers that are none, and logs and keeps nothing of that step", async () => {
    const changes = [{ path: "sft.optimizer.learningRate", value: "1e30" }];
    const diverging = await open("diverging", { changes });
    await diverging.run("base");
    const refusal = diverging.run("sft");
    await expect(refusal).rejects.toThrow(UsageError);
    await expect(refusal).rejects.toThrow(
      /^Cannot go on with sft: training diverged at step 2 \((?:loss|gradient norm) (?:NaN|-?Infinity)\); lower its learningRate or maxGradientNorm$/,
    );
    const { folder } = diverging.engine;
    expect((await folder.readMetrics("sft")).map(({ step }) => step)).toEqual([1]);
    expect((await folder.readLineage()).map(({ id }) => id)).toEqual(["base"]);
    expect(existsSync(folder.locateState("sft"))).toBe(false);
  });
});
