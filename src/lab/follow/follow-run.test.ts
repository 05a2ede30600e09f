import { appendFileSync, existsSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildModel, writeCheckpointFolder } from "../../../test/support/checkpoint-folder.ts";
import { createMemoryAnswerer } from "../../../test/support/memory-answerer.ts";
import { createFallenRun, fallenTasks } from "../../../test/support/run-folder.ts";
import { writeAdapterTraining, writeTrainerFolder } from "../../../test/support/trainer-folder.ts";
import {
  createTemporaryFolder,
  hashFiles,
  identifyFiles,
  listFilesBelow,
  parseJson,
  removeFolder,
} from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/core/index.ts";
import { hashWeights, NothingToFollowError, stampWeights } from "../../bridge/trainer/index.ts";
import type { LineageEntry, RunFolder } from "../../run/index.ts";
import type { FollowRequest } from "./follow-look.ts";
import { type FollowReport, followTrainings } from "./follow-run.ts";

const place = createTemporaryFolder();
const at = (...path: readonly string[]): string => join(place, ...path);
afterAll(() => removeFolder(place));
beforeAll(async () => {
  await writeCheckpointFolder(at("base"), buildModel("base", "BF16"));
});

const follow = (run: string, request: Partial<FollowRequest> = {}): Promise<FollowReport> =>
  followTrainings({ folders: [], ...request, out: at(run) });
const idsOf = (entries: readonly LineageEntry[]): readonly string[] => entries.map(({ id }) => id);

/** Writes an SFT of two steps and an RL of two; RL names the SFT checkpoint that it started from, or nothing. */
async function writeTrainings(name: string, start?: number): Promise<string> {
  await writeTrainerFolder(at(name, "sft"), "the Hugging Face Trainer", [10, 20]);
  await writeTrainerFolder(at(name, "grpo"), "TRL", [5, 15]);
  const config = { model_type: "llama", _name_or_path: at(name, `sft/checkpoint-${start}`) };
  if (start !== undefined)
    for (const step of [5, 15])
      writeFileSync(at(name, `grpo/checkpoint-${step}/config.json`), JSON.stringify(config));
  return at(name);
}

/** Keeps answers of a checkpoint, and of which weights they are, as an evaluation does. */
async function evaluate(folder: RunFolder, id: string): Promise<void> {
  const lineage = await folder.readLineage();
  const entry = lineage.find((one) => one.id === id);
  if (entry === undefined) throw new Error(`The run has no ${id}`);
  const path = folder.locate(entry.path);
  const { items } = await createMemoryAnswerer(fallenTasks).answer({ kind: "checkpoint", id, path });
  await folder.writeEvaluation(id, items);
  const content = await hashWeights(path);
  await folder.writeLineage(lineage.map((one) => (one === entry ? { ...one, content } : one)));
}

describe("followTrainings() into a new run", () => {
  it("makes a lineage of what grew from what, by the weights where they lie, and copies none of them", async () => {
    const home = await writeTrainings("whole", 10);
    const before = hashFiles(home);
    const { folder, lineage, added, gone } = await follow("run-whole", { folders: [home], base: at("base") });
    const expected: readonly (readonly [string, string | undefined, string])[] = [
      ["base", undefined, at("base")],
      ["sft-10", "base", join(home, "sft/checkpoint-10")],
      ["sft-20", "sft-10", join(home, "sft/checkpoint-20")],
      ["grpo-step-5", "sft-10", join(home, "grpo/checkpoint-5")],
      ["grpo-step-15", "grpo-step-5", join(home, "grpo/checkpoint-15")],
    ];
    expect(lineage.map(({ id, parent, path }) => [id, parent, path])).toEqual(expected);
    expect(lineage.map(({ stage, branch, step }) => [stage, branch, step])).toEqual([
      ["base", undefined, 0],
      ["sft", undefined, 10],
      ["sft", undefined, 20],
      ["rl", "grpo", 5],
      ["rl", "grpo", 15],
    ]);
    for (const { path, stamp } of lineage) expect(stamp).toBe(await stampWeights(path));
    expect([await folder.readLineage(), added, gone]).toEqual([lineage, lineage, []]);
    expect(hashFiles(home)).toEqual(before);
    expect(listFilesBelow(folder.path).filter((file) => file.includes("safetensors"))).toEqual([]);
  });

  it("takes over the trainers' logs, each stage its own", async () => {
    const { folder } = await follow("run-logged", { folders: [await writeTrainings("logged")] });
    const sft = await folder.readMetrics("sft");
    // The trainer wrote 2 / step as the loss, and step / 100 as the reward.
    expect(sft.map(({ step, loss, learningRate }) => [step, loss, learningRate])).toEqual([
      [10, 0.2, 1e-5],
      [20, 0.1, 1e-5],
    ]);
    const rl = await folder.readMetrics("grpo");
    expect(rl.map(({ step, reward, klToStart }) => [step, reward, klToStart])).toEqual([
      [5, { mean: 0.05 }, 0.02],
      [15, { mean: 0.15 }, 0.02],
    ]);
  });

  it("leaves nothing where there is nothing to follow, and nothing else where something lies already", async () => {
    await expect(follow("run-none", { folders: [at("nowhere")] })).rejects.toThrow(NothingToFollowError);
    expect(existsSync(at("run-none"))).toBe(false);
    await writeTrainerFolder(at("taken"), "the Hugging Face Trainer", [10]);
    const before = hashFiles(at("taken"));
    const refusal = followTrainings({ folders: [at("taken")], out: at("taken") });
    await expect(refusal).rejects.toThrow(`Cannot start a run in "${at("taken")}": the folder is not empty`);
    expect(hashFiles(at("taken"))).toEqual(before);
  });

  it("refuses a run of its own training, and leaves it as it was", async () => {
    const { folder } = await createFallenRun(at("own"));
    const before = hashFiles(folder.path);
    const refusal = follow("own", { folders: [await writeTrainings("for-own")] });
    await expect(refusal).rejects.toThrow(UsageError);
    await expect(refusal).rejects.toThrow(`"${folder.path}": it is a run of untwist's own training`);
    expect(hashFiles(folder.path)).toEqual(before);
  });
});

describe("followTrainings() into a run that is there", () => {
  it("adds what came since in its place, keeps what the trainer removed, and without news writes the same", async () => {
    const home = await writeTrainings("growing", 20);
    await follow("run-growing", { folders: [home], base: at("base") });
    await writeTrainerFolder(join(home, "sft"), "the Hugging Face Trainer", [10, 20, 30]);
    for (const gone of ["sft/checkpoint-10", "grpo/checkpoint-5"])
      rmSync(join(home, gone), { recursive: true });
    const second = await follow("run-growing");
    expect([idsOf(second.added), idsOf(second.gone)]).toEqual([["sft-30"], ["sft-10", "grpo-step-5"]]);
    expect(idsOf(second.lineage)).toEqual([
      "base",
      "sft-10",
      "sft-20",
      "sft-30",
      "grpo-step-5",
      "grpo-step-15",
    ]);
    expect(second.lineage.find(({ id }) => id === "sft-30")?.parent).toBe("sft-20");
    expect((await second.folder.readMetrics("sft")).map(({ step }) => step)).toEqual([10, 20, 30]);
    const before = hashFiles(at("run-growing"));
    const third = await follow("run-growing");
    expect([third.added, third.lineage]).toEqual([[], second.lineage]);
    expect(hashFiles(at("run-growing"))).toEqual(before);
  });

  it("keeps what a checkpoint grew from when the trainer rotates that one away", async () => {
    const home = at("rotated");
    await writeTrainerFolder(join(home, "sft"), "the Hugging Face Trainer", [10, 20, 30]);
    await follow("run-rotated", { folders: [home], base: at("base") });
    rmSync(join(home, "sft/checkpoint-20"), { recursive: true });
    const { lineage } = await follow("run-rotated");
    expect(lineage.map(({ id, parent }) => [id, parent])).toEqual([
      ["base", undefined],
      ["sft-10", "base"],
      ["sft-20", "sft-10"],
      ["sft-30", "sft-20"],
    ]);
  });

  it("keeps a branch behind the SFT when its whole folder is gone", async () => {
    const home = await writeTrainings("branchless", 20);
    const first = await follow("run-branchless", { folders: [home], base: at("base") });
    rmSync(join(home, "grpo"), { recursive: true });
    const { gone, lineage } = await follow("run-branchless");
    expect(idsOf(gone)).toEqual(["grpo-step-5", "grpo-step-15"]);
    expect(idsOf(lineage)).toEqual(idsOf(first.lineage));
  });

  it("keeps where RL started once the whole SFT is gone, also where that was only assumed", async () => {
    const home = await writeTrainings("orphan");
    const first = await follow("run-orphan", { folders: [home], base: at("base") });
    expect(first.lineage.at(3)).toMatchObject({ id: "grpo-step-5", parent: "sft-20" });
    rmSync(join(home, "sft"), { recursive: true });
    await writeTrainerFolder(join(home, "grpo"), "TRL", [5, 15, 25]);
    const { gone, lineage } = await follow("run-orphan");
    expect(idsOf(gone)).toEqual(["sft-10", "sft-20"]);
    expect(lineage.map(({ id, parent }) => [id, parent])).toEqual([
      ["base", undefined],
      ["sft-10", "base"],
      ["sft-20", "sft-10"],
      ["grpo-step-5", "sft-20"],
      ["grpo-step-15", "grpo-step-5"],
      ["grpo-step-25", "grpo-step-15"],
    ]);
  });

  it("takes touched weights for the same, other weights only where they were not evaluated, and changes nothing else", async () => {
    const home = await writeTrainings("rewritten");
    const first = await follow("run-rewritten", { folders: [home], base: at("base") });
    await evaluate(first.folder, "sft-20");
    const evaluated = await first.folder.readLineage();
    const shard = (step: number): string =>
      join(home, `sft/checkpoint-${step}/model-00001-of-00002.safetensors`);
    utimesSync(shard(20), new Date(), new Date(Date.now() + 5000));
    const touched = (await follow("run-rewritten")).lineage[2];
    expect(touched?.content).toBe(evaluated[2]?.content);
    expect(touched?.stamp).not.toBe(evaluated[2]?.stamp);
    flipLastByte(shard(10));
    const { lineage } = await follow("run-rewritten");
    expect(lineage[1]?.stamp).toBe(await stampWeights(join(home, "sft/checkpoint-10")));
    expect(lineage[1]?.stamp).not.toBe(evaluated[1]?.stamp);
    flipLastByte(shard(20));
    await writeTrainerFolder(join(home, "sft"), "the Hugging Face Trainer", [30]);
    const before = hashFiles(at("run-rewritten"));
    await expect(follow("run-rewritten")).rejects.toThrow(
      `sft-20 (${join(home, "sft/checkpoint-20")}) was written again since it was evaluated; follow into another run`,
    );
    expect(hashFiles(at("run-rewritten"))).toEqual(before);
  });

  it("refuses another model for one that was evaluated, however much they are alike", async () => {
    const home = await writeTrainings("based");
    const { folder } = await follow("run-based", { folders: [home], base: at("base") });
    await writeCheckpointFolder(at("copy"), buildModel("base", "BF16"));
    await evaluate(folder, "base");
    const before = hashFiles(folder.path);
    await expect(follow("run-based", { base: at("copy") })).rejects.toThrow(
      `its base is "${at("base")}", which was evaluated, and not "${at("copy")}"`,
    );
    expect(hashFiles(folder.path)).toEqual(before);
    expect((await follow("run-based", { base: at("base") })).added).toEqual([]);
  });
});

describe("followTrainings() of adapters", () => {
  it("links to their files beside a configuration that names the base here, and leaves pickles behind", async () => {
    const home = await writeAdapterTraining(at("lora"), "org/base", [10, 20]);
    appendFileSync(join(home, "checkpoint-20/optimizer.pt"), "pickle");
    const { folder, lineage } = await follow("run-lora", { folders: [home], base: at("base") });
    expect(lineage.map(({ path }) => path)).toEqual([at("base"), "checkpoints/sft-10", "checkpoints/sft-20"]);
    const read = (file: string): string => readFileSync(folder.locate(`checkpoints/sft-20/${file}`), "utf8");
    const own = parseJson(readFileSync(join(home, "checkpoint-20/adapter_config.json"), "utf8"));
    expect(parseJson(read("adapter_config.json"))).toEqual({
      ...own,
      base_model_name_or_path: at("base"),
    });
    expect(own.base_model_name_or_path).toBe("org/base");
    appendFileSync(join(home, "checkpoint-20/trainer_state.json"), " ");
    expect(read("trainer_state.json")).toMatch(/ $/);
    expect(existsSync(folder.locate("checkpoints/sft-20/adapter_model.safetensors"))).toBe(true);
    expect(existsSync(folder.locate("checkpoints/sft-20/optimizer.pt"))).toBe(false);
    // Another look makes none of them again.
    const before = identifyFiles(folder.locate("checkpoints"));
    expect((await follow("run-lora")).lineage).toEqual(lineage);
    expect(identifyFiles(folder.locate("checkpoints"))).toEqual(before);
  });
});

/** Changes the weights in a file without changing its size. */
function flipLastByte(file: string): void {
  const bytes = readFileSync(file);
  writeFileSync(file, bytes.with(-1, (bytes.at(-1) ?? 0) ^ 1));
}
