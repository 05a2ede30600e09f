/** Trainings in the folders that users name: step folders with their order, what is whole, what it grew from, what was logged. */
import { basename, join, relative, resolve } from "node:path";
import { describeError, UsageError } from "../../base/core/index.ts";
import { fileExists, folderExists, readText } from "../../base/file/index.ts";
import { CheckpointError } from "../../weights/checkpoint/index.ts";
import { readBase } from "./base-model.ts";
import { type DatedCheckpoint, type LeftOver, splitLeftOvers } from "./continuity.ts";
import { inspectFinalModel } from "./final-model.ts";
import { describeTrainers, guessStage, markers, type StageGuess } from "./layout.ts";
import { describeFolders, listWeights } from "./nothing-found.ts";
import { inspectStep, type StepLocation, type StepState } from "./step-folder.ts";
import { findHomes, type StepHome, unlessGone } from "./step-home.ts";
import { parseStepPattern, readStepName, suggestPattern } from "./step-name.ts";
import { readHistory, readTrainerLog, type TrainerLog } from "./trainer-log.ts";

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

/** A step folder that is not used, and why. */
export interface UnusedCheckpoint {
  readonly step: number;
  readonly folder: string;
  readonly reason: string;
}

/** Checkpoints of one training, whoever trained. */
export interface FoundTraining {
  /** The folder that its step folders lie in, absolute; of a single model, its own. */
  readonly folder: string;
  /** Which trainers lay out their checkpoints like that; absent for an unknown one. */
  readonly trainers?: string;
  readonly guess: StageGuess;
  /** By step. */
  readonly checkpoints: readonly FoundCheckpoint[];
  /** Step folders that are not whole yet. */
  readonly partial: readonly UnusedCheckpoint[];
  /** Step folders that cannot be used, however long one waits, or do not belong to this training. */
  readonly leftOut: readonly UnusedCheckpoint[];
  /** What else was found of it, as sentences. */
  readonly notes: readonly string[];
  /** The model it says it was trained from: a folder, or a name. */
  readonly base?: string;
  readonly log: TrainerLog;
}

/** What a user says of the folders of a training. */
export interface FolderWords {
  /** A pattern for the step folders, relative to the folder, with `{step}` for the number. */
  readonly steps?: string | undefined;
  /** Where in a step folder the weights lie. */
  readonly weights?: string | undefined;
}

/**
 * The trainings below a folder, in the order of their paths; the folder itself where it is a model or adapter. Throws
 * `UsageError` where there is none, where none of the weights can be read, and where two folders claim the same step.
 */
export async function findTrainings(
  folder: string,
  words: FolderWords = {},
): Promise<readonly FoundTraining[]> {
  if (!(await folderExists(folder)))
    throw new NothingToFollowError(
      `Cannot follow "${folder}": there is no such folder; give the output folder of a trainer`,
    );
  const root = resolve(folder);
  const pattern = words.steps === undefined ? undefined : parseStepPattern(words.steps);
  const homes = await findHomes(root, pattern);
  const trainings: FoundTraining[] = [];
  for (const home of homes)
    trainings.push(
      await inspectHome(home, { shownPath: join(basename(root), relative(root, home.folder)), words }),
    );
  if (homes.length === 0) {
    const single = pattern === undefined ? await inspectSingle(root, words) : undefined;
    if (single === undefined)
      throw new NothingToFollowError(
        `Cannot follow "${folder}": ${await describeFolders(root, words.steps)}`,
      );
    trainings.push(single);
  }
  if (trainings.some(({ checkpoints, partial }) => checkpoints.length + partial.length > 0)) return trainings;
  return refuseAll(trainings);
}

/** Where no weights can be used; others may still come. */
function refuseAll(trainings: readonly FoundTraining[]): never {
  const [first] = trainings.flatMap(({ leftOut }) => leftOut);
  throw new NothingToFollowError(
    `Cannot follow "${first?.folder ?? ""}": ${first?.reason ?? "it is empty"}`,
    { cause: first?.reason },
  );
}

/** A training as its folder shows it. */
async function inspectHome(
  home: StepHome,
  { shownPath, words }: { readonly shownPath: string; readonly words: FolderWords },
): Promise<FoundTraining> {
  const { folder } = home;
  const looked = dropForms(await inspectSteps(home, words));
  const dated = await Promise.all(looked.flatMap(pickWhole).map(addHistory));
  const { kept, leftOver } = splitLeftOvers(dated);
  // Whoever writes a pattern says which folders belong together.
  const used = words.steps === undefined ? kept : dated;
  const steps = listSteps(used, folder);
  const latest = [...kept].reverse().find(({ history }) => history.size > 0)?.folder;
  const final = await inspectFinalModel(folder, { steps, latest });
  const checkpoints =
    final?.step === undefined ? steps : [...steps, { step: final.step, folder, isAdapter: final.isAdapter }];
  const log = await readTrainerLog(folder, { latest, isShared: leftOver.length > 0 });
  return {
    ...(await describeTraining({ folder, shownPath, log, checkpoints }, used)),
    partial: looked.flatMap(({ state, step, folder: at }) =>
      state.state === "partial" ? [{ step, folder: at, reason: state.reason }] : [],
    ),
    leftOut: [
      ...looked.flatMap(({ state, step, folder: at }) =>
        state.state === "unusable" ? [{ step, folder: at, reason: state.reason }] : [],
      ),
      ...(words.steps === undefined ? leftOver.map(describeLeftOver) : []),
    ],
    notes: final === undefined ? [] : [final.note],
  };
}

/** A step folder with what is in it. */
interface LookedStep {
  readonly name: string;
  readonly folder: string;
  readonly step: number;
  readonly epoch?: number;
  readonly isForm: boolean;
  readonly state: StepState;
}

/** One that is whole. */
type WholeStep = LookedStep & { readonly state: Extract<StepState, { readonly state: "whole" }> };

async function inspectSteps(home: StepHome, words: FolderWords): Promise<readonly LookedStep[]> {
  const { folder: root, steps } = home;
  const latest = await readMarker(home);
  const stated = await findStated(home);
  const countsSteps = steps.some(({ countsEpochs }) => !countsEpochs);
  const looked: LookedStep[] = [];
  for (const { name, step, epoch, isForm, countsEpochs, isLost = false } of steps) {
    const folder = join(root, name);
    const place = { folder, weights: words.weights, endsWithState: stated.has(shapeOf(name)) };
    const state: StepState | undefined = isLost
      ? { state: "unusable", reason: "it is a link that leads nowhere" }
      : isBeyond(latest, { name, step })
        ? { state: "partial", reason: `the trainer has finished step ${latest?.step} so far` }
        : await unlessUnreadable(
            folder,
            async () => (await inspectStep(place)) ?? (await describeEmpty(place)),
          );
    if (state === undefined) continue;
    const known = state.state === "whole" ? (state.step ?? step) : step;
    const isMixed = countsEpochs && countsSteps && state.state === "whole" && state.step === undefined;
    looked.push({
      name,
      folder,
      step: known,
      ...(epoch !== undefined && { epoch }),
      isForm,
      state: isMixed ? { state: "unusable", reason: mixed } : state,
    });
  }
  return looked;
}

/** A step folder that may not be read (yet) does not hide the others. */
async function unlessUnreadable(
  folder: string,
  look: () => Promise<StepState>,
): Promise<StepState | undefined> {
  try {
    return await unlessGone(folder, look);
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof CheckpointError)) throw error;
    return { state: "partial", reason: describeError(error) };
  }
}

const mixed =
  "its name counts epochs and those beside it count steps, so that its place among them is unknown";

async function describeEmpty({
  folder,
  weights,
}: Pick<StepLocation, "folder" | "weights">): Promise<StepState> {
  if (weights !== undefined) return { state: "partial", reason: `it holds no weights in ${weights} yet` };
  const places = await listWeights(folder);
  const elsewhere =
    places.length === 0
      ? ""
      : ` where they are looked for; there are some in "${places.join('", "')}": say so in a lineage file by weights: ${places[0]}`;
  return { state: "partial", reason: `it holds no weights yet${elsewhere}` };
}

/** Of one step in several forms the plain one, or the one that can be used. */
function dropForms(looked: readonly LookedStep[]): readonly LookedStep[] {
  return looked.filter((one) => {
    const others = looked.filter((other) => other !== one && other.step === one.step);
    if (one.state.state === "whole")
      return !one.isForm || !others.some((other) => !other.isForm && other.state.state === "whole");
    return !others.some((other) => other.state.state === "whole" && (one.isForm || other.isForm));
  });
}

function pickWhole(looked: LookedStep): readonly WholeStep[] {
  const { state } = looked;
  return state.state === "whole" ? [{ ...looked, state }] : [];
}

type DatedStep = WholeStep & DatedCheckpoint;

async function addHistory(whole: WholeStep): Promise<DatedStep> {
  const history = (await unlessGone(whole.folder, () => readHistory(whole.folder))) ?? new Map();
  return { ...whole, timeMs: whole.state.timeMs, history };
}

function describeLeftOver({ item, reason }: LeftOver<DatedStep>): UnusedCheckpoint {
  const pattern = suggestPattern(item.name) ?? item.name;
  return {
    step: item.step,
    folder: item.folder,
    reason: `${reason}; to take all of them, say so in a lineage file by steps: "${pattern}"`,
  };
}

/** Whole steps as checkpoints, by step. Throws `UsageError` where two claim one step, or epochs count their steps anew. */
function listSteps(used: readonly DatedStep[], home: string): readonly FoundCheckpoint[] {
  const ordered = [...used].sort((a, b) => (a.epoch ?? 0) - (b.epoch ?? 0) || a.step - b.step);
  for (const [index, { step, state, epoch }] of ordered.entries()) {
    const before = ordered[index - 1];
    if (before === undefined || before.step < step) continue;
    const isCountedAnew = epoch !== before.epoch;
    throw new UsageError(
      isCountedAnew
        ? `Cannot follow "${home}": "${before.state.weights}" claims step ${before.step} and "${state.weights}" of a later epoch claims step ${step}: steps are counted anew in each epoch; name the folder of each epoch in a lineage file, the later ones with after: and the number of steps before them`
        : `Cannot follow "${home}": "${before.state.weights}" and "${state.weights}" both claim step ${step}; move one of them away`,
    );
  }
  return ordered.map(({ step, state }) => ({ step, folder: state.weights, isAdapter: state.isAdapter }));
}

/** What is known of a training from its checkpoints and its log. */
async function describeTraining(
  {
    folder,
    shownPath,
    log,
    checkpoints,
  }: {
    readonly folder: string;
    readonly shownPath: string;
    readonly log: TrainerLog;
    readonly checkpoints: readonly FoundCheckpoint[];
  },
  used: readonly WholeStep[],
): Promise<Omit<FoundTraining, "partial" | "leftOut" | "notes">> {
  const newest = checkpoints.at(-1);
  const base =
    newest === undefined ? undefined : await unlessGone(newest.folder, () => readBase(newest, folder));
  const [first] = used;
  const trainers = first === undefined ? undefined : describeTrainers(first.name, first.state.place);
  return {
    folder,
    ...(trainers !== undefined && { trainers }),
    guess: guessStage({
      metrics: log.steps.flatMap(({ numbers }) => Object.keys(numbers)),
      places: used.map(({ state }) => state.place),
      path: shownPath,
    }),
    checkpoints,
    ...(base !== undefined && { base }),
    log,
  };
}

/** The step that a model by itself is given where nothing says it: the training as a whole is one step from its base. */
const onlyStep = 1;

/** A folder that is a model or an adapter itself, as a training of one checkpoint; `undefined` where it holds no weights. */
async function inspectSingle(folder: string, words: FolderWords): Promise<FoundTraining | undefined> {
  const named = readStepName(basename(folder));
  const inside = named === undefined ? "" : undefined;
  const state = await inspectStep({ folder, weights: words.weights ?? inside, endsWithState: false });
  if (state === undefined) return undefined;
  const step = (state.state === "whole" ? state.step : undefined) ?? named?.step ?? onlyStep;
  const looked = { name: basename(folder), folder, step, isForm: false, state };
  const whole = pickWhole(looked);
  const checkpoints = whole.map((one) => ({
    step,
    folder: one.state.weights,
    isAdapter: one.state.isAdapter,
  }));
  const log = await readTrainerLog(folder);
  const unused = { step, folder };
  return {
    ...(await describeTraining({ folder, shownPath: basename(folder), log, checkpoints }, whole)),
    partial: state.state === "partial" ? [{ ...unused, reason: state.reason }] : [],
    leftOut: state.state === "unusable" ? [{ ...unused, reason: state.reason }] : [],
    notes: [],
  };
}

interface Marker {
  readonly step: number;
  /** The names that it speaks of. */
  readonly names: RegExp;
}

/** The last step that a trainer says it has finished. */
async function readMarker({ folder, steps }: StepHome): Promise<Marker | undefined> {
  for (const { file, names } of markers) {
    const path = join(folder, file);
    if (!steps.some(({ name }) => names.test(name)) || !(await fileExists(path))) continue;
    const [digits] = /\d+/.exec(await readText(path)) ?? [];
    if (digits !== undefined) return { step: Number(digits), names };
  }
  return undefined;
}

function isBeyond(
  latest: Marker | undefined,
  { name, step }: { readonly name: string; readonly step: number },
): boolean {
  return latest?.names.test(name) === true && step > latest.step;
}

/** A name with its numbers taken out: what is named alike was written alike. */
function shapeOf(name: string): string {
  return name.replaceAll(/\d+/g, "0");
}

/** Shapes of names of which some step folder holds a `trainer_state.json`. */
async function findStated({ folder, steps }: StepHome): Promise<ReadonlySet<string>> {
  const stated = new Set<string>();
  for (const { name } of steps)
    if (await fileExists(join(folder, name, "trainer_state.json"))) stated.add(shapeOf(name));
  return stated;
}
