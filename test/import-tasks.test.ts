/** Results of other tools that hold more than one answer a question, or more than one task; damaged ones; curves given away. */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { writeParquet } from "../src/base/file/index.ts";
import { readAnswers } from "../src/face/view/answers.ts";
import { evaluationSchema, openRunFolder, type RunFolder } from "../src/run/index.ts";
import { openEnvironment, splits } from "../src/tasks/environment/index.ts";
import { createTasks, hashTask } from "../src/tasks/evaluation/index.ts";
import { expectRefusal } from "./support/refusal.ts";
import { readReport } from "./support/surgery.ts";
import { writeTrainerFolder } from "./support/trainer-folder.ts";
import { createWorkplace, type Json, parseJson, runUntwist } from "./support/untwist.ts";
import { packZip } from "./support/zip-file.ts";

const { folder, at } = createWorkplace();

const steps = [10, 20, 30];
const indexes = Array.from({ length: 16 }, (_, index) => index);
/** How many of the questions a checkpoint gets right: ID all, OOD best at step 10. */
const numRight: Readonly<Record<number, number>> = { 10: 14, 20: 12, 30: 4 };

function write(path: string, content: string | Buffer): void {
  mkdirSync(dirname(at(path)), { recursive: true });
  writeFileSync(at(path), content);
}

interface LogChoice {
  readonly numEpochs: number;
  readonly isRight: (index: number, epoch: number) => boolean;
  readonly head?: Json;
}

function describeLog({ numEpochs, isRight, head = {} }: LogChoice): string {
  const samples = indexes.flatMap((index) =>
    Array.from({ length: numEpochs }, (_, epoch) => ({
      id: `q${index}`,
      epoch: epoch + 1,
      input: `${index}?`,
      target: String(index),
      output: { completion: "long" },
      scores: { match: { value: isRight(index, epoch) ? "C" : "I", answer: "short" } },
    })),
  );
  return JSON.stringify({
    status: "success",
    eval: { task: "sums", created: "2026-01-01T10:00:00", model: "m" },
    ...head,
    samples,
  });
}

const describeSample = (index: number, right: boolean, others: Json = {}): string =>
  `${JSON.stringify({
    doc_id: index,
    target: String(index),
    arguments: { gen_args_0: { arg_0: `${index}?`, arg_1: {} } },
    resps: [["it is"]],
    filtered_resps: [right ? String(index) : "no"],
    filter: "none",
    metrics: ["acc"],
    acc: right ? 1 : 0,
    ...others,
  })}\n`;
const describeSamples = (num: number): string =>
  indexes.map((index) => describeSample(index, index < num)).join("");

const follow = (run: string): Promise<Json> => readReport(["follow", "out", "--out", run], folder);
const importBoth = (run: string, path: string, ...flags: readonly string[]): readonly string[] => [
  ...["import", run, "--id", path, "--ood", path],
  ...flags,
];

/** What one epoch a question says. */
let one: Json;
beforeAll(async () => {
  await writeTrainerFolder(at("out"), "the Hugging Face Trainer", steps);
  for (const step of steps) {
    for (const numEpochs of [1, 4])
      write(
        `e${numEpochs}/${step}.json`,
        describeLog({ numEpochs, isRight: (index) => index < (numRight[step] ?? 0) }),
      );
    write(
      `uneven/${step}.json`,
      describeLog({ numEpochs: step === 20 ? 2 : 4, isRight: (index) => index < 8 }),
    );
    write(
      `thirds/${step}.json`,
      describeLog({
        numEpochs: 3,
        isRight: (index, epoch) => index < (numRight[step] ?? 0) && epoch !== index % 3,
      }),
    );
    for (const [task, num] of [
      ["grp_a", numRight[step] ?? 0],
      ["grp_b", 16 - (numRight[step] ?? 0)],
    ] as const)
      write(`lm/${step}/samples_${task}_2026-01-02T00-00-00.1.jsonl`, describeSamples(num));
    // An older run of one task, which must not count.
    write(`lm/${step}/samples_grp_b_2026-01-01T00-00-00.1.jsonl`, describeSamples(16));
    write(`unnamed/${step}/a.jsonl`, describeSamples(3));
    write(`unnamed/${step}/b.jsonl`, describeSamples(3));
  }
  for (const run of ["one", "four", "mixed", "group", "grouped", "none"]) await follow(run);
  one = await readReport(importBoth("one", "e1/{step}.json"), folder);
});

describe("epochs of a question", () => {
  it("are one item: the same test and interval as one epoch, where all are alike", async () => {
    const four = await readReport(importBoth("four", "e4/{step}.json"), folder);
    // Each half of the questions is measured by the other half's peak.
    expect(one.trajectory.forgetting.numItems).toBe(16);
    expect(four.trajectory).toEqual(one.trajectory);
    expect(four.sources[0]).toMatchObject({ task: "sums", metric: "match", numQuestions: 16, numSamples: 4 });
    const items = readFileSync(at("four/evaluations/sft-10.jsonl"), "utf8").trim().split("\n").map(parseJson);
    expect(items).toHaveLength(32);
    expect(new Set(items.map(({ promptHash }: Json) => promptHash)).size).toBe(16);
    expect(items[0]).toMatchObject({ samples: { solved: 4, total: 4 }, parts: { solved: true } });
    expect(items[0].parts).not.toHaveProperty("format");
    const { stdout } = await runUntwist(importBoth("four", "e4/{step}.json"), folder);
    expect(stdout).toContain("16 questions, 4 epochs");
    expect(parseJson(readFileSync(at("four/imported.json"), "utf8")).sources).toEqual(four.sources);
  });

  it("count by their mean, as Inspect has it", async () => {
    const { checkpoints } = await readReport(importBoth("mixed", "thirds/{step}.json"), folder);
    const counted = checkpoints.map(({ accuracy }: Json) => accuracy.ood);
    for (const [index, step] of steps.entries()) {
      expect(counted[index].total).toBe(16);
      expect(counted[index].correct).toBeCloseTo(((numRight[step] ?? 0) * 2) / 3, 8);
    }
    const { stdout } = await runUntwist(["show", "mixed"], folder);
    expect(stdout).toContain("9.33/16");
  });

  it("are refused where checkpoints have not as many, or a question lacks some", async () => {
    await expectRefusal([importBoth("none", "uneven/{step}.json"), "sft-20", "2 and 4 times"], folder);
    const log = parseJson(describeLog({ numEpochs: 4, isRight: () => true }));
    write("short/10.json", JSON.stringify({ ...log, samples: log.samples.slice(0, -1) }));
    await expectRefusal([importBoth("none", "short/{step}.json"), "question q15 has 3 epochs"], folder);
  });
});

describe("files of several tasks", () => {
  it("are all taken, of each task the newest", async () => {
    const { checkpoints, sources } = await readReport(
      importBoth("group", "lm/{step}/samples_grp_*.jsonl"),
      folder,
    );
    for (const { accuracy } of checkpoints) expect(accuracy.ood).toEqual({ correct: 16, total: 32 });
    expect(sources).toHaveLength(12);
    expect(sources.map(({ task }: Json) => task).slice(0, 2)).toEqual(["grp_a", "grp_b"]);
    expect(sources[1].path).toContain("2026-01-02");
  });

  it("are refused where nothing tells them apart", async () => {
    await expectRefusal(
      [importBoth("none", "unnamed/{step}/*.jsonl"), "a.jsonl", "b.jsonl", "which task"],
      folder,
    );
    for (const [model, name] of [
      ["m", "a"],
      ["other", "b"],
    ])
      write(
        `models/10/${name}.json`,
        describeLog({
          numEpochs: 1,
          isRight: () => true,
          head: { eval: { task: "sums", created: `2026-01-0${name === "a" ? 1 : 2}`, model } },
        }),
      );
    await expectRefusal([importBoth("none", "models/{step}/*.json"), "several models"], folder);
  });

  it("are refused where an evaluation was not finished", async () => {
    write(
      "cut/10.json",
      describeLog({
        numEpochs: 1,
        isRight: () => true,
        head: { status: "cancelled", eval: { task: "sums", created: "2026" } },
      }),
    );
    await expectRefusal([importBoth("none", "cut/{step}.json"), '"cancelled"', "finished"], folder);
  });
});

describe("questions of a group", () => {
  const passages = (numPassages: number): string =>
    indexes
      .map((index) =>
        describeSample(index, index < 12, { doc: { passage: `p${index % numPassages}`, nested: {} } }),
      )
      .join("");
  const by = (field: string): readonly string[] => ["--group", field];

  it("count as one in intervals, and lie in one half", async () => {
    for (const step of steps) {
      write(`grouped/${step}.jsonl`, passages(4));
      write(`alone/${step}.jsonl`, passages(1));
      write(
        `grouped/${step}.json`,
        describeLog({ numEpochs: 2, isRight: () => true }).replaceAll(
          '"target"',
          '"metadata":{"story":7},"target"',
        ),
      );
    }
    await readReport(importBoth("grouped", "grouped/{step}.jsonl", ...by("passage")), folder);
    const items = readFileSync(at("grouped/evaluations/sft-10.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map(parseJson);
    expect(items.map(({ group }: Json) => group)).toEqual(
      [...indexes, ...indexes].map((index) => `p${index % 4}`),
    );
  });

  it("are refused where a question lacks the field, and where all are of one", async () => {
    const grouped = importBoth("none", "grouped/{step}.jsonl", ...by("chapter"));
    await expectRefusal([grouped, "line 1 of", '"chapter"', "--group", "passage"], folder);
    const nested = importBoth("none", "grouped/{step}.jsonl", ...by("nested"));
    await expectRefusal([nested, '"nested"', "no text or number"], folder);
    const alone = importBoth("none", "alone/{step}.jsonl", ...by("passage"));
    await expectRefusal([alone, "sft-10", "one passage", '"p0"', "it takes two"], folder);
    const story = importBoth("none", "grouped/{step}.json", ...by("story"));
    await expectRefusal([story, "one story", '"7"'], folder);
  });
});

describe("questions with choices", () => {
  it("show the option that was chosen, not its likelihood", async () => {
    await follow("choices");
    for (const step of steps)
      write(
        `mc/${step}.jsonl`,
        indexes
          .map((index) =>
            describeSample(index, true, {
              target: 1,
              arguments: Object.fromEntries(
                [" no", " yes, by all means"].map((option, place) => [
                  `gen_args_${place}`,
                  { arg_0: `${index}?`, arg_1: option },
                ]),
              ),
              filtered_resps: [
                ["-3.2", "False"],
                ["-9.1", "False"],
              ],
              metrics: ["acc", "acc_norm"],
              acc_norm: 1,
            }),
          )
          .join(""),
      );
    const answersBy = async (metric: string): Promise<readonly string[]> => {
      await readReport(importBoth("choices", "mc/{step}.jsonl", "--metric", metric), folder);
      return [
        parseJson(readFileSync(at("choices/evaluations/sft-10.jsonl"), "utf8").split("\n")[0]!).answer,
        parseJson(readFileSync(at("choices/imported.json"), "utf8")).tasks[0].reference,
      ];
    };
    expect(await answersBy("acc")).toEqual(["no", "yes, by all means"]);
    expect(await answersBy("acc_norm")).toEqual(["yes, by all means", "yes, by all means"]);
  });

  it("have no forgetting to judge where guessing does as well", async () => {
    await follow("guessed");
    const scored = (index: number, right: boolean): string =>
      describeSample(index, right, {
        target: 1,
        arguments: Object.fromEntries(
          [" no", " yes"].map((option, place) => [
            `gen_args_${place}`,
            { arg_0: `${index}?`, arg_1: option },
          ]),
        ),
        filtered_resps: [
          ["-3.2", "False"],
          ["-9.1", "False"],
        ],
      });
    // Half of both halves right, as by tossing a coin.
    for (const step of steps)
      write(`coin/${step}.jsonl`, indexes.map((index) => scored(index, index % 4 < 2)).join(""));
    const { trajectory } = await readReport(importBoth("guessed", "coin/{step}.jsonl"), folder);
    expect(trajectory.unjudgedBecause).toContain("guessing may as well (50.0 %)");
    expect(trajectory.sentences.join(" ")).not.toContain("no forgetting to report");
  });

  it("of one text that is scored are one answer, not a likelihood and a second one", async () => {
    await follow("scored");
    for (const step of steps)
      write(
        `lambada/${step}.jsonl`,
        indexes
          .map((index) =>
            describeSample(index, true, {
              arguments: { gen_args_0: { arg_0: `${index}?`, arg_1: " word" } },
              filtered_resps: [["-3.2", "True"]],
            }),
          )
          .join(""),
      );
    const { sources } = await readReport(importBoth("scored", "lambada/{step}.jsonl"), folder);
    expect(sources[0]).toMatchObject({ numQuestions: 16, numSamples: 1 });
  });

  it("are not compared where two checkpoints were held against different right answers", async () => {
    await follow("retargeted");
    for (const step of steps)
      write(
        `targets/${step}.jsonl`,
        indexes
          .map((index) => describeSample(index, true, { target: step === 20 && index === 3 ? "four" : "x" }))
          .join(""),
      );
    await expectRefusal([importBoth("retargeted", "targets/{step}.jsonl"), "question 3 differs"], folder);
  });
});

describe("damaged files", () => {
  it("are refused in a sentence, wherever the damage is", async () => {
    await writeParquet(at("whole.parquet"), [
      { name: "doc", kind: "text", values: indexes.map((index) => JSON.stringify({ id: index })) },
      { name: "metric", kind: "text", values: indexes.map(() => '{"em":1}') },
    ]);
    const whole = readFileSync(at("whole.parquet"));
    // The first page's header, the middle of the data, the footer's lists, and its length.
    for (const [name, place] of [0.02, 0.5, 0.8, 0.97].entries()) {
      const bytes = Buffer.from(whole);
      bytes.fill(0xff, Math.floor(place * bytes.length), Math.floor(place * bytes.length) + 12);
      write(`torn-${name}/10.parquet`, bytes);
      const { code, stderr } = await runUntwist(importBoth("none", `torn-${name}/{step}.parquet`), folder);
      expect(code, stderr).toBe(2);
      expect(stderr).toMatch(/^Cannot read ".*10.parquet": .*\n$/);
    }
    const archive = packZip({ "header.json": "{}", "samples/a.json": "{}" }, 0);
    // The place of an entry that its directory names: beyond the end.
    const entry = archive.indexOf(Buffer.from([0x50, 0x4b, 0x01, 0x02]));
    archive.writeUInt32LE(0x7ffffff0, entry + 42);
    write("torn/10.eval", archive);
    await expectRefusal([importBoth("none", "torn/{step}.eval"), "Cannot read", "10.eval"], folder);
  });
});

describe("curves and questions of a run", () => {
  it("are given away with all that was measured, RL from where it started", async () => {
    cpSync(at("one"), at("given"), { recursive: true });
    for (const form of ["csv", "jsonl"])
      expect((await runUntwist(["export", "given", "--as", form, "--out", form], folder)).code).toBe(0);
    const rows = readFileSync(at("jsonl/curves.jsonl"), "utf8").trim().split("\n").map(parseJson);
    expect(readFileSync(at("csv/curves.csv"), "utf8").split("\n")[0]).toBe("stage,step,name,value");
    expect(readFileSync(at("csv/curves.csv"), "utf8").trim().split("\n")).toHaveLength(rows.length + 1);
    const ood = rows.filter(({ name }: Json) => name === "eval/ood/imported/acc");
    expect(ood.map(({ step, value }: Json) => [step, value * 16])).toEqual(
      steps.map((step) => [step, numRight[step]]),
    );
    // What nobody measured is not a curve.
    expect(rows.some(({ name }: Json) => name.endsWith("/format"))).toBe(false);
  });

  it("come with the questions that were asked, never with those of today", async () => {
    const question = (split: string, index: number): string =>
      `${JSON.stringify({ question: `${split} ${index}?`, answer: String(index), metadata: { grader: "numeric" } })}\n`;
    const asked = (split: string): string => `${question(split, 1)}${question(split, 2)}`;
    for (const split of splits) write(`q/${split}.jsonl`, asked(split));
    cpSync(at("one"), at("asked"), { recursive: true });
    const path = `items:${at("q")}`;
    await writeAsked(await openRunFolder(at("asked")), path);
    const exportAsked = (out: string): readonly string[] => [
      "export",
      "asked",
      "--as",
      "lm-eval",
      "--out",
      out,
    ];
    expect((await runUntwist(exportAsked("samples"), folder)).code).toBe(0);

    write("q/ood.jsonl", question("ood", 1) + question("ood", 3));
    await expectRefusal(
      [exportAsked("stale"), "OOD question", path, "is not the one that was asked"],
      folder,
    );
    rmSync(at("q"), { recursive: true });
    await expectRefusal([exportAsked("gone"), "there is no id.jsonl"], folder);
    const { tasks, answers } = await readAnswers(await openRunFolder(at("asked")));
    expect(tasks.map(({ prompt }) => prompt.slice(0, 9))).toEqual(Array(4).fill("not known"));
    expect(answers["sft-10"]).toEqual(["5", "5", "5", "5"]);
  });
});

/** Makes a run one that was asked two items a split, and answered "5". */
async function writeAsked(run: RunFolder, name: string): Promise<void> {
  const environment = await openEnvironment(name);
  const evaluation = evaluationSchema.parse({ numTasks: 2 });
  await run.writeRecipe({ ...run.recipe, environment: name, promptFormat: "chat", evaluation });
  const items = splits.flatMap((split) =>
    createTasks(
      { environment, promptFormat: "chat", seed: evaluation.seed },
      { split, first: 0, numTasks: 2 },
    ).map((task, index) => ({
      ...{ split, index, answer: "5", numAttempts: 1, outcome: "incorrect", reward: 0 },
      promptHash: hashTask(environment, task, "chat"),
      parts: { format: true, values: false, solved: false },
    })),
  );
  for (const step of steps) await run.writeEvaluation(`sft-${step}`, items);
}
