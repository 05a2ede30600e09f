import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildModel, writeCheckpointFolder } from "../../../test/support/checkpoint-folder.ts";
import { writeTrainerFolder } from "../../../test/support/trainer-folder.ts";
import { createTemporaryFolder, removeFolder } from "../../../test/support/untwist.ts";
import { compareWithBase, type FollowedDifference } from "./follow-differences.ts";
import { followTrainings } from "./follow-run.ts";

const place = createTemporaryFolder();
const at = (...path: readonly string[]): string => join(place, ...path);
afterAll(() => removeFolder(place));

/** Writes the configuration of a checkpoint. */
const configure = (checkpoint: string, fields: object = {}): void =>
  writeFileSync(at(checkpoint, "config.json"), JSON.stringify({ model_type: "llama", ...fields }));

const compare = async (run: string, name: string, base?: string): Promise<readonly FollowedDifference[]> =>
  await compareWithBase(await followTrainings({ folders: [at(name)], out: at(run), base }));

beforeAll(async () => {
  await writeCheckpointFolder(at("base"), buildModel("base", "BF16"));
  configure("base", { rope_theta: 1e4, vocab_size: 30 });
  for (const step of [10, 20])
    await writeCheckpointFolder(at(`exp/sft/checkpoint-${step}`), buildModel(`${step}`, "BF16"));
  await writeTrainerFolder(at("exp/grpo"), "TRL", [5]);
});

describe("compareWithBase()", () => {
  it("compares the last checkpoint of each training with the base, by id and with both sides", async () => {
    configure("exp/sft/checkpoint-10", { rope_theta: 3 });
    configure("exp/sft/checkpoint-20", { rope_theta: 5e5, vocab_size: 31 });
    configure("exp/grpo/checkpoint-5", { rope_theta: 1e4, vocab_size: 30 });
    writeFileSync(at("exp/grpo/checkpoint-5/chat_template.jinja"), "{{ messages }}");
    const found = await compare("run-all", "exp", at("base"));
    expect(found).toEqual([
      {
        checkpoint: "sft-20",
        texts: ["configuration: vocab_size 30 before, 31 after", "RoPE: θ 10000 before, 500000 after"],
      },
      { checkpoint: "grpo-step-5", texts: ["only the checkpoint after has a chat template"] },
    ]);
  });

  it("says nothing of what is as its base is, or where no base is known", async () => {
    await writeCheckpointFolder(at("alike/checkpoint-1"), buildModel("alike", "BF16"));
    configure("alike/checkpoint-1", { rope_theta: 1e4, vocab_size: 30 });
    expect(await compare("run-alike", "alike", at("base"))).toEqual([]);
    configure("alike/checkpoint-1", { rope_theta: 3 });
    expect(await compare("run-baseless", "alike")).toEqual([]);
  });

  it("says that files cannot be read in place of comparing them", async () => {
    await writeCheckpointFolder(at("broken/checkpoint-1"), buildModel("broken", "BF16"));
    await writeCheckpointFolder(at("broken-base"), buildModel("broken base", "BF16"));
    const report = await followTrainings({
      folders: [at("broken")],
      out: at("run-broken"),
      base: at("broken-base"),
    });
    writeFileSync(at("broken/checkpoint-1/config.json"), "{");
    const found = await compareWithBase(report);
    expect(found).toMatchObject([{ checkpoint: "sft-1" }]);
    expect(found[0]?.texts.join()).toContain("config.json");
  });
});
