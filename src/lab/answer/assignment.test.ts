import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { createFallenRun, fallenTasks } from "../../../test/support/run-folder.ts";
import { createTemporaryFolder, removeFolder } from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/core/index.ts";
import type { RunFolder } from "../../run/index.ts";
import type { RepairSubject } from "./answerer.ts";
import { describeAssignment, describeStandalone } from "./assignment.ts";

const place = createTemporaryFolder();
afterAll(() => removeFolder(place));
const { folder } = await createFallenRun(join(place, "run"));

const repair: RepairSubject = {
  kind: "repair",
  id: "directions 50 %",
  grid: "few",
  key: "0123",
  target: { id: "sft-3", path: "" },
  source: { id: "sft-1", path: "" },
  operation: { kind: "restore" } as unknown as RepairSubject["operation"],
  isIdentity: false,
};
const checkpoint = { kind: "checkpoint", id: "sft-1", path: "" } as const;

describe("describeAssignment()", () => {
  it("asks of every subject of our own training the same, once, and keeps each in a file of its own", () => {
    const assignment = describeAssignment(folder);
    expect(assignment.tasks.evaluation.numTasks).toBe(fallenTasks.tasks.evaluation.numTasks);
    expect(assignment).toMatchObject({ splits: ["id", "ood"], isRemembered: false, numThreads: 1 });
    expect([assignment.template, assignment.judge]).toEqual([undefined, undefined]);
    expect(assignment.locateAnswers(checkpoint)).toBe(join(folder.path, "answers/sft-1.jsonl"));
    expect(assignment.locateAnswers(repair)).toBe(join(folder.path, "answers/few-0123.jsonl"));
    expect(assignment.locateAdapter(repair)).toBe(join(folder.path, "repairs/few/adapters/0123"));
  });

  it("asks those of others as the run was asked before, and refuses a run that was never asked", () => {
    const judge = { url: "http://127.0.0.1:1/v1", model: "judge" };
    const followed = (given: object = {}): RunFolder => ({
      ...folder,
      recipe: { name: "followed", follow: { trainings: [] }, ...given } as unknown as RunFolder["recipe"],
    });
    const { tasks } = fallenTasks;
    const assignment = describeAssignment(followed({ ...tasks, asking: { template: "model", judge } }));
    expect(assignment).toMatchObject({ tasks, template: "model", judge, isRemembered: true });
    expect(() => describeAssignment(followed())).toThrow(UsageError);
  });
});

describe("describeStandalone()", () => {
  it("keeps nothing but in the cache, and makes no adapters", () => {
    const { tasks, splits } = fallenTasks;
    const assignment = describeStandalone(tasks, { splits, template: undefined, owner: "a model" });
    expect(assignment.isRemembered).toBe(true);
    expect(assignment.locateAnswers(checkpoint)).toBeUndefined();
    expect(() => assignment.locateAdapter(repair)).toThrow(RangeError);
  });
});
