/**
 * Cases from public reports, with the files that people had, in a folder beside the repository (UNTWIST_TRIALS). What each comes to is
 * tested with files of our own as well, where that folder is not.
 */
import { spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findFreePort } from "./support/free-port.ts";
import { readReport } from "./support/surgery.ts";
import {
  createWorkplace,
  type Json,
  listFilesBelow,
  parseJson,
  readOutput,
  removeFolder,
} from "./support/untwist.ts";

const trials = process.env.UNTWIST_TRIALS ?? "";
const isSkipped = !existsSync(trials);
const because = isSkipped ? " (needs UNTWIST_TRIALS=FOLDER)" : "";
const { folder, at } = createWorkplace();
beforeAll(() => {
  if (!isSkipped) cpSync(trials, folder, { recursive: true });
});
afterAll(() => removeFolder(folder));

const stepsOf = ({ checkpoints }: Json): readonly number[] =>
  checkpoints.filter(({ stage }: Json) => stage !== "base").map(({ step }: Json) => step);
const stagesOf = ({ trainings }: Json): readonly string[] => trainings.map(({ stage }: Json) => stage);
const follow = (place: string, what: string, run: string): Promise<Json> =>
  readReport(["follow", what, "--base", "base", "--out", run], at(place));
const importInto = async (
  place: string,
  run: string,
  id: string,
  ood: string,
  more: readonly string[] = [],
) => {
  await follow(place, "ckpt", run);
  const args = ["import", run, "--id", id, "--ood", ood, ...more];
  const text = await readOutput(args, at(place));
  return { text, summary: parseJson(readFileSync(at(place, run, "summary.json"), "utf8")) };
};

describe.skipIf(isSkipped)(`weights of public reports${because}`, () => {
  it("f32-bf16: every matrix is rounded, and that is said", async () => {
    const text = await readOutput(["spectra", "f32-base", "bf16-copy"], at("f32-bf16"));
    expect(text.match(/ rounded$/gm)).toHaveLength(16);
    expect(text).toMatch(/bf16.*(?:equal|same)|(?:equal|same).*bf16/i);
  });

  it("moe-v4-v5: experts are matched with the slices that pack them, and restored", async () => {
    const pair = await readReport(["spectra", "moe-base-v4", "moe-tuned-v5", "--out", "s"], at("moe-v4-v5"));
    expect(pair.coverage).toMatchObject({ numMatrices: 36, isComplete: true });
    expect(pair.relativeUpdate.median).toBeCloseTo(0.01, 3);
    const options = ["--into", "moe-tuned-v5", "--from", "moe-base-v4", "--top", "0.6", "--out", "x"];
    await readOutput(["restore", ...options], at("moe-v4-v5"));
  });

  it("tied-merge: a lost tie is told, also by follow, and the head is compared with what it was tied to", async () => {
    const text = await readOutput(["spectra", "tied-base", "tied-merged"], at("tied-merge"));
    expect(text).toMatch(/^lm_head .*tie-lost$/m);
    expect(text).toContain("the model that answers is not the one that was trained");
    const args = ["follow", "tied-merged", "--base", "tied-base", "--out", "run"];
    expect(await readOutput(args, at("tied-merge"))).toContain("a loader that ties drops lm_head");
  });

  it("vocab-resized: the common rows are compared, and the new one is counted", async () => {
    const pair = await readReport(["spectra", "voc-base", "voc-tuned", "--out", "s"], at("vocab-resized"));
    expect(pair.coverage).toMatchObject({ numMatrices: 16 });
    expect(JSON.stringify(pair.coverage.notes)).toMatch(/160.*161|161.*160/);
  });
});

describe.skipIf(isSkipped)(`trainings of public reports${because}`, () => {
  it("nemo-consolidated: both layouts are followed", async () => {
    const grpo = await follow("nemo-consolidated", "results", "run");
    expect([stepsOf(grpo), stagesOf(grpo)]).toEqual([[10, 20], ["rl"]]);
    expect(stepsOf(await follow("nemo-consolidated", "automodel", "run2"))).toEqual([10, 20, 30]);
  });

  it("old-verl-layout: it is RL, and no critic", async () => {
    const report = await follow("old-verl-layout", ".", "run");
    expect([stepsOf(report), stagesOf(report)]).toEqual([[100, 200, 1000], ["rl"]]);
  });

  it("stale-output-dir: what an earlier run left is told and left out, and so are its curves", async () => {
    const stale = at("stale-output-dir/sft/checkpoint-1000");
    const then = Date.now() / 1000 - 30 * 86_400;
    for (const name of ["", ...listFilesBelow(stale)]) utimesSync(join(stale, name), then, then);
    const report = await follow("stale-output-dir", "sft", "run");
    expect(stepsOf(report)).toEqual([100, 200, 300]);
    expect(report.leftOut[0].reason).toMatch(/older.*loss 3\.995 at step 10/);
    const [first = ""] = readFileSync(at("stale-output-dir/run/metrics/sft.jsonl"), "utf8").split("\n");
    expect(parseJson(first)).toMatchObject({ step: 10, loss: 1.995 });
  });

  it("swift-versions: one SFT of two folders, and step folders that are links", async () => {
    const home = at("swift-versions/output/Qwen3");
    const names = ["v0-20260101-101010", "v1-20260102-101010"];
    const lines = names.map(
      (name, index) => `  - { folder: ${join(home, name)}, stage: sft${index === 0 ? "" : ", after: 100"} }`,
    );
    writeFileSync(at("swift-versions/lineage.yaml"), `trainings:\n${lines.join("\n")}\n`);
    const said = ["follow", "--base", "base", "--lineage", "lineage.yaml", "--out", "run"];
    const steps = stepsOf(await readReport(said, at("swift-versions")));
    expect(steps).toEqual([50, 100, 150, 200]);
    mkdirSync(at("swift-versions/links"));
    symlinkSync(join(home, names[0] ?? "", "checkpoint-50"), at("swift-versions/links/checkpoint-50"));
    expect(stepsOf(await follow("swift-versions", "links", "run2"))).toEqual([50]);
  });

  it("verl-lora-hf-model: followed through the adapter, and only what it adapts has changed", async () => {
    await follow("verl-lora-hf-model", "ckpt", "run");
    const { pairs } = await readReport(["spectra", "run"], at("verl-lora-hf-model"));
    expect(pairs.map(({ numChanged }: Json) => numChanged)).toEqual([14, 14]);
    expect(stepsOf(await follow("verl-lora-hf-model", "ckpt-adapter-only", "run2"))).toEqual([10, 20]);
  });
});

describe.skipIf(isSkipped)(`answers of public reports${because}`, () => {
  it("inspect-epochs: four epochs alike say what one says, and no more", async () => {
    const outcomes = [];
    for (const epochs of ["e1", "e4"]) {
      const pattern = `res/${epochs}/{name}/*.eval`;
      const { text, summary } = await importInto("inspect-epochs", `run-${epochs}`, pattern, pattern);
      expect(text.includes("25 questions, 4 epochs")).toBe(epochs === "e4");
      outcomes.push(summary.trajectory.forgetting);
    }
    const [one, four] = outcomes;
    expect(four).toEqual(one);
    expect(one).toMatchObject({ numItems: 25, onlyFirst: 6, onlySecond: 0, estimate: 6 / 25 });
    // Against the best of the candidates seven are lost: seven signs alike, by two-sided mid-p, in 4,999 draws.
    expect(one.pValue).toBeCloseTo(2 ** -7, 2);
  });

  it("lm-eval-group: both tasks of the group are there", async () => {
    const [sums, group] = ["sums", "grp"].map((task) => `res/{name}/samples_${task}_*.jsonl`);
    const filter = ["--filter", "strict-match"];
    const { text, summary } = await importInto("lm-eval-group", "run", sums ?? "", group ?? "", filter);
    const counts = summary.checkpoints.map(({ accuracy }: Json) => [
      accuracy.ood.correct,
      accuracy.ood.total,
    ]);
    expect(counts).toEqual([17, 16, 15, 14].map((correct) => [correct, 24]));
    for (const task of ["grp_a", "grp_b"]) expect(text).toContain(`task ${task}`);
  });

  it("numeric-graders: numbers are read as people write them", async () => {
    const lines = readFileSync(at("numeric-graders/cases.jsonl"), "utf8").trim().split("\n");
    mkdirSync(at("items"));
    const item = { question: "q", answer: "1", metadata: { grader: "numeric" } };
    for (const split of ["id", "ood"]) writeFileSync(at(`items/${split}.jsonl`), JSON.stringify(item));
    const wrong: string[] = [];
    for (const line of lines) {
      const [answer, said]: readonly [string, string] = JSON.parse(line);
      const task = JSON.stringify({ ...item, answer });
      const grade = await readReport(["grade", "items:items", "--task", task, "--answer", said], folder);
      if (grade.outcome !== "correct") wrong.push(said);
    }
    // A number of its own, and one in words.
    expect(wrong).toEqual(["1.234", "1.2 million"]);
  });

  it.each(["r1cut", "r1cutwrong", "parsed"])(
    "truncated-thinking: all is cut off, and none right: %s",
    async (mode) => {
      const port = await findFreePort();
      const server = spawn("python3", [at("truncated-thinking/server.py"), String(port), mode], {
        stdio: "ignore",
      });
      const url = `http://127.0.0.1:${port}/v1`;
      while (
        !(await fetch(`${url}/models`).then(
          ({ ok }) => ok,
          () => false,
        ))
      )
        await wait(50);
      const asked = ["--endpoint", url, "--model", "m", "--environment", "items:items", "--count", "20"];
      const text = await readOutput(["eval", ...asked], at("truncated-thinking"));
      for (const split of ["id", "ood"])
        expect(text).toMatch(new RegExp(`^${split} +0/20 .*cut off 20$`, "m"));
      expect(text).toMatch(/^40 of 40 answers are not complete.*--max-new-tokens/m);
      server.kill();
    },
  );
});
