/** `untwist follow`: folders of every trainer, whole and broken, become runs that refer to their weights. */
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { beforeAll, describe, expect, it } from "vitest";
import { encodeEvents } from "../src/base/file/index.ts";
import { locateModel } from "../src/lab/machine/index.ts";
import { buildModel, nameShard, writeCheckpointFolder } from "./support/checkpoint-folder.ts";
import { expectRefusal } from "./support/refusal.ts";
import { readReport } from "./support/surgery.ts";
import { trainerLayouts, writeAdapterTraining, writeTrainerFolder } from "./support/trainer-folder.ts";
import {
  createWorkplace,
  hashFiles,
  type Json,
  listFilesBelow,
  parseJson,
  runUntwist,
} from "./support/untwist.ts";

const { folder, at } = createWorkplace();

const follow = (out: string, ...args: readonly string[]): Promise<Json> =>
  readReport(["follow", ...args, "--out", out], folder);
const stepsOf = ({ trainings }: Json): readonly number[][] => trainings.map(({ steps }: Json) => steps);
const idsOf = ({ checkpoints }: Json): readonly string[] => checkpoints.map(({ id }: Json) => id);
const readMetrics = (run: string, stage: string): readonly Json[] =>
  readFileSync(at(run, "metrics", `${stage}.jsonl`), "utf8")
    .trimEnd()
    .split("\n")
    .map(parseJson);

beforeAll(async () => {
  await writeCheckpointFolder(at("base"), buildModel("base", "BF16"), { numShards: 2 });
});

describe("untwist follow", () => {
  for (const [trainer, { stage, step, place = "" }] of Object.entries(trainerLayouts))
    it(`follows ${trainer}: every step, in order, where its weights lie, and copies nothing`, async () => {
      const name = trainer.replaceAll(" ", "-");
      const home = await writeTrainerFolder(at(name), trainer, [5, 100, 20]);
      const before = hashFiles(home);
      const report = await follow(`run-${name}`, name, "--base", "base");
      expect(stepsOf(report)).toEqual([[5, 20, 100]]);
      expect(report.trainings[0]).toMatchObject({ stage, partial: [], unreadLogs: [] });
      expect(report.checkpoints.map(({ path }: Json) => path)).toEqual([
        at("base"),
        ...[5, 20, 100].map((each) => join(home, step(each), place).replace(/\/$/, "")),
      ]);
      const [base, ...others] = report.checkpoints;
      expect(base).toMatchObject({ id: "base", stage: "base" });
      expect(others.map(({ parent }: Json) => parent)).toEqual(["base", others[0].id, others[1].id]);
      expect(hashFiles(home)).toEqual(before);
      expect(listFilesBelow(at(`run-${name}`)).filter((file) => file.endsWith(".safetensors"))).toEqual([]);
    });

  it("brings in what trainers logged, under the names that curves have", async () => {
    const [state] = readMetrics("run-the-Hugging-Face-Trainer", "sft");
    expect(state).toMatchObject({
      step: 5,
      loss: 0.4,
      gradientNorm: 0.5,
      learningRate: 1e-5,
      trainer: { epoch: 0.05 },
    });
    expect(readMetrics("run-LLaMA-Factory", "sft").map(({ step, loss }) => [step, loss])).toEqual([
      [5, 0.4],
      [20, 0.1],
      [100, 0.02],
    ]);
    expect(readMetrics("run-TRL", "trl")[2]).toMatchObject({
      step: 100,
      reward: { mean: 1 },
      klToStart: 0.02,
      entropy: 0.3,
    });
    expect(readMetrics("run-OpenRLHF", "ckpt-ppo")[0]).toMatchObject({
      step: 5,
      reward: { mean: Math.fround(0.05) },
    });
  });

  it("keeps of a step that a restarted trainer logged twice what came last, from states and events alike", async () => {
    const home = await writeTrainerFolder(at("restarted"), "the Hugging Face Trainer", [10, 20]);
    const event = (step: number, value: number): Parameters<typeof encodeEvents>[0][number] => ({
      name: "train/grad_norm",
      step,
      value,
      wallTime: 0,
    });
    mkdirSync(join(home, "runs/a"), { recursive: true });
    writeFileSync(
      join(home, "runs/a/events.out.tfevents.900.h.1.0"),
      encodeEvents([event(10, 1), event(15, 8), event(20, 8)]),
    );
    writeFileSync(
      join(home, "runs/a/events.out.tfevents.1000.h.1.0"),
      encodeEvents([event(15, 2), event(20, 3)]),
    );
    // Killed in the middle of an event.
    truncateSync(
      join(home, "runs/a/events.out.tfevents.1000.h.1.0"),
      encodeEvents([event(15, 2)]).length + 30,
    );
    const history = [
      { step: 10, loss: 9 },
      { step: 20, loss: 9 },
      { step: 10, loss: 1 },
      { step: 15, loss: 2 },
    ];
    writeFileSync(
      join(home, "checkpoint-20/trainer_state.json"),
      JSON.stringify({ global_step: 20, log_history: history }),
    );
    writeFileSync(
      join(home, "checkpoint-10/trainer_state.json"),
      JSON.stringify({ global_step: 10, log_history: [{ step: 10, loss: 1 }] }),
    );
    await follow("run-restarted", "restarted");
    expect(
      readMetrics("run-restarted", "sft").map(({ step, loss, gradientNorm }) => [step, loss, gradientNorm]),
    ).toEqual([
      [10, 1, 1],
      [15, 2, 2],
      [20, 9, 8],
    ]);
  });

  it("adds what appeared since, keeps what the trainer removed, and says both", async () => {
    const home = await writeTrainerFolder(at("growing"), "the Hugging Face Trainer", [10, 20]);
    await follow("run-growing", "growing", "--base", "base");
    await writeTrainerFolder(home, "the Hugging Face Trainer", [30]);
    rmSync(join(home, "checkpoint-10"), { recursive: true });
    const report = await follow("run-growing");
    expect([report.added, report.gone]).toEqual([["sft-30"], ["sft-10"]]);
    expect(idsOf(report)).toEqual(["base", "sft-10", "sft-20", "sft-30"]);
  });

  it("says of checkpoints that are gone that they are, where they would be evaluated or compared", async () => {
    const { code, stdout, stderr } = await runUntwist(["spectra", "run-growing", "--json"], folder);
    expect([code, stderr]).toEqual([0, expect.stringContaining("gone: sft-10")]);
    expect(parseJson(stdout).pairs.map(({ after }: Json) => after)).toEqual(["sft-20", "sft-30"]);
  });

  it("bears a trainer that renames and deletes folders while it looks", async () => {
    const home = await writeTrainerFolder(at("busy"), "the Hugging Face Trainer", [10, 20, 30, 40, 50]);
    const followed = follow("run-busy", "busy");
    for (const step of [50, 40, 30]) {
      renameSync(join(home, `checkpoint-${step}`), join(home, `tmp-checkpoint-${step}`));
      await wait(60);
      rmSync(join(home, `tmp-checkpoint-${step}`), { recursive: true });
      await wait(60);
    }
    expect(stepsOf(await followed)[0]).toEqual(expect.arrayContaining([10, 20]));
  });

  it("goes by the step that the trainer's state says, not by the name", async () => {
    const home = await writeTrainerFolder(at("renamed"), "the Hugging Face Trainer", [40]);
    renameSync(join(home, "checkpoint-40"), join(home, "checkpoint-4"));
    expect(stepsOf(await follow("run-renamed", "renamed"))).toEqual([[40]]);
  });
});

describe("untwist follow leaves alone until it is whole", () => {
  const shard = nameShard(1, 2);
  const partial: Readonly<Record<string, readonly [damage: (step: string) => void, words: string]>> = {
    "a checkpoint whose shard is missing": [(step) => rmSync(join(step, shard)), shard],
    "a checkpoint whose shard is short": [(step) => truncateSync(join(step, shard), 900), shard],
    "a checkpoint whose index is half-written": [
      (step) => truncateSync(join(step, "model.safetensors.index.json"), 40),
      "model.safetensors.index.json",
    ],
    "a checkpoint without its configuration": [(step) => rmSync(join(step, "config.json")), "config.json"],
    "a checkpoint without any weights": [
      (step) => {
        for (const name of listFilesBelow(step)) if (name.startsWith("model")) rmSync(join(step, name));
      },
      "no weights yet",
    ],
    "a checkpoint whose trainer has not written its state": [
      (step) => rmSync(join(step, "trainer_state.json")),
      "trainer_state.json",
    ],
    "a checkpoint whose trainer is writing its state": [
      (step) => truncateSync(join(step, "trainer_state.json"), 30),
      "trainer_state.json",
    ],
  };
  for (const [name, [damage, words]] of Object.entries(partial))
    it(name, async () => {
      const slug = name.replaceAll(/[^a-z]+/g, "-");
      const home = await writeTrainerFolder(at(slug), "the Hugging Face Trainer", [10, 20]);
      damage(join(home, "checkpoint-20"));
      const report = await follow(`run-${slug}`, slug);
      expect(stepsOf(report)).toEqual([[10]]);
      expect(report.trainings[0].partial).toMatchObject([{ step: 20, folder: join(home, "checkpoint-20") }]);
      expect(report.trainings[0].partial[0].reason).toContain(words);
      rmSync(join(home, "checkpoint-20"), { recursive: true });
      await writeTrainerFolder(home, "the Hugging Face Trainer", [10, 20]);
      expect((await follow(`run-${slug}`)).added).toEqual(["sft-20"]);
    });

  it("a step beyond the one that verl says it has finished", async () => {
    const home = await writeTrainerFolder(at("verl-writing"), "verl", [10, 20]);
    writeFileSync(join(home, "project/experiment/latest_checkpointed_iteration.txt"), "10");
    const report = await follow("run-verl-writing", "verl-writing");
    expect(stepsOf(report)).toEqual([[10]]);
    expect(report.trainings[0].partial[0].reason).toContain("step 10");
  });

  it("logs that are torn, which are told and do no harm", async () => {
    const home = await writeTrainerFolder(at("torn"), "LLaMA-Factory", [10, 20]);
    appendFileSync(join(home, "trainer_log.jsonl"), '{"current_steps": 30, "lo');
    writeFileSync(join(home, "events.out.tfevents.1.h.1.0"), Buffer.alloc(40, 7));
    const report = await follow("run-torn", "torn");
    expect(report.trainings[0].unreadLogs).toMatchObject([
      { file: join(home, "events.out.tfevents.1.h.1.0") },
    ]);
    expect(readMetrics("run-torn", "sft").map(({ step }) => step)).toEqual([10, 20]);
  });
});

describe("the lineage of followed trainings", () => {
  beforeAll(async () => {
    await writeTrainerFolder(at("exp/sft"), "the Hugging Face Trainer", [100, 200]);
    await writeTrainerFolder(at("exp/grpo"), "TRL", [10, 20]);
    await writeTrainerFolder(at("exp/ppo"), "TRL", [5]);
  });

  it("assumes that RL started from the SFT end, and says that it only assumes", async () => {
    const report = await follow("run-assumed", "exp", "--base", "base");
    expect(idsOf(report)).toEqual([
      "base",
      "sft-100",
      "sft-200",
      "grpo-step-10",
      "grpo-step-20",
      "ppo-step-5",
    ]);
    expect(report.trainings.map(({ isStartAssumed }: Json) => isStartAssumed)).toEqual([false, true, true]);
    expect(report.checkpoints[3]).toMatchObject({ branch: "grpo", parent: "sft-200" });
  });

  it("knows where RL started where its configuration says so", async () => {
    const config = { model_type: "llama", _name_or_path: at("exp/sft/checkpoint-100") };
    writeFileSync(at("exp/ppo/checkpoint-5/config.json"), JSON.stringify(config));
    const report = await follow("run-named", "exp/sft", "exp/ppo");
    expect(report.checkpoints.at(-1)).toMatchObject({ branch: "ppo", parent: "sft-100" });
    expect(report.trainings[1].isStartAssumed).toBe(false);
  });

  it("takes from a lineage file what cannot be guessed, and remembers it", async () => {
    mkdirSync(at("files"));
    const lines = [
      "base: ../base",
      "trainings:",
      "  - { folder: ../exp/sft }",
      "  - { folder: ../exp/grpo, stage: rl, branch: second, from: 100 }",
    ];
    writeFileSync(at("files/lineage.yaml"), lines.join("\n"));
    const first = await follow("run-said", "--lineage", "files/lineage.yaml");
    for (const report of [first, await follow("run-said")]) {
      expect(report.checkpoints.slice(-2)).toMatchObject([
        { id: "second-step-10", branch: "second", parent: "sft-100" },
        { id: "second-step-20", parent: "second-step-10" },
      ]);
      expect(report.checkpoints[0]).toMatchObject({ id: "base", path: at("base") });
    }
  });

  it("takes the base from the model card or the configuration where it is a folder here", async () => {
    const home = await writeTrainerFolder(at("carded"), "the Hugging Face Trainer", [10]);
    writeFileSync(join(home, "README.md"), `---\nlibrary_name: trl\nbase_model: ${at("base")}\n---\n`);
    expect((await follow("run-carded", "carded")).checkpoints[0]).toMatchObject({
      id: "base",
      path: at("base"),
    });
    const config = { model_type: "llama", _name_or_path: "org/elsewhere" };
    writeFileSync(join(home, "checkpoint-10/config.json"), JSON.stringify(config));
    const report = await follow("run-elsewhere", "carded");
    expect([idsOf(report), report.missingBase]).toEqual([["sft-10"], "org/elsewhere"]);
  });
});

describe("a followed LoRA training", () => {
  beforeAll(async () => {
    await writeAdapterTraining(at("lora"), "org/base", [10, 20]);
  });

  it("becomes links beside a configuration that names the base by its folder here", async () => {
    const report = await follow("run-lora", "lora", "--base", "base");
    expect(idsOf(report)).toEqual(["base", "sft-10", "sft-20"]);
    const config = parseJson(readFileSync(at("run-lora/checkpoints/sft-20/adapter_config.json"), "utf8"));
    expect(config.base_model_name_or_path).toBe(at("base"));
    expect(existsSync(at("run-lora/checkpoints/sft-20/adapter_model.safetensors"))).toBe(true);
  });

  it("is compared with its base, step by step", async () => {
    const record = await readReport(["spectra", "run-lora"], folder);
    expect(record.pairs.map(({ before, after }: Json) => `${before} ${after}`)).toEqual([
      "base sft-10",
      "base sft-20",
    ]);
    for (const { numMatrices, flags } of record.pairs) expect(numMatrices - flags.unchanged).toBe(1);
  });
});

describe("a followed run that was evaluated", () => {
  const asked = [
    "--environment",
    "general-points",
    "--prompt-format",
    "compact",
    "--count",
    "4",
    "--max-new-tokens",
    "29",
  ];
  beforeAll(async () => {
    cpSync(await locateModel("general-points-base"), at("shipped"), { recursive: true });
    for (const step of [1, 2]) cpSync(at("shipped"), at(`real/checkpoint-${step}`), { recursive: true });
    await follow("run-real", "real", "--base", "shipped");
    await readReport(["eval", "run-real", ...asked], folder);
  });

  it("is not mixed with weights that were written later, nor with another base", async () => {
    cpSync(at("shipped"), at("other-base"), { recursive: true });
    await expectRefusal(
      [["follow", "--base", "other-base", "--out", "run-real"], "base", "evaluated"],
      folder,
    );
    const weights = at("real/checkpoint-2/model.safetensors");
    const bytes = readFileSync(weights);
    writeFileSync(
      weights,
      bytes.map((byte, index) => (index === bytes.length - 1 ? byte ^ 1 : byte)),
    );
    await expectRefusal([["follow", "--out", "run-real"], "sft-2", "written again"], folder);
    // Written once more as they were, they are those that were evaluated.
    writeFileSync(weights, bytes);
    utimesSync(weights, new Date(), new Date(Date.now() + 5000));
    await follow("run-real");
    await expectRefusal(
      [["eval", "run-real", "--temperature", "1", "--serve", "x {path} {port}"], "embedded engine"],
      folder,
    );
  });

  it("keeps what it has when the trainer deletes the whole training", async () => {
    await follow("run-lost", "real", "--base", "shipped");
    renameSync(at("real"), at("moved"));
    const report = await follow("run-lost");
    expect([report.gone, idsOf(report)]).toEqual([
      ["sft-1", "sft-2"],
      ["base", "sft-1", "sft-2"],
    ]);
    const { stderr } = await runUntwist(["eval", "run-lost", ...asked], folder);
    expect(stderr).toContain("sft-2 cannot be evaluated any more");
    renameSync(at("moved"), at("real"));
  });
});
