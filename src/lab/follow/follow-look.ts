/** What there is to follow: trainings found, their stages planned, their base known, unusable adapters left out. */
import { basename, resolve } from "node:path";
import { describeError, setting, UsageError } from "../../base/core/index.ts";
import { folderExists, resolveLinks } from "../../base/file/index.ts";
import {
  type FoundCheckpoint,
  type FoundTraining,
  findTrainings,
  NothingToFollowError,
  type UnusedCheckpoint,
} from "../../bridge/trainer/index.ts";
import { type FollowRecipe, followDefaults, type LineageEntry, type LineageFile } from "../../run/index.ts";
import {
  CheckpointError,
  findBaseFolder,
  openCheckpoint,
  readAdapterConfig,
} from "../../weights/checkpoint/index.ts";
import { type FollowedTraining, planFollowed, type SaidOfTraining, slugify } from "./follow-plan.ts";

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

/** What was found, as a recipe says it. */
export interface Followed {
  readonly recipe: FollowRecipe;
  readonly trainings: readonly FollowedTraining[];
  readonly leftOut: readonly UnusedCheckpoint[];
  readonly base?: string;
  readonly missingBase?: string;
}

/**
 * What is to be followed now, of what is named and of what a run follows already. Throws `UsageError` and `CheckpointError`;
 * writes nothing.
 */
export async function examineTrainings(
  request: FollowRequest,
  known: FollowRecipe | undefined,
  lineage: readonly LineageEntry[] = [],
): Promise<Followed> {
  const steps = lineage.flatMap(({ stage, step }) => (stage === "sft" ? [step] : []));
  const said: readonly SaidOfTraining[] = request.lineage?.trainings ?? known?.follow.trainings ?? [];
  // A folder that is said something of must not be looked at a second time, by another path, without it.
  const places = new Set(said.map(({ folder }) => resolve(folder)));
  const others = request.folders.filter((folder) => !places.has(resolve(folder)));
  const folders = [...said.map(({ folder }) => folder), ...others];
  if (folders.length === 0)
    throw new UsageError(
      `Cannot follow nothing: name the output folder of a trainer, or by ${setting("out")} a run that follows one`,
    );
  const found = new Map<string, FoundTraining>();
  for (const folder of new Set(folders))
    for (const training of await findKnown(folder, { said, known })) found.set(training.folder, training);
  const all = await Promise.all([...found.values()].map((one) => alignBase(one, [...found.values()])));
  // Of a training whose weights nobody can use, there may be a second form beside it.
  const planned = planFollowed(all.filter(hasAny), said, steps);
  const base = await findBase(request.base ?? request.lineage?.base ?? known?.follow.base, planned);
  const knownIds = new Set(lineage.map(({ id }) => id));
  const trainings = await Promise.all(planned.map((one) => leaveOutUnusable(one, base.base, knownIds)));
  const leftOut = [
    ...trainings.flatMap((one) => one.found.leftOut),
    ...all.filter((one) => !hasAny(one)).flatMap((one) => one.leftOut),
  ];
  requireUsable(trainings, leftOut);
  return { recipe: describeRecipe({ request, known, trainings, ...base }), trainings, leftOut, ...base };
}

/** Where a training names a checkpoint of another as its base by another path, as behind a link, the path it is followed by. */
async function alignBase(training: FoundTraining, others: readonly FoundTraining[]): Promise<FoundTraining> {
  const { base } = training;
  if (base === undefined || !(await folderExists(base))) return training;
  const place = await resolveLinks(base);
  for (const { folder } of others.flatMap(({ checkpoints }) => checkpoints))
    if ((await folderExists(folder)) && (await resolveLinks(folder)) === place)
      return { ...training, base: folder };
  return training;
}

function hasAny({ checkpoints, partial }: FoundTraining): boolean {
  return checkpoints.length + partial.length > 0;
}

/** Throws `UsageError` where all that is whole is unusable. */
function requireUsable(trainings: readonly FollowedTraining[], leftOut: readonly UnusedCheckpoint[]): void {
  const [first] = leftOut;
  if (first !== undefined && !trainings.some(({ found }) => hasAny(found)))
    throw new UsageError(`Cannot follow "${first.folder}": ${first.reason}`);
}

/** A training without the adapters that cannot be added to their base; those that are followed already were tried then. */
async function leaveOutUnusable(
  training: FollowedTraining,
  base: string | undefined,
  known: ReadonlySet<string>,
): Promise<FollowedTraining> {
  const { found } = training;
  const checkpoints: FoundCheckpoint[] = [];
  const leftOut = [...found.leftOut];
  for (const checkpoint of found.checkpoints) {
    const isKnown = known.has(nameFollowed(training, checkpoint));
    const reason = checkpoint.isAdapter && !isKnown ? await findAdapterProblem(checkpoint, base) : undefined;
    if (reason === undefined) checkpoints.push(checkpoint);
    else leftOut.push({ ...checkpoint, reason });
  }
  return { ...training, found: { ...found, checkpoints, leftOut } };
}

/** Why an adapter cannot be used with its base. Throws `UsageError` where the base is not here. */
async function findAdapterProblem(
  checkpoint: FoundCheckpoint,
  base: string | undefined,
): Promise<string | undefined> {
  const place = await findAdapterBase(checkpoint, base);
  try {
    await (await openCheckpoint(checkpoint.folder, { base: place })).close();
    return undefined;
  } catch (error) {
    if (error instanceof CheckpointError) return describeError(error);
    throw error;
  }
}

/** The trainings below a folder; none where one that was followed before has been deleted since. */
async function findKnown(
  folder: string,
  { said, known }: { readonly said: readonly SaidOfTraining[]; readonly known: FollowRecipe | undefined },
): Promise<readonly FoundTraining[]> {
  const words = said.find((one) => one.folder === folder) ?? {};
  const isKnown = known?.follow.trainings.some((training) => training.folder === resolve(folder)) === true;
  try {
    return await findTrainings(folder, words);
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
  // A training may have started from a checkpoint that is followed itself: that is not a base.
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
  const { spectra, repairs } = known ?? followDefaults;
  return {
    name: slug === "" ? "followed" : slug,
    summary: `Checkpoints of ${trainings.map(({ found }) => found.folder).join(", ")}`,
    seed: 1,
    promptFormat: "chat",
    ...known,
    follow: {
      ...(base !== undefined && { base }),
      trainings: [
        ...trainings.flatMap(({ parts, stage, branch, from, isStartAssumed }) =>
          parts.map((part) => ({
            ...part,
            stage,
            ...(branch !== undefined && { branch }),
            // What was only assumed may change with the next checkpoint.
            ...(from !== undefined && !isStartAssumed && { from }),
          })),
        ),
        ...(known?.follow.trainings ?? []).filter(
          ({ folder }) => !trainings.some(({ parts }) => parts.some((part) => part.folder === folder)),
        ),
      ],
    },
    spectra,
    repairs,
  };
}

/** The id of a followed checkpoint. */
export function nameFollowed(
  { branch }: { readonly branch?: string | undefined },
  { step }: { readonly step: number },
): string {
  return branch === undefined ? `sft-${step}` : `${branch}-step-${step}`;
}

/** The folder of an adapter's base model. Throws `UsageError` where it lies nowhere here. */
export async function findAdapterBase(
  { folder }: FoundCheckpoint,
  base: string | undefined,
): Promise<string> {
  const config = await readAdapterConfig(folder);
  // What the adapter names comes first: RL adapters may belong to an SFT checkpoint, not to the base of the run.
  const place = (await findBaseFolder(folder, config)) ?? base;
  if (place !== undefined && (await folderExists(place))) return place;
  throw new UsageError(
    `Cannot follow the adapter "${folder}" without its base model: ${config.base === undefined ? "it names none" : `"${config.base}" is not a folder here`}; give its folder with ${setting("base")}`,
  );
}
