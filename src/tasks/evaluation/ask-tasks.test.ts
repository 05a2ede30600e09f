import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openEnvironment } from "../environment/index.ts";
import { askTasks, notJudged } from "./ask-tasks.ts";
import type { EvaluatedItem } from "./evaluate.ts";

const folder = mkdtempSync(join(tmpdir(), "untwist-test-"));
afterAll(() => rmSync(folder, { recursive: true }));
mkdirSync(join(folder, "items"));
for (const split of ["id", "ood"])
  writeFileSync(
    join(folder, "items", `${split}.jsonl`),
    JSON.stringify({ question: "q", answer: "a", metadata: { grader: "judge" } }),
  );

/** One answer of a model, judged by a model that says this and ends so. */
async function judge(said: string, finish = "stop"): Promise<EvaluatedItem> {
  const [item] = await askTasks(async () => ({ text: "an answer", finish: "stop" }), {
    environment: await openEnvironment(`items:${join(folder, "items")}`),
    promptFormat: "chat",
    splits: ["id"],
    numTasks: 1,
    seed: 1,
    numAttempts: 1,
    concurrency: 1,
    judge: async () => ({ text: said, finish }),
  });
  return item!;
}

describe("askTasks() with a judge", () => {
  it("takes the judge's grade", async () => {
    expect((await judge('Same words. {"right": true}')).outcome).toBe("correct");
    expect((await judge('{"right": false}')).outcome).toBe("incorrect");
  });

  it.for([
    ["yes", "stop"],
    ["The answer means the same.", "stop"],
    ['{"right": "yes"}', "stop"],
    ['{"right": true}', "length"],
    ["", "stop"],
  ] as const)("blames a judge that says %j (%s), not the model", async ([said, finish]) => {
    const { outcome, parts } = await judge(said, finish);
    expect([outcome, parts.solved]).toEqual([notJudged, false]);
  });
});
