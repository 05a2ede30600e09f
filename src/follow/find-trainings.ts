/** Trainings in the folders that users name: step folders with their order, what is whole, what it grew from, what was logged. */
import { basename, join, relative, resolve } from "node:path";
import { UsageError } from "../base/index.ts";
import { findBaseFolder, isAdapterFolder, readAdapterConfig } from "../checkpoint/index.ts";
import { fileExists, folderExists, listFolders, readText } from "../file/index.ts";
import { guessStage, type Layout, readStepName, type StageGuess } from "./layout.ts";
import { inspectStep, type StepState } from "./step-folder.ts";
import { readTrainerLog, type TrainerLog } from "./trainer-log.ts";

/** There is nothing to follow, or not yet: a trainer may still have to write its first checkpoint. */
export class NothingToFollowError extends UsageError {
  override readonly name = "NothingToFollowError";
}

/** A checkpoint that is whole. */
export interface FoundCheckpoint {
  readonly step: number;
  /** The folder of its Hugging Face files, absolute. */
  readonly folder: string;
  readonly isAdapter: boolean;
}

/** A step folder that cannot be used yet. */
export interface PartialCheckpoint {
  readonly step: number;
  readonly folder: string;
  readonly reason: string;
}

/** Checkpoints of one training, whoever trained. */
export interface FoundTraining {
  /** The folder that its step folders lie in, absolute. */
  readonly folder: string;
  /** Which trainers lay out their checkpoints like that. */
  readonly trainers: string;
  readonly guess: StageGuess;
  /** By step. */
  readonly checkpoints: readonly FoundCheckpoint[];
  readonly partial: readonly PartialCheckpoint[];
  /** The model it says it was trained from: a folder, or a name. */
  readonly base?: string;
  readonly log: TrainerLog;
}

/** Folders deeper than that are not looked at. */
const maxDepth = 4;

/**
 * The trainings below a folder, in the order of their paths. Throws `UsageError` where there is none, where the weights are
 * pickles only, and where two folders claim the same step.
 */
export async function findTrainings(folder: string): Promise<readonly FoundTraining[]> {
  if (!(await folderExists(folder)))
    throw new NothingToFollowError(
      `Cannot follow "${folder}": there is no such folder; give the output folder of a trainer`,
    );
  const root = resolve(folder);
  const homes = await findHomes(root, maxDepth);
  const trainings: FoundTraining[] = [];
  const pickled: StepHome[] = [];
  for (const home of homes) {
    const training = await inspectHome(home, join(basename(root), relative(root, home.folder)));
    if (training === undefined) pickled.push(home);
    else trainings.push(training);
  }
  if (trainings.length > 0) return trainings;
  const [first] = pickled;
  if (first !== undefined)
    throw new UsageError(
      `Cannot follow "${first.folder}": its weights are pickles, which could run anything when loaded; ${first.steps[0]?.layout.remedy ?? ""}`,
    );
  throw new NothingToFollowError(
    `Cannot follow "${folder}": no folder in it is named like a trainer's step, as checkpoint-100, global_step_100 or step_100; give the folder that holds these`,
  );
}

/**
 * What `look` finds in a folder, or `undefined` where the folder disappeared under it: trainers rename the folders that they
 * write, and delete old ones.
 */
async function unlessGone<Found>(folder: string, look: () => Promise<Found>): Promise<Found | undefined> {
  try {
    return await look();
  } catch (error) {
    if (error instanceof UsageError && !(await folderExists(folder))) return undefined;
    throw error;
  }
}

/** A folder with step folders in it. */
interface StepHome {
  readonly folder: string;
  readonly steps: readonly { readonly name: string; readonly step: number; readonly layout: Layout }[];
}

async function findHomes(folder: string, depth: number): Promise<readonly StepHome[]> {
  const listed = await unlessGone(folder, () => listFolders(folder));
  const names = (listed ?? []).filter((name) => !name.startsWith("."));
  const steps = names.flatMap((name) => {
    const read = readStepName(name);
    return read === undefined ? [] : [{ name, ...read }];
  });
  const own = steps.length === 0 ? [] : [{ folder, steps: steps.sort((a, b) => a.step - b.step) }];
  if (depth === 0) return own;
  const others: StepHome[] = [];
  // A critic is no model that answers; a step folder's own folders belong to its step.
  for (const name of names)
    if (readStepName(name) === undefined && !/^_?critic$/.test(name))
      others.push(...(await findHomes(join(folder, name), depth - 1)));
  return [...own, ...others];
}

/** A training as its folder shows it; `undefined` where it has only pickles. */
async function inspectHome(
  { folder, steps }: StepHome,
  shownPath: string,
): Promise<FoundTraining | undefined> {
  const latest = await readMarker(folder, steps);
  const states: (StepState & { readonly claimed: number; readonly name: string })[] = [];
  const stated = await findStatedLayouts(folder, steps);
  for (const { name, step, layout } of steps) {
    const place = { folder: join(folder, name), step, layout, endsWithState: stated.has(layout) };
    const state = isBeyond(latest, step, layout)
      ? { state: "partial" as const, reason: `the trainer has finished step ${latest?.step} so far` }
      : await unlessGone(place.folder, () => inspectStep(place));
    if (state !== undefined) states.push({ ...state, claimed: step, name });
  }
  if (states.length > 0 && states.every(({ state }) => state === "pickled")) return undefined;
  const checkpoints = listWhole(states, folder);
  const log = await readTrainerLog(folder, await findLatestState(folder, states));
  const newest = checkpoints.at(-1);
  const base = newest === undefined ? undefined : await readBase(newest, folder);
  return {
    folder,
    trainers: steps[0]?.layout.trainers ?? "",
    guess: guessStage({
      metrics: log.steps.flatMap(({ numbers }) => Object.keys(numbers)),
      places: states.flatMap((one) => (one.state === "whole" ? [one.place] : [])),
      path: shownPath,
    }),
    checkpoints,
    partial: states.flatMap((one) => describePartial(one, folder)),
    ...(base !== undefined && { base }),
    log,
  };
}

function listWhole(
  states: readonly (StepState & { readonly name: string })[],
  home: string,
): readonly FoundCheckpoint[] {
  const bySteps = new Map<number, FoundCheckpoint>();
  for (const state of states) {
    if (state.state !== "whole") continue;
    const { step, weights: folder, isAdapter } = state;
    const other = bySteps.get(step);
    if (other !== undefined)
      throw new UsageError(
        `Cannot follow "${home}": "${other.folder}" and "${folder}" both claim step ${step}; move one of them away`,
      );
    bySteps.set(step, { step, folder, isAdapter });
  }
  return [...bySteps.values()].sort((a, b) => a.step - b.step);
}

function describePartial(
  state: StepState & { readonly claimed: number; readonly name: string },
  home: string,
): readonly PartialCheckpoint[] {
  if (state.state === "whole") return [];
  const reason = state.state === "partial" ? state.reason : "its weights are pickles, which are never loaded";
  return [{ step: state.claimed, folder: join(home, state.name), reason }];
}

interface Marker {
  readonly step: number;
  readonly layout: Layout;
}

/** The last step that a trainer says it has finished. */
async function readMarker(folder: string, steps: StepHome["steps"]): Promise<Marker | undefined> {
  for (const layout of new Set(steps.map((step) => step.layout)))
    for (const name of layout.markers) {
      const file = join(folder, name);
      if (!(await fileExists(file))) continue;
      const [digits] = /\d+/.exec(await readText(file)) ?? [];
      if (digits !== undefined) return { step: Number(digits), layout };
    }
  return undefined;
}

function isBeyond(latest: Marker | undefined, step: number, layout: Layout): boolean {
  return latest !== undefined && latest.layout === layout && step > latest.step;
}

/** Layouts of which some step folder holds a `trainer_state.json`. */
async function findStatedLayouts(folder: string, steps: StepHome["steps"]): Promise<ReadonlySet<Layout>> {
  const stated = new Set<Layout>();
  for (const { name, layout } of steps)
    if (await fileExists(join(folder, name, "trainer_state.json"))) stated.add(layout);
  return stated;
}

/** The newest whole step folder, whose trainer state holds the longest history. */
async function findLatestState(
  folder: string,
  states: readonly (StepState & { readonly name: string })[],
): Promise<string | undefined> {
  for (const { state, name } of [...states].reverse())
    if (state === "whole" && (await fileExists(join(folder, name, "trainer_state.json"))))
      return join(folder, name);
  return undefined;
}

/** The model that a checkpoint says it was trained from: by its adapter, its configuration, or its model card. */
async function readBase({ folder, isAdapter }: FoundCheckpoint, home: string): Promise<string | undefined> {
  if (isAdapter && (await isAdapterFolder(folder))) {
    const config = await readAdapterConfig(folder);
    return (await findBaseFolder(folder, config)) ?? config.base;
  }
  const config = join(folder, "config.json");
  const named = (await fileExists(config))
    ? /"_name_or_path"\s*:\s*"([^"]+)"/.exec(await readText(config))?.[1]
    : undefined;
  if (named !== undefined) return named;
  for (const place of [folder, home]) {
    const card = join(place, "README.md");
    if (!(await fileExists(card))) continue;
    const [, base] = /^base_model:[ \t]*['"]?([^'"\r\n]+?)['"]?[ \t]*$/m.exec(await readText(card)) ?? [];
    if (base !== undefined) return base;
  }
  return undefined;
}
