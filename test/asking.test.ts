/** Checkpoints of a run behind servers of others: resumed after a kill, refused where something else answers or grades. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { beforeAll, describe, expect, it } from "vitest";
import { buildModel, writeCheckpointFolder } from "./support/checkpoint-folder.ts";
import { writeTrainerFolder } from "./support/trainer-folder.ts";
import { createWorkplace, type Json, parseJson, root, runUntwist, startUntwist } from "./support/untwist.ts";

const { folder, at } = createWorkplace();

const numItems = 4;
const standIn = join(root, "test/support/stand-in-server.mjs");
const serve = (place: string): string => `'${process.execPath}' '${standIn}' {path} {port} '${at(place)}'`;
const asked = (place: string): readonly string[] =>
  readFileSync(at(place, "asked"), "utf8").trimEnd().split("\n");

beforeAll(async () => {
  await writeCheckpointFolder(at("base"), buildModel("base", "BF16"), { numShards: 1 });
  await writeTrainerFolder(at("sft"), "the Hugging Face Trainer", [10]);
  mkdirSync(at("items"));
  for (const [split, first] of [
    ["id", 1],
    ["ood", 50],
  ] as const)
    writeFileSync(
      at(`items/${split}.jsonl`),
      Array.from({ length: numItems }, (_, index) =>
        JSON.stringify({
          question: `${first + index} plus 1?`,
          answer: String(first + index + 1),
          metadata: { grader: "numeric" },
        }),
      ).join("\n"),
    );
});

async function follow(run: string): Promise<void> {
  const { code, stderr } = await runUntwist(["follow", "sft", "--base", "base", "--out", run], folder);
  expect(code, stderr).toBe(0);
}

const evaluate = (run: string, place: string, ...more: readonly string[]): readonly string[] => [
  ...[
    "eval",
    run,
    "--environment",
    "items:items",
    "--concurrency",
    "1",
    "--serve",
    serve(place),
    "--json",
    ...more,
  ],
];

async function readEvaluation(args: readonly string[]): Promise<Json> {
  const { code, stdout, stderr } = await runUntwist(args, folder);
  expect(code, stderr).toBe(0);
  return parseJson(stdout);
}

/** Whether a process is there. */
function isAlive(processId: number): boolean {
  try {
    return process.kill(processId, 0);
  } catch {
    return false;
  }
}

describe("untwist eval --serve", () => {
  for (const name of ["root is the name", "root absent"])
    it(`goes on after a kill where the server's ${name}, and leaves no server behind`, async () => {
      const [run, place] = [`run ${name}`, `server ${name}`];
      mkdirSync(at(place));
      writeFileSync(at(place, "name"), name);
      writeFileSync(at(place, "limit"), "3");
      await follow(run);
      const { child, outcome } = startUntwist(evaluate(run, place), folder);
      while (!existsSync(at(place, "asked")) || asked(place).length < 3) await wait(20);
      const server = Number(readFileSync(at(place, "running"), "utf8"));
      // The third may not be written yet; two are, as they are asked one after the other.
      child.kill("SIGKILL");
      await outcome;
      while (isAlive(server)) await wait(20);
      writeFileSync(at(place, "limit"), "1000");
      const summary = await readEvaluation(evaluate(run, place));
      expect(summary.checkpoints.map(({ accuracy }: Json) => accuracy.ood.correct)).toEqual([
        numItems,
        numItems,
      ]);
      // Two checkpoints, all questions, and at most the one whose answer was on its way.
      expect(asked(place).length - 4 * numItems).toBeLessThanOrEqual(1);
    });

  it("counts answers that are cut off in the summary, on screen and where the questions lie", async () => {
    mkdirSync(at("cut"));
    writeFileSync(at("cut/finish"), "length");
    await follow("run-cut");
    const { stderr } = await runUntwist(evaluate("run-cut", "cut"), folder);
    expect(stderr).toContain(`${2 * numItems} cut off at 512 tokens (raise --max-new-tokens)`);
    const summary = parseJson((await runUntwist(["show", "run-cut", "--json"], folder)).stdout);
    for (const { accuracy, incomplete } of summary.checkpoints) {
      expect(accuracy.ood.correct).toBe(0);
      expect(incomplete).toEqual({ id: { "cut off": numItems }, ood: { "cut off": numItems } });
    }
    expect(summary.asking).toEqual({ engine: "server", api: "chat", temperature: 0, fields: {} });
    const { stdout } = await runUntwist(["show", "run-cut"], folder);
    expect(stdout).toContain(
      `sft-10 ID ${numItems} cut off of ${numItems}; OOD ${numItems} cut off of ${numItems}`,
    );
    expect(readFileSync(at("run-cut/recipe.yaml"), "utf8")).toContain(`items:${at("items")}`);
  });
});
