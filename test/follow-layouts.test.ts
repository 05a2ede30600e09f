/** Layouts of step folders, found without a word from the user, by a pattern, or not at all. */
import { cpSync, mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  type FolderWords,
  type FoundTraining,
  findTrainings,
  toMetrics,
} from "../src/bridge/trainer/index.ts";
import { writeAdapterFolder } from "./support/adapter-folder.ts";
import { buildModel, writeCheckpointFolder } from "./support/checkpoint-folder.ts";
import { describeState } from "./support/trainer-folder.ts";
import { createTemporaryFolder, listFilesBelow, removeFolder } from "./support/untwist.ts";

const store = createTemporaryFolder();
let folder: string;
beforeAll(async () => {
  await writeCheckpointFolder(join(store, "model"), buildModel("any", "BF16"));
  await writeAdapterFolder(join(store, "adapter"), {
    base: "org/base",
    modules: { "model.layers.0.self_attn.q_proj": [24, 24, 4] },
    seed: "any",
  });
});
beforeEach(() => {
  folder = createTemporaryFolder();
});
afterEach(() => removeFolder(folder));
afterAll(() => removeFolder(store));

/** Puts a model, an adapter or an empty file at each path. */
function put(...paths: readonly string[]): void {
  for (const path of paths) {
    const [, kind, place] = /^(?:(adapter|file):)?(.*)$/.exec(path) ?? [];
    const target = join(folder, place ?? "");
    mkdirSync(dirname(target), { recursive: true });
    if (kind === "file") writeFileSync(target, "");
    else cpSync(join(store, kind ?? "model"), target, { recursive: true });
  }
}

const find = (words: FolderWords = {}, place = "."): Promise<readonly FoundTraining[]> =>
  findTrainings(join(folder, place), words);
const placesOf = ({ checkpoints }: FoundTraining): readonly (readonly [number, string])[] =>
  checkpoints.map(({ step, folder: place }) => [step, place.slice(folder.length + 1)]);
async function findOne(words?: FolderWords): Promise<FoundTraining> {
  const [training, ...others] = await find(words);
  expect(others).toEqual([]);
  return training!;
}

describe("findTrainings() finds", () => {
  const layouts: Readonly<
    Record<string, readonly [paths: readonly string[], places: readonly string[], stage?: "rl"]>
  > = {
    "NeMo-RL": [
      ["grpo/step_10/policy/weights/model/consolidated", "grpo/step_20/policy/weights/model/consolidated"],
      ["grpo/step_10/policy/weights/model/consolidated", "grpo/step_20/policy/weights/model/consolidated"],
      "rl",
    ],
    "NeMo AutoModel": [
      ["epoch_0_step_10/model/consolidated", "epoch_1_step_20/model/consolidated"],
      ["epoch_0_step_10/model/consolidated", "epoch_1_step_20/model/consolidated"],
    ],
    "old verl, without its critic": [
      ["actor/global_step_10", "actor/global_step_20", "critic/global_step_10", "critic/global_step_20"],
      ["actor/global_step_10", "actor/global_step_20"],
      "rl",
    ],
    "steps in folders of epochs": [
      ["epoch_0/step_10", "epoch_1/step_20"],
      ["epoch_0/step_10", "epoch_1/step_20"],
    ],
    "numbers with zeros before them": [
      ["checkpoint_000010", "checkpoint_000020"],
      ["checkpoint_000010", "checkpoint_000020"],
    ],
    "a Hugging Face folder in an iteration of Megatron": [
      ["file:iter_0000010/common.pt", "iter_0000010/hf", "iter_0000020/hf"],
      ["iter_0000010/hf", "iter_0000020/hf"],
    ],
    "a Hugging Face folder beside DeepSpeed's": [
      ["file:global_step10/mp_rank_00_model_states.pt", "global_step10_hf", "global_step20_hf"],
      ["global_step10_hf", "global_step20_hf"],
    ],
    "the plain form where there is a merged one beside it": [
      ["adapter:checkpoint-10", "checkpoint-10-merged", "checkpoint-20-merged"],
      ["checkpoint-10", "checkpoint-20-merged"],
    ],
    "the only weights in a step folder, wherever they lie": [
      ["ckpt-10/a/b", "ckpt-20/a/b", "ckpt-20/reference"],
      ["ckpt-10/a/b", "ckpt-20/a/b"],
    ],
    "an adapter beside pickles": [
      [
        "file:global_step_10/actor/model_world_size_1_rank_0.pt",
        "adapter:global_step_10/actor/lora_adapter",
        "adapter:global_step_20/actor/lora_adapter",
      ],
      ["global_step_10/actor/lora_adapter", "global_step_20/actor/lora_adapter"],
      "rl",
    ],
  };
  for (const [name, [paths, places, stage = "sft"]] of Object.entries(layouts))
    it(name, async () => {
      put(...paths);
      const found = await findOne();
      expect(placesOf(found)).toEqual([
        [10, places[0]],
        [20, places[1]],
      ]);
      expect([found.guess.stage, found.partial, found.leftOut]).toEqual([stage, [], []]);
    });

  it("links to folders, each place once, and tells of those that lead nowhere", async () => {
    put("scratch/x10", "out/checkpoint-20");
    symlinkSync("../scratch/x10", join(folder, "out/checkpoint-10"));
    symlinkSync("checkpoint-20", join(folder, "out/checkpoint-21"));
    symlinkSync("../scratch/none", join(folder, "out/checkpoint-30"));
    symlinkSync(".", join(folder, "out/again"));
    const found = await findOne();
    expect(placesOf(found)).toEqual([
      [10, "out/checkpoint-10"],
      [20, "out/checkpoint-20"],
    ]);
    expect(found.leftOut).toMatchObject([{ step: 30, reason: "it is a link that leads nowhere" }]);
  });

  it("a model by itself as one checkpoint, of the step that its state or its name says, else of step 1", async () => {
    put("tuned", "checkpoint-7", "adapter:lora", "stated");
    writeFileSync(join(folder, "stated/trainer_state.json"), '{"global_step": 42, "log_history": []}');
    const steps = await Promise.all(
      ["tuned", "checkpoint-7", "lora", "stated"].map(async (place) => placesOf((await find({}, place))[0]!)),
    );
    expect(steps).toEqual([[[1, "tuned"]], [[7, "checkpoint-7"]], [[1, "lora"]], [[42, "stated"]]]);
  });

  it("by a pattern what no trainer would call so, and where the weights lie", async () => {
    put("round_1/x/y", "round_1/z", "round_2/x/y", "round_2/z", "round_3/z", "other_4/x/y");
    const found = await findOne({ steps: "round_{step}", weights: "x/y" });
    expect(placesOf(found)).toEqual([
      [1, "round_1/x/y"],
      [2, "round_2/x/y"],
    ]);
    expect(found.partial).toMatchObject([{ step: 3, reason: "it holds no weights in x/y yet" }]);
  });
});

describe("findTrainings() refuses", () => {
  const refusals: Readonly<Record<string, readonly [paths: readonly string[], ...words: string[]]>> = {
    "names that say nothing, with the pattern that would": [
      ["round_1/a/hf", "round_2/a/hf"],
      '"round_1/a/hf", "round_2/a/hf"',
      'steps: "round_{step}", weights: a/hf',
    ],
    "folders without weights, naming them": [["file:first/notes", "file:second/notes"], '"first", "second"'],
    "steps that each epoch counts anew": [
      ["epoch_0/step_10", "epoch_1/step_10"],
      "counted anew in each epoch",
      "after:",
    ],
    DeepSpeed: [["file:checkpoint-5/global_step5/mp_rank_00_model_states.pt"], "DeepSpeed", "zero_to_fp32"],
    Megatron: [["file:iter_0000005/mp_rank_00/model_optim_rng.pt"], "Megatron", "Bridge"],
  };
  for (const [name, [paths, ...words]] of Object.entries(refusals))
    it(name, async () => {
      put(...paths);
      const message = await find().then(
        () => "nothing was refused",
        ({ message: text }: Error) => text,
      );
      for (const word of words) expect(message).toContain(word);
    });

  const torn: Readonly<Record<string, readonly [path: string, word: string]>> = {
    "a distributed checkpoint": ["step-5/.metadata", ".metadata"],
    "a GGUF file": ["step-5/model.gguf", "step-5"],
    pickles: ["checkpoint-5/pytorch_model.bin", "pytorch_model.bin"],
    "shards of verl": ["global_step_5/actor/model_world_size_1_rank_0.pt", "rank_0.pt"],
  };
  for (const [name, [path, word]] of Object.entries(torn))
    it(`for now, with the reason, what cannot be opened: ${name}`, async () => {
      put(`file:${path}`);
      writeFileSync(join(folder, path, "..", "config.json"), "{}");
      const found = await findOne();
      expect(found.partial.concat(found.leftOut)).toMatchObject([
        { step: 5, reason: expect.stringContaining(word) },
      ]);
    });

  it("for good, with what to do, a pickled adapter", async () => {
    put("file:checkpoint-5/adapter_model.bin");
    writeFileSync(join(folder, "checkpoint-5/adapter_config.json"), '{"peft_type": "LORA"}');
    await expect(findOne()).rejects.toThrow(/adapter_model\.bin.*save_pretrained/);
  });

  it("nothing while there is something else to follow", async () => {
    put("a/checkpoint-10", "file:b/global_step5/mp_rank_00_model_states.pt", "epoch_1", "step_5", "step_6");
    const found = await find();
    expect(found.map(placesOf)).toEqual([
      [
        [5, "step_5"],
        [6, "step_6"],
      ],
      [[10, "a/checkpoint-10"]],
      [],
    ]);
    expect(found.map(({ leftOut }) => leftOut.map(({ reason }) => reason))).toEqual([
      [expect.stringContaining("counts epochs")],
      [],
      [expect.stringContaining("DeepSpeed")],
    ]);
  });

  it("a model that was saved within PEFT, base and LoRA apart", async () => {
    const tensors = buildModel("x").map((tensor) => ({
      ...tensor,
      name: tensor.name.replace("q_proj.", "q_proj.base_layer."),
    }));
    await writeCheckpointFolder(join(folder, "global_step_10/actor/huggingface"), tensors);
    put("adapter:global_step_10/actor/lora_adapter");
    expect(placesOf(await findOne())).toEqual([[10, "global_step_10/actor/lora_adapter"]]);
  });
});

describe("the trainer's states", () => {
  const log =
    (loss: number) =>
    (at: number): object => ({ loss: loss / at });
  const logged = [10, 20, 30, 40];
  const writeState = (step: number, loss: number): void =>
    writeFileSync(
      join(folder, `checkpoint-${step}/trainer_state.json`),
      describeState(step, log(loss), logged),
    );

  it("tell what an earlier training left in the folder, and whose curves are read", async () => {
    put("checkpoint-10", "checkpoint-20", "checkpoint-40");
    for (const step of [10, 20]) writeState(step, 2);
    writeState(40, 4);
    writeFileSync(join(folder, "trainer_log.jsonl"), '{"current_steps": 40, "loss": 9}\n');
    for (const name of listFilesBelow(join(folder, "checkpoint-40")))
      utimesSync(join(folder, "checkpoint-40", name), 1e9, 1e9);
    const found = await findOne();
    expect(placesOf(found).map(([step]) => step)).toEqual([10, 20]);
    expect(found.leftOut).toMatchObject([{ step: 40, reason: expect.stringContaining("does not continue") }]);
    expect(found.log.steps.map(({ numbers }) => numbers.loss)).toEqual([0.2, 0.1]);
    const all = await findOne({ steps: "checkpoint-{step}" });
    expect(placesOf(all).map(([step]) => step)).toEqual([10, 20, 40]);
  });

  it("may hold NaN and infinities, which are missing from the curves, also where a number was logged before", async () => {
    put("checkpoint-20");
    const history =
      '[{"step": 10, "loss": 1.5, "grad_norm": 2}, {"step": 20, "loss": NaN, "grad_norm": -Infinity}]';
    writeFileSync(
      join(folder, "checkpoint-20/trainer_state.json"),
      `{"best_metric": Infinity, "global_step": 20, "log_history": ${history}}`,
    );
    writeFileSync(join(folder, "trainer_log.jsonl"), '{"current_steps": 20, "loss": 0.5, "lr": 1}\n');
    const { checkpoints, log: found } = await findOne();
    expect(checkpoints).toHaveLength(1);
    expect(found.steps.map(toMetrics)).toEqual([
      { step: 10, loss: 1.5, gradientNorm: 2, trainer: { loss: 1.5, grad_norm: 2 } },
      { step: 20, learningRate: 1, trainer: { lr: 1 } },
    ]);
  });

  it("are not whole up to the closing brace while they are written", async () => {
    put("checkpoint-10", "checkpoint-20");
    writeState(10, 2);
    writeFileSync(join(folder, "checkpoint-20/trainer_state.json"), '{"global_step": 20, "loss": NaN');
    const found = await findOne();
    expect(placesOf(found).map(([step]) => step)).toEqual([10]);
    expect(found.partial).toMatchObject([{ step: 20, reason: expect.stringContaining("not whole yet") }]);
  });

  it("name a base with letters that Python escapes", async () => {
    put("checkpoint-10");
    const base = String.raw`/data/mod\u00e8les/base`;
    writeFileSync(join(folder, "checkpoint-10/config.json"), `{"_name_or_path": "${base}"}`);
    expect((await findOne()).base).toBe("/data/modèles/base");
  });
});

describe("a model that was saved beside the steps", () => {
  beforeEach(async () => {
    for (const step of [10, 20])
      await writeCheckpointFolder(join(folder, `checkpoint-${step}`), buildModel(`${step}`, "BF16"));
  });
  const copy = (step: number): void => {
    for (const name of ["config.json", "model.safetensors"])
      cpSync(join(folder, `checkpoint-${step}`, name), join(folder, name));
  };

  it("is recognized as the step that it is, the last or the best", async () => {
    for (const step of [20, 10]) {
      copy(step);
      const found = await findOne();
      expect(placesOf(found).map(([one]) => one)).toEqual([10, 20]);
      expect(found.notes).toEqual([expect.stringContaining(`is that of step ${step}`)]);
    }
  });

  it("is a checkpoint of its own where its state says a later step, and left out where nothing does", async () => {
    const state = (step: number): string => describeState(step, () => ({ loss: 1 }), [10, 20, 25]);
    for (const step of [10, 20])
      writeFileSync(join(folder, `checkpoint-${step}/trainer_state.json`), state(step));
    await writeCheckpointFolder(join(folder, "."), buildModel("25", "BF16"));
    expect((await findOne()).notes).toEqual([expect.stringContaining("Left out")]);
    writeFileSync(join(folder, "trainer_state.json"), state(25));
    expect((await findOne()).checkpoints.at(-1)).toMatchObject({ step: 25, folder });
    rmSync(join(folder, "checkpoint-10"), { recursive: true });
    renameSync(join(folder, "checkpoint-20"), join(folder, "checkpoint-30"));
    writeFileSync(join(folder, "checkpoint-30/trainer_state.json"), state(30));
    expect(placesOf(await findOne()).map(([step]) => step)).toEqual([30]);
  });
});
