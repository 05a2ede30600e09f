/** A recipe carried out: every stage, every checkpoint evaluated, a summary at the end. */

import { action } from "../../base/core/index.ts";
import { chooseNumThreads, describeVersionChanges, listVersions } from "../../base/machine/index.ts";
import { type Effects, StoppedError } from "../../base/progress/index.ts";
import type { Model } from "../../engine/model/index.ts";
import {
  baseCheckpoint,
  clearLeftovers,
  createRunFolder,
  openRunFolder,
  type Recipe,
  type RepairRecord,
  type RunFolder,
  requireTrained,
  type Summary,
  schemaVersion,
  withLock,
} from "../../run/index.ts";
import {
  createEmbeddedAnswerer,
  createFirstModel,
  createRunEngine,
  type RunEngine,
  restoreFirstModel,
} from "../answer/index.ts";
import { computeRunSpectra, keepRunSpectra } from "../comparison/index.ts";
import { keepCheckpoint } from "../evaluation/index.ts";
import { summarize } from "../outcome/index.ts";
import { runRecipeRepairs } from "../repair/index.ts";
import {
  checkModel,
  checkRecipe,
  loadState,
  nameCheckpoint,
  planStages,
  runStage,
  type StagePlan,
} from "../stage/index.ts";

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

/** Continues a run where it was left; a finished run is summarized again. */
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

async function carryOut(folder: RunFolder, model: Model, effects: Effects): Promise<FinishedRun> {
  const engine = await createRunEngine(folder, model, effects);
  try {
    await runStages(engine, model);
    const summary = await conclude(engine);
    effects.report({ kind: "finished", folder: folder.path });
    return { folder, summary };
  } catch (error) {
    // The same again would start another run.
    throw error instanceof StoppedError ? new StoppedError(action("resume", folder.path)) : error;
  } finally {
    await engine.release();
  }
}

/** The summary, with the spectra and the repair grids that the recipe asks for, written into the folder. */
async function conclude(engine: RunEngine): Promise<Summary> {
  const { folder, effects } = engine;
  const summary = await summarize(folder);
  const spectra = await concludeSpectra(folder, { trajectory: summary.trajectory }, effects);
  const startMs = effects.now();
  const { trajectory } = summary;
  const repairs = trajectory === null ? [] : await concludeRepairs(engine, trajectory);
  if (repairs.length > 0) await folder.addTiming("repairs", effects.now() - startMs);
  const finished = {
    ...summary,
    ...(spectra !== undefined && { spectra }),
    ...(repairs.length > 0 && { repairs: [...repairs] }),
    timings: await folder.readTimings(),
  };
  await folder.writeSummary(finished);
  return finished;
}

async function concludeRepairs(
  engine: RunEngine,
  trajectory: NonNullable<Summary["trajectory"]>,
): Promise<readonly RepairRecord[]> {
  const { folder, assignment, effects } = engine;
  const answerer = createEmbeddedAnswerer(assignment, effects, { engine });
  try {
    return await runRecipeRepairs({ folder, trajectory, answerer, effects });
  } finally {
    await answerer.close();
  }
}

async function concludeSpectra(
  folder: RunFolder,
  { trajectory }: { readonly trajectory: Summary["trajectory"] },
  effects: Effects,
): Promise<Summary["spectra"]> {
  const { spectra: wanted } = folder.recipe;
  if (wanted === false) return undefined;
  const choice = { settings: { ranks: wanted.ranks }, isWanted: () => true };
  const startMs = effects.now();
  const computed = await computeRunSpectra(folder, { trajectory, choice }, effects);
  await keepRunSpectra(folder, computed);
  await folder.addTiming("spectra", effects.now() - startMs);
  return computed.record;
}

async function runStages(engine: RunEngine, model: Model): Promise<void> {
  const recipe = requireTrained(engine.folder);
  const plans = planStages(recipe);
  await reportPlan(engine, plans);
  if (typeof recipe.base === "string")
    await keepCheckpoint(engine, {
      id: baseCheckpoint,
      stage: "base",
      step: 0,
      parameters: model.parameters,
    });
  for (const plan of plans) await runStage(engine, plan, model.parameters);
}

async function reportPlan({ folder, effects }: RunEngine, plans: readonly StagePlan[]): Promise<void> {
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
