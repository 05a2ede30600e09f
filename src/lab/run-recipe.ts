/** A recipe carried out: every stage, every checkpoint evaluated, a summary at the end. */
import { UsageError } from "../base/index.ts";
import type { Model } from "../model/index.ts";
import {
  clearLeftovers,
  createRunFolder,
  openRunFolder,
  type Recipe,
  type RunFolder,
  type Summary,
  type SweepPlan,
  type SweepRecord,
  schemaVersion,
} from "../run/index.ts";
import type { AdapterWay } from "./adapter-server.ts";
import { checkModel } from "./check-model.ts";
import { checkRecipe } from "./check-recipe.ts";
import { type Effects, resumeCommand } from "./effects.ts";
import type { JobPlace } from "./job-place.ts";
import { keepCheckpoint } from "./keep-checkpoint.ts";
import { requireTrained } from "./require-recipe.ts";
import { withLock } from "./run-lock.ts";
import { runServedSweep } from "./run-served-sweep.ts";
import { computeRunSpectra, keepRunSpectra, type RunSpectra, type SpectraChoice } from "./run-spectra.ts";
import { runStage } from "./run-stage.ts";
import { runRecipeSweeps, runSweep } from "./run-sweep.ts";
import { requireSameAsking } from "./settle-tasks.ts";
import { baseCheckpoint, nameCheckpoint, planStages, type StagePlan } from "./stage-plan.ts";
import { loadState } from "./state-file.ts";
import { summarize } from "./summarize.ts";
import { chooseNumThreads } from "./threads.ts";
import { describeVersionChanges, listVersions } from "./versions.ts";
import { createFirstModel, createWorkshop, restoreFirstModel, type Workshop } from "./workshop.ts";

/** A finished run. */
export interface FinishedRun {
  readonly folder: RunFolder;
  readonly summary: Summary;
}

/** Starts a run of the recipe in a new folder and carries it out. All input is checked before anything is written. */
export async function startRun(recipe: Recipe, path: string, effects: Effects): Promise<FinishedRun> {
  checkRecipe(recipe);
  const model = await createFirstModel(recipe, recipe.seed);
  checkModel(model, recipe);
  const folder = await createRunFolder(path, recipe, {
    schema: schemaVersion,
    recipe: recipe.name,
    seed: recipe.seed,
    numThreads: chooseNumThreads(),
    versions: listVersions(),
  });
  return withLock(folder, () => carryOut(folder, model, effects));
}

/** Continues a run where it was left; a finished run is summarised again. */
export async function resumeRun(path: string, effects: Effects): Promise<FinishedRun> {
  const folder = await openRunFolder(path);
  requireTrained(folder);
  return withLock(folder, async () => {
    await clearLeftovers(folder);
    const changes = describeVersionChanges(folder.record.versions);
    if (changes !== "")
      effects.report({
        kind: "notice",
        text: `The run was started with other versions (${changes}): from here on its numbers may differ in the last digits`,
      });
    return carryOut(folder, await restoreFirstModel(folder), effects);
  });
}

/** Computes the spectra that the recipe asks for; the run's folder and, once it is finished, its summary hold them. */
export async function renewSpectra(
  path: string,
  choice: SpectraChoice,
  { command, effects }: { readonly command: string; readonly effects: Effects },
): Promise<RunSpectra> {
  const folder = await openRunFolder(path);
  return withLock(folder, async () => {
    const finished = await folder.readSummary();
    const { trajectory } = finished ?? (await summarize(folder));
    const computed = await computeRunSpectra(folder, { trajectory, choice, command }, effects);
    requirePairs(path, computed);
    await keepRunSpectra(folder, computed);
    if (finished !== undefined) await folder.writeSummary({ ...finished, spectra: computed.record });
    return computed;
  });
}

/** Computes the spectra of a run in another way than its recipe says; the run stays as it is. */
export async function examineRun(
  path: string,
  choice: SpectraChoice,
  { command, effects }: { readonly command: string; readonly effects: Effects },
): Promise<RunSpectra> {
  const folder = await openRunFolder(path);
  const { trajectory } = (await folder.readSummary()) ?? (await summarize(folder));
  const computed = await computeRunSpectra(folder, { trajectory, choice, command }, effects);
  requirePairs(path, computed);
  return computed;
}

/** Throws `UsageError` for a run that has nothing to compare: an empty table would look like a result. */
function requirePairs(path: string, { pairs }: RunSpectra): void {
  if (pairs.length === 0)
    throw new UsageError(
      `Cannot compare checkpoints of "${path}": it has none beside the first; train on, or follow the checkpoints again once they are whole`,
    );
}

/** Carries out a sweep on a run that has an SFT stage; once the run is finished, its summary holds the result. */
export async function sweepRun(
  path: string,
  plans: readonly SweepPlan[] | undefined,
  {
    command,
    effects,
    way,
    job,
  }: {
    readonly command: string;
    readonly effects: Effects;
    readonly way?: AdapterWay | undefined;
    readonly job?: JobPlace | undefined;
  },
): Promise<readonly SweepRecord[]> {
  if (way !== undefined && job !== undefined)
    throw new UsageError(
      "Cannot sweep with both --on and --lora-endpoint: one server answers for all repairs; leave one of them out",
    );
  const folder = await openRunFolder(path);
  return withLock(folder, async () => {
    const finished = await folder.readSummary();
    const { trajectory } = finished ?? (await summarize(folder));
    if (trajectory === null)
      throw new UsageError(`Cannot sweep "${path}": it has no SFT stage, whose peak could repair its end`);
    const keep = async (records: readonly SweepRecord[]): Promise<readonly SweepRecord[]> => {
      if (finished !== undefined)
        await folder.writeSummary({ ...finished, repairs: mergeSweeps(finished.repairs, records) });
      return records;
    };
    if (way !== undefined) {
      const { sweeps } = folder.recipe;
      const records: SweepRecord[] = [];
      for (const plan of plans ?? (sweeps === false ? [] : sweeps))
        records.push(await runServedSweep(plan, { folder, trajectory, way, command, effects }));
      return await keep(records);
    }
    const model = await restoreFirstModel(folder);
    await requireSameAsking(folder, { way: { way: "embedded" }, model, effects, missing: [] });
    const workshop = await createWorkshop(folder, model, effects);
    try {
      const place = { workshop, trajectory, command, job };
      const records: SweepRecord[] = [];
      if (plans === undefined) records.push(...(await runRecipeSweeps(place)));
      else for (const plan of plans) records.push(await runSweep(plan, place));
      return await keep(records);
    } finally {
      await workshop.release();
    }
  });
}

/** Earlier sweeps, those of the same names replaced. */
function mergeSweeps(
  before: Summary["repairs"] = [],
  records: readonly SweepRecord[],
): NonNullable<Summary["repairs"]> {
  return [...new Map([...before, ...records].map((record) => [record.name, record])).values()];
}

async function carryOut(folder: RunFolder, model: Model, effects: Effects): Promise<FinishedRun> {
  const workshop = await createWorkshop(folder, model, effects);
  try {
    await runStages(workshop, model);
    const summary = await conclude(workshop);
    effects.report({ kind: "finished", folder: folder.path });
    return { folder, summary };
  } finally {
    await workshop.release();
  }
}

/** The summary, with the spectra and the sweeps that the recipe asks for, written into the folder. */
async function conclude(workshop: Workshop): Promise<Summary> {
  const { folder, effects } = workshop;
  const summary = await summarize(folder);
  const command = resumeCommand(folder.path);
  const spectra = await concludeSpectra(folder, { trajectory: summary.trajectory, command }, effects);
  const startMs = effects.now();
  const { trajectory } = summary;
  const repairs = trajectory === null ? [] : await runRecipeSweeps({ workshop, trajectory, command });
  if (repairs.length > 0) await folder.addTiming("sweeps", effects.now() - startMs);
  const finished = {
    ...summary,
    ...(spectra !== undefined && { spectra }),
    ...(repairs.length > 0 && { repairs: [...repairs] }),
    timings: await folder.readTimings(),
  };
  await folder.writeSummary(finished);
  return finished;
}

async function concludeSpectra(
  folder: RunFolder,
  { trajectory, command }: { readonly trajectory: Summary["trajectory"]; readonly command: string },
  effects: Effects,
): Promise<Summary["spectra"]> {
  const { spectra: wanted } = folder.recipe;
  if (wanted === false) return undefined;
  const choice = { settings: { ranks: wanted.ranks }, isWanted: () => true };
  const startMs = effects.now();
  const computed = await computeRunSpectra(folder, { trajectory, choice, command }, effects);
  await keepRunSpectra(folder, computed);
  await folder.addTiming("spectra", effects.now() - startMs);
  return computed.record;
}

async function runStages(workshop: Workshop, model: Model): Promise<void> {
  const recipe = requireTrained(workshop.folder);
  const plans = planStages(recipe);
  await reportPlan(workshop, plans);
  if (typeof recipe.base === "string")
    await keepCheckpoint(workshop, {
      id: baseCheckpoint,
      stage: "base",
      step: 0,
      parameters: model.parameters,
    });
  for (const plan of plans) await runStage(workshop, plan, model.parameters);
}

async function reportPlan({ folder, effects }: Workshop, plans: readonly StagePlan[]): Promise<void> {
  const kept = new Set((await folder.readLineage()).map(({ id }) => id));
  const wanted = plans.flatMap((plan) => plan.checkpointSteps.map((step) => nameCheckpoint(plan, step)));
  if (typeof requireTrained(folder).base === "string") wanted.push(baseCheckpoint);
  const stages = await Promise.all(
    plans.map(async (plan) => {
      const isDone = kept.has(nameCheckpoint(plan, plan.numSteps));
      const numDone = isDone ? plan.numSteps : ((await loadState(folder.locateState(plan.id)))?.step ?? 0);
      return { id: plan.id, numSteps: plan.numSteps, numDone };
    }),
  );
  effects.report({ kind: "planned", stages, numEvaluations: wanted.filter((id) => !kept.has(id)).length });
}
