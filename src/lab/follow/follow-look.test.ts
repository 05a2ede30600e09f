import { readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeAdapterFolder } from "../../../test/support/adapter-folder.ts";
import { buildModel, writeCheckpointFolder } from "../../../test/support/checkpoint-folder.ts";
import { writeAdapterTraining, writeTrainerFolder } from "../../../test/support/trainer-folder.ts";
import { createTemporaryFolder, parseJson, removeFolder } from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/core/index.ts";
import { NothingToFollowError } from "../../bridge/trainer/index.ts";
import type { FollowRecipe, LineageEntry } from "../../run/index.ts";
import { CheckpointError } from "../../weights/checkpoint/index.ts";
import {
  examineTrainings,
  type Followed,
  type FollowRequest,
  findAdapterBase,
  nameFollowed,
} from "./follow-look.ts";

const place = createTemporaryFolder();
const at = (...path: readonly string[]): string => join(place, ...path);
afterAll(() => removeFolder(place));

const examine = (
  request: Partial<FollowRequest>,
  known?: FollowRecipe,
  lineage?: readonly LineageEntry[],
): Promise<Followed> => examineTrainings({ folders: [], out: at("My Run"), ...request }, known, lineage);
const stepsOf = ({ trainings }: Followed): readonly (readonly number[])[] =>
  trainings.map(({ found }) => found.checkpoints.map(({ step }) => step));

/** Says in the configuration of a checkpoint from which model it was trained. */
const nameBase = (checkpoint: string, base: string): void =>
  writeFileSync(
    join(checkpoint, "config.json"),
    JSON.stringify({ model_type: "llama", _name_or_path: base }),
  );

beforeAll(async () => {
  for (const name of ["base", "other"]) await writeCheckpointFolder(at(name), buildModel(name, "BF16"));
  await writeTrainerFolder(at("exp/sft"), "the Hugging Face Trainer", [10, 20]);
  await writeTrainerFolder(at("exp/grpo"), "TRL", [5]);
});

describe("examineTrainings()", () => {
  it("describes as a recipe what it found: named after the run, starts that are known but none that are assumed", async () => {
    const { recipe, trainings, leftOut } = await examine({ folders: [at("exp")], base: at("base") });
    expect(recipe).toMatchObject({
      name: "my-run",
      summary: `Checkpoints of ${at("exp/sft")}, ${at("exp/grpo")}`,
    });
    expect(recipe.follow).toEqual({
      base: at("base"),
      trainings: [
        { folder: at("exp/sft"), stage: "sft" },
        { folder: at("exp/grpo"), stage: "rl", branch: "grpo" },
      ],
    });
    expect(trainings[1]).toMatchObject({ from: 20, isStartAssumed: true });
    expect(leftOut).toEqual([]);
    const lineage = {
      trainings: [
        { folder: at("exp/sft") },
        { folder: at("exp/grpo"), stage: "rl" as const, branch: "second", from: 10 },
      ],
    };
    const said = await examine({ lineage });
    expect(said.recipe.follow).toEqual({
      trainings: [
        { folder: at("exp/sft"), stage: "sft" },
        { folder: at("exp/grpo"), stage: "rl", branch: "second", from: 10 },
      ],
    });
  });

  it("takes the base that was said, here, in the lineage file or before, in this order, else what the weights name", async () => {
    await writeTrainerFolder(at("based/sft"), "the Hugging Face Trainer", [10]);
    const folders = [at("based/sft")];
    const baseOf = async (request: Partial<FollowRequest>, known?: FollowRecipe): Promise<unknown> => {
      const { base, missingBase, recipe } = await examine(request, known);
      expect(recipe.follow.base).toBe(base);
      return { base, missingBase };
    };
    expect(await baseOf({ folders })).toEqual({});
    writeFileSync(at("based/sft/README.md"), `---\nlibrary_name: trl\nbase_model: ${at("base")}\n---\n`);
    expect(await baseOf({ folders })).toEqual({ base: at("base") });
    nameBase(at("based/sft/checkpoint-10"), "org/elsewhere");
    expect(await baseOf({ folders })).toEqual({ missingBase: "org/elsewhere" });
    nameBase(at("based/sft/checkpoint-10"), at("other"));
    expect(await baseOf({ folders })).toEqual({ base: at("other") });
    const { recipe } = await examine({ folders, base: at("base") });
    expect(await baseOf({}, recipe)).toEqual({ base: at("base") });
    const lineage = { base: at("other"), trainings: [{ folder: at("based/sft") }] };
    expect(await baseOf({ lineage }, recipe)).toEqual({ base: at("other") });
    expect(await baseOf({ lineage, base: at("base") })).toEqual({ base: at("base") });
    await expect(examine({ folders, base: at("exp") })).rejects.toThrow(CheckpointError);
  });

  it("knows the checkpoint that RL started from behind a link, and takes it for no base", async () => {
    await writeTrainerFolder(at("linked/sft"), "the Hugging Face Trainer", [10, 20]);
    await writeTrainerFolder(at("linked/ppo"), "TRL", [5]);
    symlinkSync(at("linked/sft"), at("way"));
    nameBase(at("linked/ppo/checkpoint-5"), at("way/checkpoint-10"));
    const { trainings, base, missingBase } = await examine({ folders: [at("linked")] });
    expect(trainings[1]).toMatchObject({ branch: "ppo", from: 10, isStartAssumed: false });
    expect([base, missingBase]).toEqual([undefined, undefined]);
  });

  it("looks at a folder once, with what was said of it, by whichever path it is named again", async () => {
    for (const name of ["round_1", "round_2", "checkpoint-9"])
      await writeCheckpointFolder(at("rounds", name), buildModel(name, "BF16"));
    const said = { folder: at("rounds"), stage: "rl" as const, branch: "own", steps: "round_{step}" };
    const first = await examine({ lineage: { trainings: [said] } });
    expect(first.recipe.follow.trainings).toEqual([said]);
    for (const folder of [at("rounds"), `${at("rounds")}/`, relative(process.cwd(), at("rounds"))]) {
      const again = await examine({ folders: [folder] }, first.recipe);
      expect(stepsOf(again)).toEqual([[1, 2]]);
      expect(again.recipe.follow.trainings).toEqual([said]);
    }
    // Without those words, it is another training.
    expect(stepsOf(await examine({ folders: [at("rounds")] }))).toEqual([[9]]);
  });

  it("bears that a training which was followed is gone, and remembers it with all that was settled; a new one must be there", async () => {
    await writeTrainerFolder(at("leaving/sft"), "the Hugging Face Trainer", [10]);
    await writeTrainerFolder(at("leaving/grpo"), "TRL", [5]);
    const first = await examine({ folders: [at("leaving")], base: at("base") });
    const known: FollowRecipe = { ...first.recipe, environment: "general-points", repairs: false };
    rmSync(at("leaving/sft"), { recursive: true });
    const { recipe, trainings } = await examine({}, known, [
      { id: "sft-10", stage: "sft", step: 10, path: at("leaving/sft/checkpoint-10") },
    ]);
    expect(trainings.map(({ branch }) => branch)).toEqual(["grpo"]);
    expect(recipe).toEqual({
      ...known,
      follow: { ...known.follow, trainings: known.follow.trainings.toReversed() },
    });
    const refusal = examine({ folders: [at("leaving/new")] }, known);
    await expect(refusal).rejects.toThrow(NothingToFollowError);
    await expect(refusal).rejects.toThrow(`Cannot follow "${at("leaving/new")}": there is no such folder`);
  });

  it("refuses to guess where nothing was named", async () => {
    const refusal = examine({});
    await expect(refusal).rejects.toThrow(UsageError);
    await expect(refusal).rejects.toThrow(
      "Cannot follow nothing: name the output folder of a trainer, or by out a run that follows one",
    );
  });
});

describe("examineTrainings() of adapters", () => {
  /** An adapter to a layer that the base does not have. */
  const spoil = (folder: string): Promise<string> =>
    writeAdapterFolder(folder, {
      base: "org/base",
      modules: { "model.layers.7.self_attn.q_proj": [24, 24, 4] },
    });

  it("leaves out those that do not fit their base, with the reason, unless they are followed already", async () => {
    const home = await writeAdapterTraining(at("mixed"), "org/base", [10, 20]);
    await spoil(join(home, "checkpoint-20"));
    const request = { folders: [home], base: at("base") };
    const found = await examine(request);
    expect(stepsOf(found)).toEqual([[10]]);
    expect(found.leftOut).toMatchObject([
      { step: 20, folder: join(home, "checkpoint-20"), reason: expect.stringContaining("layers.7") },
    ]);
    const entry = { id: "sft-20", stage: "sft" as const, step: 20, path: "checkpoints/sft-20" };
    expect(stepsOf(await examine(request, undefined, [entry]))).toEqual([[10, 20]]);
    await spoil(join(home, "checkpoint-10"));
    await expect(examine(request)).rejects.toThrow(`Cannot follow "${join(home, "checkpoint-10")}": `);
  });

  it("refuses them without their base, naming both", async () => {
    const home = await writeAdapterTraining(at("baseless"), "org/base", [10]);
    const refusal = examine({ folders: [home] });
    await expect(refusal).rejects.toThrow(UsageError);
    await expect(refusal).rejects.toThrow(
      `the adapter "${join(home, "checkpoint-10")}" without its base model: "org/base" is not a folder here; give its folder with base`,
    );
    const file = join(home, "checkpoint-10/adapter_config.json");
    const { base_model_name_or_path: _, ...config } = parseJson(readFileSync(file, "utf8"));
    writeFileSync(file, JSON.stringify(config));
    await expect(examine({ folders: [home] })).rejects.toThrow("it names none");
  });
});

describe("findAdapterBase()", () => {
  it("goes by what the adapter names where that is here, else by the base of the run", async () => {
    const base = at("exp/sft/checkpoint-10");
    await writeAdapterTraining(at("adapters/own"), base, [1]);
    await writeAdapterTraining(at("adapters/foreign"), "org/base", [1]);
    const find = (name: string, given?: string): Promise<string> =>
      findAdapterBase({ step: 1, folder: at("adapters", name, "checkpoint-1"), isAdapter: true }, given);
    expect(await find("own", at("base"))).toBe(base);
    expect(await find("foreign", at("base"))).toBe(at("base"));
    await expect(find("foreign", at("nowhere"))).rejects.toThrow('"org/base" is not a folder here');
  });
});

describe("nameFollowed()", () => {
  it("tells branches of RL from each other and from SFT", () => {
    expect([nameFollowed({}, { step: 7 }), nameFollowed({ branch: "grpo" }, { step: 7 })]).toEqual([
      "sft-7",
      "grpo-step-7",
    ]);
  });
});
