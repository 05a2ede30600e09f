/** What `untwist follow` refuses, in one sentence, without touching anything. */
import { mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { beforeAll, describe, it } from "vitest";
import { buildModel, nameShard, writeCheckpointFolder } from "./support/checkpoint-folder.ts";
import { expectRefusal, type Mistake } from "./support/refusal.ts";
import { readReport } from "./support/surgery.ts";
import { writeAdapterTraining, writeTrainerFolder } from "./support/trainer-folder.ts";
import { createWorkplace } from "./support/untwist.ts";

const { folder, at } = createWorkplace();

describe("untwist follow refuses", () => {
  beforeAll(async () => {
    await writeCheckpointFolder(at("base"), buildModel("base", "BF16"));
    await writeTrainerFolder(at("exp/sft"), "the Hugging Face Trainer", [100, 200]);
    await writeTrainerFolder(at("exp/grpo"), "TRL", [10, 20]);
    await writeAdapterTraining(at("lora"), "org/base", [10, 20]);
    await readReport(["follow", "lora", "--base", "base", "--out", "run-lora"], folder);
    await writeTrainerFolder(at("one"), "the Hugging Face Trainer", [10]);
    truncateSync(at("one/checkpoint-10", nameShard(0, 2)), 100);
    await readReport(["follow", "one", "--base", "base", "--out", "run-one"], folder);
    mkdirSync(at("empty"));
    writeFileSync(at("notes.txt"), "mine");
    mkdirSync(at("pieces/global_step5"), { recursive: true });
    writeFileSync(at("pieces/global_step5/mp_rank_00_model_states.pt"), "pickle");
    await writeTrainerFolder(at("twice"), "open-instruct", [100]);
    await writeTrainerFolder(at("twice/tulu_checkpoints"), "the Hugging Face Trainer", [100]);
    await writeTrainerFolder(at("two-sft/first"), "the Hugging Face Trainer", [10]);
    await writeTrainerFolder(at("two-sft/second"), "the Hugging Face Trainer", [10]);
    writeFileSync(
      at("no-step.yaml"),
      "trainings:\n  - { folder: exp/sft }\n  - { folder: exp/grpo, from: 150 }\n",
    );
    writeFileSync(at("unknown-key.yaml"), "trainings:\n  - { folder: exp/sft, step: 3 }\n");
    writeFileSync(
      at("twice.yaml"),
      "trainings:\n  - { folder: exp/sft }\n  - { folder: exp/sft, stage: rl }\n",
    );
    writeFileSync(at("malformed.yaml"), "trainings:\n  - { folder: exp/sft\n");
  });
  const out = ["--out", "new"];
  const mistakes: Readonly<Record<string, Mistake>> = {
    "a folder that is not there": [["follow", "nonsense", ...out], '"nonsense"', "no such folder"],
    "a folder without steps": [["follow", "empty", ...out], '"empty"', "checkpoint-100"],
    "a file": [["follow", "notes.txt", ...out], '"notes.txt"'],
    "nothing at all": [["follow", ...out], "output folder"],
    "weights that nobody reads, saying what makes safetensors of them": [
      ["follow", "pieces", ...out],
      "DeepSpeed",
      "zero_to_fp32.py",
    ],
    "two checkpoints that claim the same step": [
      ["follow", "twice", ...out],
      "step 100",
      "checkpoint-100",
      "step_100",
    ],
    "two trainings that are both taken for SFT": [
      ["follow", "two-sft", ...out],
      "first",
      "second",
      "--lineage",
    ],
    "an adapter without its base": [["follow", "lora", ...out], "checkpoint-10", '"org/base"', "--base"],
    "a base that is not a checkpoint": [
      ["follow", "lora", "--base", "empty", ...out],
      "empty",
      "checkpoint folder",
    ],
    "an RL start that is not a checkpoint": [
      ["follow", "--lineage", "no-step.yaml", ...out],
      "150",
      "100, 200",
    ],
    "an unknown key in a lineage file": [
      ["follow", "--lineage", "unknown-key.yaml", ...out],
      "unknown-key.yaml",
      '"step"',
    ],
    "a training that is named twice": [["follow", "--lineage", "twice.yaml", ...out], "twice", "exp/sft"],
    "a lineage file that is empty": [["follow", "--lineage", "notes.txt", ...out], "notes.txt", "--help"],
    "spectra of a run whose only other checkpoint is damaged": [["spectra", "run-one"], "run-one", "whole"],
    "malformed YAML": [["follow", "--lineage", "malformed.yaml", ...out], "malformed.yaml", "line"],
    "an output folder without a name": [["follow", "lora", "--out", ""], "--out"],
    "an output folder that holds something else": [
      ["follow", "exp/sft", "--out", "exp"],
      '"exp"',
      "not empty",
    ],
    "training on what it follows": [["run", "--resume", "--out", "run-lora"], "run-lora", "untwist follow"],
    "a repair grid before anything was asked": [["repair", "run-lora"], "run-lora"],
  };
  for (const [name, mistake] of Object.entries(mistakes)) it(name, () => expectRefusal(mistake, folder));
});
