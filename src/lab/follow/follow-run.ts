/** Runs of other trainers followed: their checkpoints become the lineage of a run folder, their weights stay where they are. */

import { symlink } from "node:fs/promises";
import { join } from "node:path";
import { setting, UsageError } from "../../base/core/index.ts";
import {
  fileExists,
  listFiles,
  readText,
  writeFileAtomic,
  writeFolderAtomic,
} from "../../base/file/index.ts";
import { chooseNumThreads, listVersions } from "../../base/machine/index.ts";
import {
  type FoundCheckpoint,
  hashWeights,
  stampWeights,
  toMetrics,
  type UnusedCheckpoint,
} from "../../bridge/trainer/index.ts";
import {
  baseCheckpoint,
  createRunFolder,
  isFollowed,
  isRunFolder,
  type LineageEntry,
  openRunFolder,
  type RunFolder,
  schemaVersion,
  withLock,
} from "../../run/index.ts";
import { readAdapterConfig } from "../../weights/checkpoint/index.ts";
import { renewSummary } from "../outcome/index.ts";
import {
  examineTrainings,
  type Followed,
  type FollowRequest,
  findAdapterBase,
  nameFollowed,
} from "./follow-look.ts";
import type { FollowedTraining } from "./follow-plan.ts";

/** What came of it. */
export interface FollowReport {
  readonly folder: RunFolder;
  readonly trainings: readonly FollowedTraining[];
  readonly lineage: readonly LineageEntry[];
  /** Checkpoints that were not there before. */
  readonly added: readonly LineageEntry[];
  /** Checkpoints whose folders their trainer has removed since. */
  readonly gone: readonly LineageEntry[];
  /** Folders of checkpoints that are not used, of these trainings and of those that have no other, and why. */
  readonly leftOut: readonly UnusedCheckpoint[];
  /** A base model that is named but lies nowhere here. */
  readonly missingBase?: string;
}

/**
 * Makes or brings up to date the run that follows trainings. Throws `UsageError` and `CheckpointError`; nothing is written
 * then.
 */
export async function followTrainings(request: FollowRequest): Promise<FollowReport> {
  if (await isRunFolder(request.out)) {
    const folder = await openRunFolder(request.out);
    return await withLock(folder, async () => {
      const { recipe } = folder;
      if (!isFollowed(recipe))
        throw new UsageError(
          `Cannot follow into "${request.out}": it is a run of untwist's own training; choose another ${setting("out")}`,
        );
      return await keep(folder, await examineTrainings(request, recipe, await folder.readLineage()));
    });
  }
  const followed = await examineTrainings(request, undefined);
  const folder = await createRunFolder(request.out, followed.recipe, {
    schema: schemaVersion,
    recipe: followed.recipe.name,
    seed: followed.recipe.seed,
    numThreads: chooseNumThreads(),
    versions: listVersions(),
  });
  return await withLock(folder, () => keep(folder, followed));
}

/** Writes what was found into the run: lineage, logs and summary. */
async function keep(folder: RunFolder, followed: Followed): Promise<FollowReport> {
  const before = await folder.readLineage();
  const found = keepParents(
    await stampEntries(folder, await listEntries(folder, followed)),
    before,
    followed,
  );
  const entries = await keepContents(folder, found, before);
  await requireUnchanged(folder, entries, before);
  const strangers = listStrangers(followed.trainings);
  const missing = before.filter(({ id }) => !entries.some((entry) => entry.id === id));
  const gone = missing.filter(({ id }) => !strangers.has(id));
  for (const { id } of missing)
    if (strangers.has(id) && (await folder.hasEvaluation(id)))
      throw new UsageError(
        `Cannot follow into "${folder.path}": its ${id}, which was evaluated, is left out now (${strangers.get(id)}); follow into another run`,
      );
  const lineage = chainParents(sortLineage([...entries, ...gone], before, followed.trainings));
  await folder.writeRecipe(followed.recipe);
  await folder.writeLineage(lineage);
  for (const { found, branch = "sft" } of followed.trainings)
    if (found.log.steps.length > 0) await folder.writeMetrics(branch, found.log.steps.map(toMetrics));
  await renewSummary(folder);
  const { trainings, leftOut, missingBase } = followed;
  return {
    folder,
    trainings,
    leftOut,
    lineage,
    added: entries.filter(({ id }) => !before.some((entry) => entry.id === id)),
    gone,
    ...(missingBase !== undefined && { missingBase }),
  };
}

/** Checkpoints that are there and do not belong to their training, by id, and why. */
function listStrangers(trainings: readonly FollowedTraining[]): ReadonlyMap<string, string> {
  return new Map(
    trainings.flatMap((training) =>
      training.found.leftOut.map((one) => [nameFollowed(training, one), one.reason] as const),
    ),
  );
}

async function stampEntries(
  folder: RunFolder,
  entries: readonly LineageEntry[],
): Promise<readonly LineageEntry[]> {
  return await Promise.all(
    entries.map(async (entry) => ({ ...entry, stamp: await stampWeights(folder.locate(entry.path)) })),
  );
}

/** Where the SFT training itself is gone, RL keeps the start that it was found to have. */
function keepParents(
  entries: readonly LineageEntry[],
  before: readonly LineageEntry[],
  { trainings }: Followed,
): readonly LineageEntry[] {
  if (trainings.some(({ stage }) => stage === "sft")) return entries;
  const parents = new Map(before.map(({ id, parent }) => [id, parent]));
  return entries.map((entry) => {
    const parent = parents.get(entry.id) ?? entry.parent;
    return parent === undefined ? entry : { ...entry, parent };
  });
}

/** What is known of the weights of those that are the same: by their stamps, else by every byte of them. */
async function keepContents(
  folder: RunFolder,
  entries: readonly LineageEntry[],
  before: readonly LineageEntry[],
): Promise<readonly LineageEntry[]> {
  const kept: LineageEntry[] = [];
  for (const entry of entries) {
    const { content, path, stamp } = before.find(({ id }) => id === entry.id) ?? {};
    const isSame =
      content !== undefined &&
      path === entry.path &&
      (stamp === entry.stamp || (await hashWeights(folder.locate(entry.path))) === content);
    kept.push(isSame ? { ...entry, content } : entry);
  }
  return kept;
}

/**
 * Throws `UsageError` where a checkpoint that was evaluated was written again, or is another one now: what was measured would
 * be of weights that are no more.
 */
async function requireUnchanged(
  folder: RunFolder,
  entries: readonly LineageEntry[],
  before: readonly LineageEntry[],
): Promise<void> {
  for (const { id, path, stamp, content } of entries) {
    const known = before.find((entry) => entry.id === id);
    if (known?.stamp === undefined || (known.path === path && known.stamp === stamp)) continue;
    if (content !== undefined) continue;
    if (await folder.hasEvaluation(id))
      throw new UsageError(
        known.path === path
          ? `Cannot follow into "${folder.path}": ${id} (${path}) was written again since it was evaluated; follow into another run, which evaluates it anew`
          : `Cannot follow into "${folder.path}": its ${id} is "${known.path}", which was evaluated, and not "${path}"; follow into another run`,
      );
  }
}

async function listEntries(
  folder: RunFolder,
  { trainings, base }: Followed,
): Promise<readonly LineageEntry[]> {
  const entries: LineageEntry[] =
    base === undefined ? [] : [{ id: baseCheckpoint, stage: "base", step: 0, path: base }];
  for (const { found, stage, branch, from } of trainings) {
    const start = stage === "rl" && from !== undefined ? `sft-${from}` : base && baseCheckpoint;
    const named = entries.find(({ path }) => path === found.base);
    let parent = named !== undefined && from === undefined ? named.id : start;
    for (const checkpoint of found.checkpoints) {
      const id = nameFollowed({ branch }, checkpoint);
      entries.push({
        id,
        stage,
        ...(branch !== undefined && { branch }),
        step: checkpoint.step,
        ...(parent !== undefined && { parent }),
        path: checkpoint.isAdapter ? await linkAdapter(folder, { id, checkpoint, base }) : checkpoint.folder,
      });
      parent = id;
    }
  }
  return entries;
}

/**
 * An adapter lies in the run as links to its files, beside a configuration that names its base by the folder here: any tool
 * can open it then.
 */
async function linkAdapter(
  folder: RunFolder,
  {
    id,
    checkpoint,
    base,
  }: { readonly id: string; readonly checkpoint: FoundCheckpoint; readonly base: string | undefined },
): Promise<string> {
  const path = `checkpoints/${id}`;
  const { fields } = await readAdapterConfig(checkpoint.folder);
  const config = { ...fields, base_model_name_or_path: await findAdapterBase(checkpoint, base) };
  const text = `${JSON.stringify(config, null, 2)}\n`;
  const kept = folder.locate(`${path}/adapter_config.json`);
  if ((await fileExists(kept)) && (await readText(kept)) === text) return path;
  const fill = async (temporary: string): Promise<void> => {
    await writeFileAtomic(join(temporary, "adapter_config.json"), text);
    for (const name of await listFiles(checkpoint.folder))
      if (name !== "adapter_config.json" && !/\.(?:pt|pth|bin)$/.test(name))
        await symlink(join(checkpoint.folder, name), join(temporary, name));
  };
  await writeFolderAtomic(folder.locate(path), fill, { whenTaken: "replace" });
  return path;
}

/** Each checkpoint grew from the one before it in its training, also where the trainer has deleted that one since. */
function chainParents(lineage: readonly LineageEntry[]): readonly LineageEntry[] {
  const last = new Map<string, string>();
  return lineage.map((entry) => {
    const training = `${entry.stage} ${entry.branch}`;
    const parent = last.get(training) ?? entry.parent;
    last.set(training, entry.id);
    return parent === undefined ? entry : { ...entry, parent };
  });
}

/** Base, SFT by step, then branch by branch: those that were there before, then the new ones. */
function sortLineage(
  entries: readonly LineageEntry[],
  before: readonly LineageEntry[],
  trainings: readonly FollowedTraining[],
): readonly LineageEntry[] {
  const branches = [...new Set([...before, ...trainings].map(({ branch }) => branch))];
  const rank = ({ stage, branch }: LineageEntry): number =>
    stage === "base" ? 0 : stage === "sft" ? 1 : 2 + branches.indexOf(branch);
  return [...entries].sort((a, b) => rank(a) - rank(b) || a.step - b.step);
}
