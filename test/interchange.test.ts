/** Results of other tools taken over, ours given away, and the signals of a run ranked. */
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { parseEvents } from "../src/base/file/format/tensorboard-events.ts";
import { writeParquet } from "../src/base/file/index.ts";
import { readAnswers } from "../src/face/view/answers.ts";
import { openRunFolder } from "../src/run/index.ts";
import { expectRefusal, type Mistake } from "./support/refusal.ts";
import { readReport } from "./support/surgery.ts";
import { writeTrainerFolder } from "./support/trainer-folder.ts";
import {
  createWorkplace,
  type Json,
  listFilesBelow,
  parseJson,
  runUntwist,
  tinyRecipe,
} from "./support/untwist.ts";
import { packZip, type ZipMethod } from "./support/zip-file.ts";

const { folder, at } = createWorkplace();

const steps = [10, 20, 30];
const numQuestions = 12;
/** Which questions a checkpoint gets right: ID better and better, OOD best at step 20. */
const isRight = (step: number, split: string, index: number): boolean =>
  split === "id" ? index < 4 * (step / 10) : index < { 10: 4, 20: 10, 30: 2 }[step]!;

function write(path: string, content: string | Buffer): void {
  mkdirSync(dirname(at(path)), { recursive: true });
  writeFileSync(at(path), content);
}
const each = (work: (step: number, split: "id" | "ood") => void): void => {
  for (const step of steps) for (const split of ["id", "ood"] as const) work(step, split);
};

function describeSample(step: number, split: string, index: number, filter = "strict-match"): Json {
  const right = isRight(step, split, index);
  return {
    doc_id: index,
    doc: { question: `${split} ${index}?` },
    target: String(index),
    arguments: { gen_args_0: { arg_0: `${split} ${index}?`, arg_1: {} } },
    resps: [["so it is ..."]],
    filtered_resps: [right ? String(index) : "no"],
    filter,
    metrics: ["exact_match"],
    exact_match: right ? 1 : 0,
    bleu: 0.37,
  };
}

const indexes = Array.from({ length: numQuestions }, (_, index) => index);
beforeAll(async () => {
  await writeTrainerFolder(at("out"), "the Hugging Face Trainer", steps);
  each((step, split) => {
    const samples = indexes.map((index) => describeSample(step, split, index));
    // In another order for each checkpoint, and with two filters.
    const turned = [...samples.slice(step / 10), ...samples.slice(0, step / 10)];
    const lines = [...turned, ...turned.map((sample) => ({ ...sample, filter: "loose", exact_match: 1 }))];
    write(
      `lm/checkpoint-${step}/samples_${split}_2026-01-01.jsonl`,
      lines.map((line) => `${JSON.stringify(line)}\n`).join(""),
    );
    const log = {
      version: 2,
      status: "success",
      samples: indexes.map((index) => ({
        id: `q${index}`,
        epoch: 1,
        input: index % 2 === 0 ? `${split} ${index}?` : [{ role: "user", content: `${split} ${index}?` }],
        target: String(index),
        output: { completion: "long" },
        scores: { match: { value: isRight(step, split, index) ? "C" : "I", answer: "short" } },
      })),
    };
    write(`inspect/${step}-${split}.json`, JSON.stringify(log));
    for (const [name, method] of Object.entries({ stored: 0, deflated: 8, zstd: 93 }) as [
      string,
      ZipMethod,
    ][]) {
      const files = Object.fromEntries(
        log.samples.map((sample) => [`samples/${sample.id}_epoch_1.json`, JSON.stringify(sample)]),
      );
      write(
        `eval-${name}/${step}-${split}.eval`,
        packZip({ "header.json": "{}", ...files, "summaries.json": "[]" }, method),
      );
    }
  });
  for (const step of steps)
    for (const split of ["id", "ood"] as const) {
      mkdirSync(at("details"), { recursive: true });
      await writeParquet(at(`details/${step}-${split}.parquet`), [
        {
          name: "__doc__",
          kind: "text",
          values: indexes.map((index) =>
            JSON.stringify({ id: index, query: `${split} ${index}?`, choices: [String(index)] }),
          ),
        },
        {
          name: "__model_response__",
          kind: "text",
          values: indexes.map((index) => JSON.stringify({ text: [`answer ${index}`] })),
        },
        {
          name: "__metric__",
          kind: "text",
          values: indexes.map((index) => JSON.stringify({ em: isRight(step, split, index) ? 1 : 0 })),
        },
      ]);
    }
});

const follow = (run: string): Promise<Json> => readReport(["follow", "out", "--out", run], folder);
const countsOf = ({ checkpoints }: Json): Json =>
  checkpoints.map(({ id, accuracy }: Json) => [
    id,
    accuracy.id.correct,
    accuracy.ood.correct,
    accuracy.ood.total,
  ]);
const expected = [
  ["sft-10", 4, 4, 12],
  ["sft-20", 8, 10, 12],
  ["sft-30", 12, 2, 12],
];

const sources: Readonly<Record<string, readonly string[]>> = {
  "lm-evaluation-harness": [
    "--id",
    "lm/{name}/samples_id_*.jsonl",
    "--ood",
    "lm/{name}/samples_ood_*.jsonl",
    "--filter",
    "strict-match",
  ],
  "a log of Inspect in JSON": ["--id", "inspect/{step}-id.json", "--ood", "inspect/{step}-ood.json"],
  "a log of Inspect, stored": ["--id", "eval-stored/{step}-id.eval", "--ood", "eval-stored/{step}-ood.eval"],
  "a log of Inspect, deflated": [
    "--id",
    "eval-deflated/{step}-id.eval",
    "--ood",
    "eval-deflated/{step}-ood.eval",
  ],
  "a log of Inspect by Zstandard": ["--id", "eval-zstd/{step}-id.eval", "--ood", "eval-zstd/{step}-ood.eval"],
  lighteval: ["--id", "details/{step}-id.parquet", "--ood", "details/{step}-ood.parquet", "--metric", "em"],
};

describe("untwist import", () => {
  for (const [name, flags] of Object.entries(sources))
    it(`takes over ${name}: every question of every checkpoint`, async () => {
      const run = `run ${name}`;
      await follow(run);
      const summary = await readReport(["import", run, ...flags], folder);
      expect(countsOf(summary)).toEqual(expected);
      expect(summary).toMatchObject({ imported: ["sft-10", "sft-20", "sft-30"], missing: [] });
      expect(summary.trajectory).toMatchObject({
        peak: { checkpoint: "sft-20" },
        sftEnd: { checkpoint: "sft-30" },
      });
      const { tasks, grades } = await readAnswers(await openRunFolder(at(run)));
      expect(tasks[13]).toEqual({
        split: "ood",
        index: 1,
        prompt: "ood 1?",
        reference: name === "lighteval" ? "1" : "1",
      });
      expect(grades["sft-30"]).toBe(`${"s".repeat(12)}ss${"w".repeat(10)}`);
      expect(summary.checkpoints[0].values.ood).toEqual({ correct: 0, total: 0 });
    });

  it("leaves out checkpoints without results, and says which", async () => {
    await follow("partial");
    each((step, split) => {
      if (step !== 20)
        cpSync(at(`inspect/${step}-${split}.json`), at(`some/${step}-${split}.json`), { recursive: true });
    });
    const { imported, missing } = await readReport(
      ["import", "partial", "--id", "some/{step}-id.json", "--ood", "some/{step}-ood.json"],
      folder,
    );
    expect([imported, missing]).toEqual([["sft-10", "sft-30"], ["sft-20"]]);
  });

  beforeAll(async () => {
    await follow("empty");
    write("bad/10-id.jsonl", '{"doc_id": 1}\nnot json\n');
    write("bad/10-means.json", JSON.stringify({ results: { a: {} }, config: {} }));
    write("bad/10-part.eval", packZip({ "samples/a.json": "{}" }, 8).subarray(0, 60));
    write("bad/10-bleu.jsonl", `${JSON.stringify(describeSample(10, "id", 1))}\n`);
    write("bad/10-other.txt", "hello");
    const [first, ...others] = indexes.map((index) => describeSample(10, "id", index));
    write("mixed/10-id.jsonl", [first, ...others].map((line) => `${JSON.stringify(line)}\n`).join(""));
    write(
      "mixed/20-id.jsonl",
      [...others, { ...first, doc_id: 99 }].map((line) => `${JSON.stringify(line)}\n`).join(""),
    );
  });
  const both = (path: string): readonly string[] => ["import", "empty", "--id", path, "--ood", path];
  const mistakes: Readonly<Record<string, () => Mistake>> = {
    "a pattern that means one file for all": () => [both("bad/10-id.jsonl"), "{step}"],
    "a pattern that means nothing": () => [
      both("nowhere/{step}.jsonl"),
      "nowhere/{step}.jsonl",
      "nowhere/30.jsonl",
    ],
    "a line that is not a sample, with its number": () => [
      both("bad/{step}-id.jsonl"),
      "line 2",
      "bad/10-id.jsonl",
    ],
    "means without questions": () => [both("bad/{step}-means.json"), "means only", "--log_samples"],
    "a part of an archive": () => [both("bad/{step}-part.eval"), "ZIP"],
    "a metric that is neither right nor wrong": () => [
      [...both("bad/{step}-bleu.jsonl"), "--metric", "bleu"],
      "no metric",
      "exact_match",
    ],
    "a file of another kind": () => [both("bad/{step}-other.txt"), "10-other.txt", "samples_*.jsonl"],
    "filters without a choice": () => [
      ["import", "empty", "--id", "lm/{name}/samples_id_*.jsonl", "--ood", "lm/{name}/samples_ood_*.jsonl"],
      "--filter",
      "strict-match, loose",
    ],
    "different questions for two checkpoints": () => [
      both("mixed/{step}-id.jsonl"),
      "sft-20",
      "sft-10",
      "question",
    ],
    "a run that untwist evaluates": () => [
      ["import", "trained", "--id", "a{step}", "--ood", "b{step}"],
      "trained",
    ],
  };
  for (const [name, mistake] of Object.entries(mistakes))
    it(`refuses ${name}`, () => expectRefusal(mistake(), folder));
  it("refuses to ask imported questions itself", () =>
    expectRefusal([["eval", "run lighteval", "--environment", "general-points"], "imported"], folder));
});

describe("untwist export", () => {
  beforeAll(async () => {
    write("tiny.yaml", tinyRecipe);
    const { code, stderr } = await runUntwist(
      ["run", "tiny.yaml", "--out", "trained", "--set", "repairs=false"],
      folder,
    );
    expect(code, stderr).toBe(0);
  });

  it("writes curves that TensorBoard reads, a folder a stage", async () => {
    const { code, stdout, stderr } = await runUntwist(
      ["export", "trained", "--as", "tfevents", "--out", "curves"],
      folder,
    );
    expect([code, stdout, stderr]).toEqual([0, "Written to curves\n", ""]);
    const files = listFilesBelow(at("curves"));
    expect(files.map((file) => dirname(file))).toEqual(["grpo-from-8", "ppo-from-4", "sft"]);
    expect(files.every((file) => /\/events\.out\.tfevents\.\d+\.untwist$/.test(file))).toBe(true);
    const events = parseEvents(readFileSync(at("curves", files[2]!)));
    const summary = parseJson(readFileSync(at("trained/summary.json"), "utf8"));
    for (const { stage, step, accuracy } of summary.checkpoints.filter(({ stage }: Json) => stage !== "rl")) {
      const found = events.find(
        (event) => event.name === "eval/ood/general-points/acc" && event.step === step,
      );
      expect(found?.value, `${stage} ${step}`).toBeCloseTo(accuracy.ood.correct / accuracy.ood.total, 6);
    }
    expect(events.filter(({ name }) => name === "train/loss")).toHaveLength(12);
  });

  it("writes samples and results as lm-evaluation-harness does, which can be imported again", async () => {
    expect(
      (await runUntwist(["export", "trained", "--as", "lm-eval", "--out", "results"], folder)).code,
    ).toBe(0);
    const summary = parseJson(readFileSync(at("trained/summary.json"), "utf8"));
    const files = listFilesBelow(at("results/sft-8"));
    expect(files).toHaveLength(3);
    const results = parseJson(readFileSync(at("results/sft-8", files[0]!), "utf8"));
    const { accuracy } = summary.checkpoints.find(({ id }: Json) => id === "sft-8");
    expect(results.results["general-points-id"]["acc,none"]).toBeCloseTo(accuracy.id.correct / 24, 12);
    for (const step of [4, 8, 12])
      cpSync(at(`trained/checkpoints/sft-${step}`), at(`copied/checkpoint-${step}`), { recursive: true });
    await readReport(["follow", "copied", "--out", "again"], folder);
    const again = await readReport(
      [
        "import",
        "again",
        "--id",
        "results/{id}/samples_*-id_*.jsonl",
        "--ood",
        "results/{id}/samples_*-ood_*.jsonl",
      ],
      folder,
    );
    const sft = summary.checkpoints.filter(({ stage }: Json) => stage === "sft");
    expect(countsOf(again)).toEqual(countsOf({ checkpoints: sft }));
  });

  it("refuses another form, a folder in use, and a run without evaluations", async () => {
    await expectRefusal(
      [["export", "trained", "--as", "xlsx", "--out", "new"], '"xlsx"', "tfevents"],
      folder,
    );
    await expectRefusal([["export", "trained", "--as", "lm-eval", "--out", "results"], "results"], folder);
    await expectRefusal([["export", "empty", "--as", "lm-eval", "--out", "new"], "evaluated"], folder);
  });
});

describe("untwist signals", () => {
  it("ranks what could be known by what it would have cost, the true peak beside it", async () => {
    const { peak, ranked, unmeasured } = await readReport(["signals", "trained"], folder);
    const summary = parseJson(readFileSync(at("trained/summary.json"), "utf8"));
    expect(summary.checkpoints.map(({ id }: Json) => id)).toContain(peak.checkpoint);
    const names = ranked.map(({ name }: Json) => name);
    for (const name of ["ID accuracy", "ID loss", "training loss", "rotation of the weights from the base"])
      expect(names).toContain(name);
    const regrets = ranked.map(({ regret }: Json) => regret.estimate);
    expect(regrets).toEqual([...regrets].sort((a, b) => a - b));
    expect(unmeasured).toContain("KL to the start");
    const { stdout } = await runUntwist(["signals", "trained"], folder);
    expect(stdout).toContain("OOD lost against the peak");
  });

  it("refuses a run with too few checkpoints", () =>
    expectRefusal([["signals", "empty"], "0 evaluated", "3", "untwist eval empty"], folder));
});
