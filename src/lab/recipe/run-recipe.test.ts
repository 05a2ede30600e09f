import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildModel, writeCheckpointFolder } from "../../../test/support/checkpoint-folder.ts";
import { createMachine, createTestEffects } from "../../../test/support/effects.ts";
import { createTemporaryFolder, hashFiles, parseJson, removeFolder } from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/core/index.ts";
import { BusyError, takeLock } from "../../base/file/index.ts";
import { createTemporaryPath } from "../../base/file/temporary-name.ts";
import { listVersions } from "../../base/machine/index.ts";
import { type LabEvent, StoppedError } from "../../base/progress/index.ts";
import { parseRecipe, type Recipe, type RecipeChange } from "../../run/index.ts";
import { followTrainings } from "../follow/index.ts";
import { type FinishedRun, resumeRun, startRun } from "./run-recipe.ts";

const place = createTemporaryFolder();
const at = (...path: readonly string[]): string => join(place, ...path);
afterAll(() => removeFolder(place));

const text = `name: small
summary: Every kind of stage, as small as can be
environment: general-points
seed: 5
evaluation: { numTasks: 2, maxNewTokens: 1, batchSize: 4 }
base:
  model: { hiddenSize: 8, intermediateSize: 8, numLayers: 1, numHeads: 2 }
  phases:
    - { numSteps: 1, batchSize: 1, skills: { arithmetic: 1 }, optimizer: { learningRate: 0.01 } }
sft:
  numSteps: 3
  batchSize: 1
  checkpoints: [1]
  optimizer: { learningRate: 0.01 }
rl:
  - method: grpo
    from: [1]
    numUpdates: 2
    tasksPerUpdate: 1
    groupSize: 2
    minibatchSize: 2
    maxNewTokens: 1
    optimizer: { learningRate: 0.01 }
    checkpoints: [2]
spectra: false
repairs:
  - name: few
    target: sft-3
    source: sft-1
    grid: [{ operation: rollback, matrices: q_proj }]
`;
const parse = (...changes: readonly RecipeChange[]): Recipe => parseRecipe(text, "small.yaml", changes);
const ids = ["base", "sft-1", "sft-3", "rl-from-1-step-2"];

type Carried = FinishedRun & { readonly events: readonly LabEvent[] };

/** Carries out a recipe in a new run, or what is left of the run where none is given. */
async function carryOut(
  run: string,
  {
    recipe,
    signal,
    onEvent = () => undefined,
  }: {
    readonly recipe?: Recipe;
    readonly signal?: AbortSignal;
    readonly onEvent?: (event: LabEvent) => void;
  } = {},
): Promise<Carried> {
  const effects = createTestEffects({
    machine: createMachine(at("cache")),
    ...(signal !== undefined && { signal }),
  });
  const report = (event: LabEvent): void => {
    effects.report(event);
    onEvent(event);
  };
  const all = { ...effects, report };
  const finished = recipe === undefined ? resumeRun(at(run), all) : startRun(recipe, at(run), all);
  return { ...(await finished), events: effects.events };
}

const stepsOf = (events: readonly LabEvent[]): readonly string[] =>
  events.flatMap((event) => (event.kind === "step" ? [`${event.stage} ${event.step}`] : []));

/** What must not depend on where a run was interrupted: all but what a clock says. */
function describeRun({ folder, summary }: FinishedRun): unknown {
  const files = Object.entries(hashFiles(folder.path)).filter(
    ([path]) => !/^(metrics\/|summary\.json$|timings\.jsonl$)/.test(path),
  );
  const { timings, ...rest } = summary;
  return { files: Object.fromEntries(files), summary: rest, timings: Object.keys(timings).sort() };
}

let whole: Carried;
/** Whether other processes were kept away, whenever something was told. */
const locked = new Set<boolean>();
beforeAll(async () => {
  const onEvent = (): unknown => locked.add(existsSync(at("whole/run.lock")));
  whole = await carryOut("whole", { recipe: parse(), onEvent });
});

describe("startRun()", () => {
  it("carries out every stage, evaluates every checkpoint, repairs, and sums up", async () => {
    const { folder, summary, events } = whole;
    const lineage = await folder.readLineage();
    expect(lineage.map(({ id, parent }) => [id, parent])).toEqual([
      ["base", undefined],
      ["sft-1", "base"],
      ["sft-3", "sft-1"],
      ["rl-from-1-step-2", "sft-1"],
    ]);
    expect(stepsOf(events)).toEqual(["base 1", "sft 1", "sft 2", "sft 3", "rl-from-1 1", "rl-from-1 2"]);
    expect(events[0]).toEqual({
      kind: "planned",
      stages: [
        { id: "base", numSteps: 1, numDone: 0 },
        { id: "sft", numSteps: 3, numDone: 0 },
        { id: "rl-from-1", numSteps: 2, numDone: 0 },
      ],
      numEvaluations: 4,
    });
    expect(events.at(-1)).toEqual({ kind: "finished", folder: at("whole") });
    expect(summary.checkpoints.map(({ id, accuracy }) => [id, accuracy.ood.total])).toEqual(
      ids.map((id) => [id, 2]),
    );
    expect(summary).toMatchObject({ recipe: "small", seed: 5, versions: listVersions() });
    expect(summary.trajectory?.sftEnd.checkpoint).toBe("sft-3");
    expect(summary.repairs?.map(({ name, target, source }) => [name, target, source])).toEqual([
      ["few", "sft-3", "sft-1"],
    ]);
    expect(Object.keys(summary.timings).sort()).toEqual(["base", "evaluation", "repairs", "rl", "sft"]);
    expect(parseJson(readFileSync(at("whole/summary.json"), "utf8"))).toEqual(summary);
    expect(readdirSync(at("whole/state"))).toEqual([]);
    expect([[...locked], existsSync(at("whole/run.lock"))]).toEqual([[true], false]);
  });

  it("begins with a checkpoint of the base where the recipe loads one, the same weights", async () => {
    const changes = [
      { path: "base", value: at("whole/checkpoints/base") },
      { path: "rl", value: "[]" },
      { path: "repairs", value: "false" },
      { path: "sft.numSteps", value: "1" },
    ];
    const { folder, summary, events } = await carryOut("loaded", { recipe: parse(...changes) });
    expect(stepsOf(events)).toEqual(["sft 1"]);
    expect(events[0]).toMatchObject({ kind: "planned", numEvaluations: 2 });
    expect((await folder.readLineage()).map(({ id, parent }) => [id, parent])).toEqual([
      ["base", undefined],
      ["sft-1", "base"],
    ]);
    // From the same start, the same step: nothing else than the seed and the number of the step counts.
    const weights = "checkpoints/sft-1/model.safetensors";
    expect(hashFiles(folder.path)[weights]).toBe(hashFiles(at("whole"))[weights]);
    expect(summary.repairs).toBeUndefined();
  });

  it("checks all of a recipe before it writes anything", async () => {
    const mistakes: readonly (readonly [path: string, value: string, words: string])[] = [
      ["environment", "chess", '"chess"'],
      ["base.phases.0.skills", "{ song: 1 }", 'no skill "song"'],
      ["evaluation.maxNewTokens", "500", "500"],
      ["base", "nonsense", '"nonsense"'],
      ["repairs.0.grid.0.matrices", "wings", "wings"],
    ];
    for (const [path, value, words] of mistakes) {
      const refusal = carryOut("mistaken", { recipe: parse({ path, value }) });
      await expect(refusal, path).rejects.toThrow(UsageError);
      await expect(refusal, path).rejects.toThrow(words);
      expect(existsSync(at("mistaken")), path).toBe(false);
    }
    const before = hashFiles(at("whole"));
    await expect(carryOut("whole", { recipe: parse() })).rejects.toThrow("the folder is not empty");
    expect(hashFiles(at("whole"))).toEqual(before);
  });
});

describe("resumeRun()", () => {
  const moments: readonly (readonly [string, (event: LabEvent) => boolean])[] = [
    ["a step of the base", (event) => event.kind === "step" && event.stage === "base"],
    ["a step of SFT", (event) => event.kind === "step" && event.stage === "sft" && event.step === 2],
    ["a step of RL", (event) => event.kind === "step" && event.stage === "rl-from-1" && event.step === 1],
    ["an evaluation", (event) => event.kind === "evaluated" && event.checkpoint === "rl-from-1-step-2"],
  ];
  it.each(moments)("goes on after %s at which the run was stopped, to the same end", async (name, isIt) => {
    const stop = new AbortController();
    const run = name.replaceAll(" ", "-");
    const first: LabEvent[] = [];
    const onEvent = (event: LabEvent): void => {
      first.push(event);
      if (isIt(event)) stop.abort();
    };
    const stopped = carryOut(run, { recipe: parse(), signal: stop.signal, onEvent });
    await expect(stopped).rejects.toThrow(StoppedError);
    await expect(stopped).rejects.toThrow(`Stopped; nothing is lost, continue with: resuming "${at(run)}"`);
    expect([existsSync(at(run, "summary.json")), existsSync(at(run, "run.lock"))]).toEqual([false, false]);
    // As after a process that was killed while it wrote.
    const leftover = createTemporaryPath(at(run, "any"));
    writeFileSync(leftover, "half");
    const second = await carryOut(run);
    expect(existsSync(leftover)).toBe(false);
    expect([...stepsOf(first), ...stepsOf(second.events)]).toEqual(stepsOf(whole.events));
    expect(describeRun(second)).toEqual(describeRun(whole));
  });

  it("takes no step of a run that is finished, and sums it up again as it was", async () => {
    const before = describeRun(whole);
    const again = await carryOut("whole");
    expect(stepsOf(again.events)).toEqual([]);
    expect(again.events[0]).toMatchObject({
      stages: [{ numDone: 1 }, { numDone: 3 }, { numDone: 2 }],
      numEvaluations: 0,
    });
    expect(describeRun(again)).toEqual(before);
  });

  it("says so where the run was started with other versions", async () => {
    const file = at("whole/run.json");
    const record = readFileSync(file, "utf8");
    writeFileSync(
      file,
      JSON.stringify({ ...parseJson(record), versions: { ...listVersions(), node: "1.2.3" } }),
    );
    const { events } = await carryOut("whole");
    writeFileSync(file, record);
    expect(events[0]).toEqual({
      kind: "notice",
      text: expect.stringContaining(`with other versions (node 1.2.3 → ${listVersions().node})`),
    });
  });

  it("refuses a run that another process works on, what is not a run, and a run that follows another trainer", async () => {
    const lock = await takeLock(at("whole/run.lock"), "the run");
    await expect(carryOut("whole")).rejects.toThrow(BusyError);
    await lock.release();
    await expect(carryOut("nowhere")).rejects.toThrow(UsageError);
    expect(existsSync(at("nowhere"))).toBe(false);
    await writeCheckpointFolder(at("sft/checkpoint-1"), buildModel("one"));
    await followTrainings({ folders: [at("sft")], out: at("followed") });
    const before = hashFiles(at("followed"));
    await expect(carryOut("followed")).rejects.toThrow(
      `Cannot train in "${at("followed")}": it follows another trainer`,
    );
    expect(hashFiles(at("followed"))).toEqual(before);
  });
});
