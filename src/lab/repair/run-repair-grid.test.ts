import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { createTestEffects } from "../../../test/support/effects.ts";
import {
  createMemoryAnswerer,
  type MemoryAnswerer,
  type MemoryOptions,
} from "../../../test/support/memory-answerer.ts";
import { createFallenRun, fallenTasks, solvesFallen } from "../../../test/support/run-folder.ts";
import { createTemporaryFolder, removeFolder } from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/core/index.ts";
import { StoppedError } from "../../base/progress/index.ts";
import { parseRepairGrid } from "../../run/index.ts";
import { describeAssignment } from "../answer/index.ts";
import { type RepairOptions, runRecipeRepairs, runRepairGrid } from "./run-repair-grid.ts";

const place = createTemporaryFolder();
afterAll(() => removeFolder(place));

const plan = parseRepairGrid(
  "name: few\ntarget: sft-end\nsource: peak\ngrid: [{ what: [directions, values], top: [0.5, all] }]\n",
  "few.yaml",
);

/** A run that has forgotten, and an answerer for whom repairs solve everything. */
async function open(
  name: string,
  more: MemoryOptions = {},
): Promise<
  RepairOptions & {
    readonly answerer: MemoryAnswerer;
    readonly effects: ReturnType<typeof createTestEffects>;
  }
> {
  const path = join(place, name);
  const solves: MemoryOptions["solves"] = ({ id }, split, index) => solvesFallen(id, split, index);
  const { folder, trajectory } = await createFallenRun(path, createMemoryAnswerer(fallenTasks, { solves }));
  if (trajectory === null) throw new Error("The run has no trajectory");
  const answerer = createMemoryAnswerer(describeAssignment(folder), { solves, ...more });
  return { folder, trajectory, answerer, effects: createTestEffects() };
}

describe("runRepairGrid()", () => {
  it("asks every repair and control once, and finds that all was restored", async () => {
    const options = await open("whole");
    const record = await runRepairGrid(plan, options);
    const [prepared, ...answered] = options.answerer.calls;
    expect(prepared).toMatch(/^prepare /);
    expect(new Set(answered).size).toBe(answered.length);
    expect(record.repairs.map(({ name }) => `answer ${name}`)).toEqual(answered);
    expect([record.target, record.source]).toEqual(["sft-3", "sft-1"]);
    // Of the 32 tasks that came back, 17 are held out.
    expect(record.best?.gain.estimate).toBe(17 / 20);
    expect(record.repairs.filter(({ role }) => role === "edit").length).toBe(4);
    expect(existsSync(options.folder.locate("repairs/few/record.json"))).toBe(true);
  });

  it("asks nothing again that was kept, and gives the same record", async () => {
    const options = await open("again");
    const record = await runRepairGrid(plan, options);
    options.answerer.calls.length = 0;
    expect(await runRepairGrid(plan, options)).toEqual(record);
    expect(options.answerer.calls).toEqual([]);
  });

  it("keeps what was answered before a stop, and goes on with the rest to the same record", async () => {
    const stop = new AbortController();
    const whole = await runRepairGrid(plan, await open("unstopped"));
    const stopped = await open("stopped", { signal: stop.signal });
    const { answerer } = stopped;
    const answer: typeof answerer.answer = async (subject) => {
      const answers = await answerer.answer(subject);
      if (answerer.calls.length === 4) stop.abort();
      return answers;
    };
    await expect(runRepairGrid(plan, { ...stopped, answerer: { ...answerer, answer } })).rejects.toThrow(
      StoppedError,
    );
    const rest = createMemoryAnswerer(describeAssignment(stopped.folder), {
      solves: ({ id }, split, index) => solvesFallen(id, split, index),
    });
    expect(await runRepairGrid(plan, { ...stopped, answerer: rest })).toEqual(whole);
    const numAsked = rest.calls.filter((call) => call.startsWith("answer")).length;
    expect(numAsked).toBe(whole.repairs.length - 3);
  });

  it("leaves out and tells of what the answerer cannot answer for, as a control of others too", async () => {
    const takes: MemoryOptions["takes"] = ({ id }) => !id.includes("whole matrices");
    const options = await open("partial", { takes });
    const { repairs } = await runRepairGrid(plan, options);
    expect(options.effects.notices()).toEqual([
      expect.stringMatching(/^1 of \d+ repairs of the repair grid few are not low-rank/),
    ]);
    const names = repairs.map(({ name }) => name);
    expect(names.filter((name) => name.includes("whole matrices"))).toEqual([]);
    for (const { controls = [] } of repairs) expect(names).toEqual(expect.arrayContaining([...controls]));
  });

  it("refuses checkpoints that the run does not have", async () => {
    const options = await open("absent");
    await expect(runRepairGrid({ ...plan, source: "rl-end" }, options)).rejects.toThrow(UsageError);
    expect(options.answerer.calls).toEqual([]);
  });
});

describe("runRecipeRepairs()", () => {
  it("carries out those whose checkpoints there are, and tells of the others", async () => {
    const options = await open("recipe");
    const records = await runRecipeRepairs(options);
    expect(records.map(({ name }) => name)).toEqual(["repair"]);
    expect(options.effects.notices()).toEqual([
      expect.stringMatching(/^The repair grid reverse is left out/),
    ]);
  });
});
