/** Runs of other trainers followed: their checkpoints become the lineage of a run folder, their weights stay where they are. */
import { symlink } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { UsageError } from "../base/index.ts";
import { findBaseFolder, openCheckpoint, readAdapterConfig } from "../checkpoint/index.ts";
import {
  fileExists,
  folderExists,
  listFiles,
  readText,
  writeFileAtomic,
  writeFolderAtomic,
} from "../file/index.ts";
import {
  type FoundCheckpoint,
  type FoundTraining,
  findTrainings,
  hashWeights,
  NothingToFollowError,
  stampWeights,
  toMetrics,
} from "../follow/index.ts";
import {
  createRunFolder,
  type FollowRecipe,
  followDefaults,
  isFollowed,
  isRunFolder,
  type LineageEntry,
  type LineageFile,
  openRunFolder,
  type RunFolder,
  schemaVersion,
} from "../run/index.ts";
import { type FollowedTraining, planFollowed, type SaidOfTraining, slugify } from "./follow-plan.ts";
import { withLock } from "./run-lock.ts";
import { baseCheckpoint } from "./stage-plan.ts";
import { summarize } from "./summarize.ts";
import { chooseNumThreads } from "./threads.ts";
import { listVersions } from "./versions.ts";

/** What to follow, and where the run goes. */
export interface FollowRequest {
  /** Folders of trainings; none where the run exists and is brought up to date. */
  readonly folders: readonly string[];
  readonly out: string;
  /** Folder of the model that was trained. */
  readonly base?: string | undefined;
  /** With absolute folders; then it names all trainings. */
  readonly lineage?: LineageFile | undefined;
}

/** What came of it. */
export interface FollowReport {
  readonly folder: RunFolder;
  readonly trainings: readonly FollowedTraining[];
  readonly lineage: readonly LineageEntry[];
  /** Checkpoints that were not there before. */
  readonly added: readonly LineageEntry[];
  /** Checkpoints whose folders their trainer has removed since. */
  readonly gone: readonly LineageEntry[];
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
          `Cannot follow into "${request.out}": it is a run of untwist's own training; choose another --out`,
        );
      return await keep(folder, await examine(request, recipe, await folder.readLineage()));
    });
  }
  const followed = await examine(request, undefined);
  const folder = await createRunFolder(request.out, followed.recipe, {
    schema: schemaVersion,
    recipe: followed.recipe.name,
    seed: followed.recipe.seed,
    numThreads: chooseNumThreads(),
    versions: listVersions(),
  });
  return await withLock(folder, () => keep(folder, followed));
}

/** What was found, as a recipe says it. */
interface Followed {
  readonly recipe: FollowRecipe;
  readonly trainings: readonly FollowedTraining[];
  readonly base?: string;
  readonly missingBase?: string;
}

async function examine(
  request: FollowRequest,
  known: FollowRecipe | undefined,
  lineage: readonly LineageEntry[] = [],
): Promise<Followed> {
  const steps = lineage.flatMap(({ stage, step }) => (stage === "sft" ? [step] : []));
  const said: readonly SaidOfTraining[] = request.lineage?.trainings ?? known?.follow.trainings ?? [];
  const folders = [...said.map(({ folder }) => folder), ...request.folders];
  if (folders.length === 0)
    throw new UsageError(
      "Cannot follow nothing: name the output folder of a trainer, or by --out a run that follows one",
    );
  const found = new Map<string, FoundTraining>();
  for (const folder of new Set(folders))
    for (const training of await findKnown(folder, known)) found.set(training.folder, training);
  const trainings = planFollowed([...found.values()], said, steps);
  const base = await findBase(request.base ?? request.lineage?.base ?? known?.follow.base, trainings);
  for (const { found } of trainings)
    for (const checkpoint of found.checkpoints)
      if (checkpoint.isAdapter) await findAdapterBase(checkpoint, base.base);
  return { recipe: describeRecipe({ request, known, trainings, ...base }), trainings, ...base };
}

/** The trainings below a folder; none where one that was followed before has been deleted since. */
async function findKnown(folder: string, known: FollowRecipe | undefined): Promise<readonly FoundTraining[]> {
  const isKnown = known?.follow.trainings.some((training) => training.folder === resolve(folder)) === true;
  try {
    return await findTrainings(folder);
  } catch (error) {
    if (isKnown && error instanceof NothingToFollowError) return [];
    throw error;
  }
}

/** The base model's folder: as it was said, else as the first training that names one names it. */
async function findBase(
  said: string | undefined,
  trainings: readonly FollowedTraining[],
): Promise<Pick<Followed, "base" | "missingBase">> {
  if (said !== undefined) {
    await (await openCheckpoint(resolve(said))).close();
    return { base: resolve(said) };
  }
  const named = trainings.flatMap(({ found }) => found.base ?? [])[0];
  if (named === undefined) return {};
  if (!(await folderExists(named))) return { missingBase: named };
  // A training may have started from a checkpoint that is followed itself: that is no base.
  const isFollowedItself = trainings.some(({ found }) =>
    found.checkpoints.some(({ folder }) => folder === resolve(named)),
  );
  return isFollowedItself ? {} : { base: resolve(named) };
}

function describeRecipe({
  request,
  known,
  trainings,
  base,
}: {
  readonly request: FollowRequest;
  readonly known: FollowRecipe | undefined;
  readonly trainings: readonly FollowedTraining[];
  readonly base?: string;
}): FollowRecipe {
  const slug = slugify(basename(resolve(request.out)));
  const { spectra, sweeps } = known ?? followDefaults;
  return {
    name: slug === "" ? "followed" : slug,
    summary: `Checkpoints of ${trainings.map(({ found }) => found.folder).join(", ")}`,
    seed: 1,
    rendering: "chat",
    ...known,
    follow: {
      ...(base !== undefined && { base }),
      trainings: [
        ...trainings.map(({ found, stage, branch, from, isStartAssumed }) => ({
          folder: found.folder,
          stage,
          ...(branch !== undefined && { branch }),
          // What was only assumed may change with the next checkpoint.
          ...(from !== undefined && !isStartAssumed && { from }),
        })),
        ...(known?.follow.trainings ?? []).filter(
          ({ folder }) => !trainings.some(({ found }) => found.folder === folder),
        ),
      ],
    },
    spectra,
    sweeps,
  };
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
  const gone = before.filter(({ id }) => !entries.some((entry) => entry.id === id));
  const lineage = sortLineage([...entries, ...gone], followed.trainings);
  await folder.writeRecipe(followed.recipe);
  await folder.writeLineage(lineage);
  for (const { found, branch = "sft" } of followed.trainings)
    if (found.log.steps.length > 0) await folder.writeMetrics(branch, found.log.steps.map(toMetrics));
  await renewSummary(folder);
  const { trainings, missingBase } = followed;
  return {
    folder,
    trainings,
    lineage,
    added: entries.filter(({ id }) => !before.some((entry) => entry.id === id)),
    gone,
    ...(missingBase !== undefined && { missingBase }),
  };
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

/** Summarises a followed run anew; what its spectra and sweeps say stays. */
export async function renewSummary(folder: RunFolder): Promise<void> {
  const before = await folder.readSummary();
  const { spectra, repairs } = before ?? {};
  await folder.writeSummary({
    ...(await summarize(folder)),
    ...(spectra !== undefined && { spectra }),
    ...(repairs !== undefined && { repairs }),
  });
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
      const id = branch === undefined ? `sft-${checkpoint.step}` : `${branch}-step-${checkpoint.step}`;
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

/** The folder of an adapter's base model. Throws `UsageError` where it lies nowhere here. */
async function findAdapterBase({ folder }: FoundCheckpoint, base: string | undefined): Promise<string> {
  const config = await readAdapterConfig(folder);
  // What the adapter names comes first: RL adapters may belong to an SFT checkpoint, not to the base of the run.
  const place = (await findBaseFolder(folder, config)) ?? base;
  if (place !== undefined && (await folderExists(place))) return place;
  throw new UsageError(
    `Cannot follow the adapter "${folder}" without its base model: "${config.base}" is no folder here; give its folder with --base`,
  );
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
  await writeFolderAtomic(folder.locate(path), async (temporary) => {
    await writeFileAtomic(join(temporary, "adapter_config.json"), text);
    for (const name of await listFiles(checkpoint.folder))
      if (name !== "adapter_config.json" && !/\.(?:pt|pth|bin)$/.test(name))
        await symlink(join(checkpoint.folder, name), join(temporary, name));
  });
  return path;
}

/** Base, SFT by step, then branch by branch. */
function sortLineage(
  entries: readonly LineageEntry[],
  trainings: readonly FollowedTraining[],
): readonly LineageEntry[] {
  const branches = trainings.map(({ branch }) => branch);
  const rank = ({ stage, branch }: LineageEntry): number =>
    stage === "base" ? 0 : stage === "sft" ? 1 : 2 + branches.indexOf(branch);
  return [...entries].sort((a, b) => rank(a) - rank(b) || a.step - b.step);
}
