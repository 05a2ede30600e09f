/** What a lineage file can say, what becomes of one model by itself, and what is left out of a followed run. */
import { mkdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { type FollowReport, followTrainings, resolveLineage } from "../src/lab/follow/index.ts";
import { openRunFolder, parseLineageFile } from "../src/run/index.ts";
import { writeAdapterFolder } from "./support/adapter-folder.ts";
import { buildModel, writeCheckpointFolder } from "./support/checkpoint-folder.ts";
import { readReport } from "./support/surgery.ts";
import { describeState, writeAdapterTraining, writeTrainerFolder } from "./support/trainer-folder.ts";
import { createWorkplace, type Json, listFilesBelow, readOutput } from "./support/untwist.ts";

const { folder, at } = createWorkplace();
beforeAll(async () => {
  await writeCheckpointFolder(at("base"), buildModel("base", "BF16"));
});

type FollowRequest = Parameters<typeof followTrainings>[0];
const follow = (run: string, request: Partial<FollowRequest>): Promise<FollowReport> =>
  followTrainings({ folders: [], base: at("base"), ...request, out: at(run) });
const byLineage = (run: string, lines: string): Promise<FollowReport> =>
  follow(run, { lineage: resolveLineage(parseLineageFile(`trainings:\n${lines}`, "lineage.yaml"), folder) });
const idsOf = ({ lineage }: FollowReport): readonly string[] => lineage.map(({ id }) => id);
const refusalOf = (answer: Promise<unknown>): Promise<string> =>
  answer.then(
    () => "nothing was refused",
    ({ message }: Error) => message,
  );

describe("a lineage file", () => {
  beforeAll(async () => {
    await writeTrainerFolder(at("v0"), "the Hugging Face Trainer", [50, 100]);
    await writeTrainerFolder(at("v1"), "the Hugging Face Trainer", [50, 100]);
    await writeTrainerFolder(at("v2"), "the Hugging Face Trainer", [150]);
    for (const step of [1, 2])
      await writeCheckpointFolder(at(`rounds/round_${step}/policy/hf`), buildModel(`${step}`, "BF16"));
  });

  it("makes one SFT of a training that was resumed into a new folder, and remembers it", async () => {
    const first = await byLineage(
      "run-resumed",
      "  - { folder: v0, stage: sft }\n  - { folder: v2, stage: sft }",
    );
    for (const report of [first, await follow("run-resumed", {})])
      expect(idsOf(report)).toEqual(["base", "sft-50", "sft-100", "sft-150"]);
    expect(first.lineage.map(({ parent }) => parent)).toEqual([undefined, "base", "sft-50", "sft-100"]);
    const steps = readFileSync(at("run-resumed/metrics/sft.jsonl"), "utf8").match(/"step":\d+/g);
    expect(steps).toEqual(['"step":50', '"step":100', '"step":150']);
  });

  it("says how many steps came before where a folder counts anew, and must say it", async () => {
    const lines = "  - { folder: v0, stage: sft }\n  - { folder: v1, stage: sft }";
    expect(await refusalOf(byLineage("run-anew", lines))).toContain("after: 100");
    const first = await byLineage("run-anew", lines.replace("v1,", "v1, after: 100,"));
    for (const report of [first, await follow("run-anew", {})])
      expect(idsOf(report)).toEqual(["base", "sft-50", "sft-100", "sft-150", "sft-200"]);
    expect(first.lineage.at(-1)?.path).toBe(at("v1/checkpoint-100"));
    const steps = readFileSync(at("run-anew/metrics/sft.jsonl"), "utf8").match(/"step":\d+/g);
    expect(steps).toEqual(['"step":50', '"step":100', '"step":150', '"step":200']);
  });

  it("joins RL folders of one branch, too", async () => {
    const report = await byLineage(
      "run-branch",
      "  - { folder: v0, stage: rl, branch: grpo }\n  - { folder: v2, stage: rl, branch: grpo }",
    );
    expect(idsOf(report)).toEqual(["base", "grpo-step-50", "grpo-step-100", "grpo-step-150"]);
  });

  it("gives a pattern for step folders and the place of the weights, and remembers it", async () => {
    const first = await byLineage(
      "run-rounds",
      '  - { folder: rounds, stage: rl, branch: own, steps: "round_{step}", weights: policy/hf }',
    );
    const again = [await follow("run-rounds", {})];
    // By another path, the same folder: what was said of it holds.
    again.push(await follow("run-rounds", { folders: [relative(process.cwd(), at("rounds"))] }));
    for (const report of [first, ...again]) {
      expect(idsOf(report)).toEqual(["base", "own-step-1", "own-step-2"]);
      expect(report.lineage[2]?.path).toBe(at("rounds/round_2/policy/hf"));
    }
  });

  const mistakes: Readonly<Record<string, readonly [line: string, ...words: string[]]>> = {
    "a branch called as the SFT training is": ["{ folder: v0, stage: rl, branch: sft }", "branch", "taken"],
    "a pattern without a place for the number": ["{ folder: v0, steps: round_1 }", "steps", "{step}"],
    "weights outside of the step folder": ["{ folder: v0, weights: ../other }", "weights", "inside"],
    "a pattern that nothing fits": ['{ folder: v0, steps: "round_{step}" }', "round_{step}", "checkpoint-50"],
    "one entry for two SFT trainings": ["{ folder: ., stage: sft }", "both are taken for SFT"],
  };
  for (const [name, [line, ...words]] of Object.entries(mistakes))
    it(`is refused with ${name}`, async () => {
      const message = await refusalOf((async () => await byLineage("run-refused", `  - ${line}`))());
      for (const word of words) expect(message).toContain(word);
    });
});

describe("one model and its base", () => {
  beforeAll(async () => {
    await writeCheckpointFolder(at("tuned"), buildModel("tuned", "BF16"));
    await writeAdapterFolder(at("lora"), {
      base: "org/base",
      modules: { "model.layers.0.self_attn.q_proj": [24, 24, 4] },
      seed: "one",
    });
  });

  it.each(["tuned", "lora"])("become a run of one SFT checkpoint: %s", async (name) => {
    const report = await follow(`run-${name}`, { folders: [at(name)] });
    expect(report.lineage).toMatchObject([
      { id: "base", stage: "base" },
      { id: "sft-1", stage: "sft", step: 1, parent: "base" },
    ]);
    expect(idsOf(await follow(`run-${name}`, {}))).toEqual(["base", "sft-1"]);
    const record = await readReport(["spectra", `run-${name}`], folder);
    expect(record.pairs).toMatchObject([{ before: "base", after: "sft-1" }]);
    await readOutput(["show", `run-${name}`], folder);
  });

  it("is told where it says otherwise than its base: positions, ties, tokenizer; an unreadable file is told as well", async () => {
    await writeCheckpointFolder(at("other"), buildModel("tuned", "BF16"));
    const config = { model_type: "llama", rope_theta: 5e5, tie_word_embeddings: true };
    writeFileSync(at("other/config.json"), JSON.stringify(config));
    writeFileSync(at("other/chat_template.jinja"), "{{ messages[0].content }}");
    const text = await readOutput(["follow", "other", "--base", "base", "--out", "run-other"], folder);
    for (const words of ["RoPE", "tie_word_embeddings", "only the checkpoint after has a chat template"])
      expect(text).toMatch(new RegExp(`sft-1 beside the base: .*${words}`));
    const { differences } = await readReport(
      ["follow", "tuned", "--base", "base", "--out", "run-same"],
      folder,
    );
    expect(differences).toEqual([]);
    writeFileSync(at("other/generation_config.json"), "{");
    const broken = await readOutput(["follow", "--out", "run-other"], folder);
    expect(broken).toMatch(/sft-1 beside the base: .*generation_config\.json.* is not a JSON object/);
  });

  it("is asked by a server where the embedded engine cannot run it, and so is proposed", async () => {
    for (const [name, way] of [
      ["tuned", "--serve 'vllm serve {path} --port {port}'"],
      ["lora", "--lora-endpoint http://127.0.0.1:8000"],
    ]) {
      const text = await readOutput(["follow", "--out", `run-${name}`], folder);
      expect(text).toContain(`eval run-${name} --environment items:FOLDER ${way}`);
    }
  });
});

describe("left out of a followed run is", () => {
  it("an adapter that cannot be used, with the reason, and all are refused where none can", async () => {
    await writeAdapterTraining(at("mixed"), "org/base", [10, 20]);
    const file = at("mixed/checkpoint-20/adapter_config.json");
    const config = JSON.parse(readFileSync(file, "utf8")) as object;
    writeFileSync(file, JSON.stringify({ ...config, peft_type: "IA3" }));
    const report = await follow("run-mixed", { folders: [at("mixed")] });
    expect(idsOf(report)).toEqual(["base", "sft-10"]);
    expect(report.leftOut).toMatchObject([{ step: 20, reason: expect.stringContaining("IA3") }]);
    await writeAdapterFolder(at("mixed/checkpoint-10"), {
      base: "org/base",
      modules: { "model.layers.7.self_attn.q_proj": [24, 24, 4] },
      seed: "one",
    });
    expect(await refusalOf(follow("run-none", { folders: [at("mixed")] }))).toMatch(/layers\.7|IA3/);
  });

  it("what an earlier training left there, unless it was evaluated as one of these", async () => {
    const home = await writeTrainerFolder(at("stale"), "the Hugging Face Trainer", [10, 1000]);
    const first = await follow("run-stale", { folders: [home] });
    await follow("run-told", { folders: [home] });
    expect(idsOf(first)).toEqual(["base", "sft-10", "sft-1000"]);
    const logged = [10, 20];
    for (const step of logged) {
      await writeCheckpointFolder(join(home, `checkpoint-${step}`), buildModel(`new ${step}`, "BF16"));
      const state = describeState(step, () => ({ loss: 7 }), logged);
      writeFileSync(join(home, `checkpoint-${step}/trainer_state.json`), state);
    }
    for (const name of listFilesBelow(join(home, "checkpoint-1000")))
      utimesSync(join(home, "checkpoint-1000", name), 1e9, 1e9);
    const second = await follow("run-stale", {});
    expect([idsOf(second), second.gone]).toEqual([["base", "sft-10", "sft-20"], []]);
    expect(second.leftOut).toMatchObject([
      { step: 1000, reason: expect.stringContaining("does not continue") },
    ]);
    const told = await openRunFolder(at("run-told"));
    await told.writeEvaluation("sft-1000", []);
    expect(await refusalOf(follow("run-told", {}))).toContain("sft-1000, which was evaluated, is left out");
  });
});

describe("a run that came from others", () => {
  it.each(["../../../pwned", "a/b", "", ".hidden"])("is refused with a checkpoint called %j", async (id) => {
    const report = await follow(`run-foreign-${id.length}`, { folders: [at("tuned")] });
    const file = join(report.folder.path, "lineage.json");
    const lineage: Json = JSON.parse(readFileSync(file, "utf8"));
    lineage.checkpoints[1].id = id;
    writeFileSync(file, JSON.stringify(lineage));
    expect(await refusalOf(report.folder.readLineage())).toContain("plain name");
  });
});

describe("a LoRA by verl", () => {
  it("is followed through the adapter, and only what it adapts has changed", async () => {
    const wrapped = buildModel("base", "BF16").map(({ name, ...tensor }) => ({
      ...tensor,
      name: `base_model.model.${name.replace("_proj.", "_proj.base_layer.")}`,
    }));
    for (const step of [10, 20]) {
      const actor = at(`verl/global_step_${step}/actor`);
      await writeCheckpointFolder(join(actor, "huggingface"), wrapped);
      await writeAdapterFolder(join(actor, "lora_adapter"), {
        base: "",
        modules: { "model.layers.0.self_attn.q_proj": [24, 24, 4] },
        seed: `${step}`,
      });
    }
    mkdirSync(at("verl"), { recursive: true });
    writeFileSync(at("verl/latest_checkpointed_iteration.txt"), "20");
    const report = await follow("run-verl", { folders: [at("verl")] });
    expect(report.trainings).toMatchObject([{ stage: "rl", found: { partial: [], leftOut: [] } }]);
    const { pairs } = await readReport(["spectra", "run-verl"], folder);
    expect(pairs.map(({ numMatrices, flags }: Json) => numMatrices - flags.unchanged)).toEqual([1, 1]);
  });
});
