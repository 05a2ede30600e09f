/** A recipe carried out: every stage, every checkpoint evaluated, a summary at the end. */
import { availableParallelism } from "node:os";
import type { Model } from "../model/index.ts";
import {
  createRunFolder,
  type Recipe,
  type RunFolder,
  resumeRunFolder,
  type Summary,
  schemaVersion,
} from "../run/index.ts";
import type { Effects } from "./effects.ts";
import { keepCheckpoint } from "./keep-checkpoint.ts";
import { runStage } from "./run-stage.ts";
import { baseCheckpoint, nameCheckpoint, planStages, type StagePlan } from "./stage-plan.ts";
import { loadState } from "./state-file.ts";
import { listVersions, summarize } from "./summarize.ts";
import { createFirstModel, createWorkshop, type Workshop } from "./workshop.ts";

/** Models of this size gain nothing from more threads. */
const mostThreads = 4;

/** The threads that the engine uses on this machine. */
export function chooseNumThreads(): number {
  return Math.min(mostThreads, availableParallelism());
}

/** A finished run. */
export interface FinishedRun {
  readonly folder: RunFolder;
  readonly summary: Summary;
}

/** Starts a run of the recipe in a new folder and carries it out. The base model is read before anything is written. */
export async function startRun(recipe: Recipe, path: string, effects: Effects): Promise<FinishedRun> {
  const model = await createFirstModel(recipe, recipe.seed);
  const folder = await createRunFolder(path, recipe, {
    schema: schemaVersion,
    recipe: recipe.name,
    seed: recipe.seed,
    numThreads: chooseNumThreads(),
    versions: listVersions(),
  });
  return carryOut(folder, model, effects);
}

/** Continues a run where it was left; a finished run is summarised again. */
export async function resumeRun(path: string, effects: Effects): Promise<FinishedRun> {
  const folder = await resumeRunFolder(path);
  return carryOut(folder, await createFirstModel(folder.recipe, folder.record.seed), effects);
}

async function carryOut(folder: RunFolder, model: Model, effects: Effects): Promise<FinishedRun> {
  const workshop = createWorkshop(folder, model, effects);
  try {
    const plans = planStages(folder.recipe);
    await reportPlan(workshop, plans);
    if (typeof folder.recipe.base === "string")
      await keepCheckpoint(workshop, {
        id: baseCheckpoint,
        stage: "base",
        step: 0,
        parameters: model.parameters,
      });
    for (const plan of plans) {
      const startMs = effects.now();
      await runStage(workshop, plan, model.parameters).finally(() =>
        folder.addTiming(plan.kind.stage, effects.now() - startMs),
      );
    }
    const summary = await summarize(folder);
    await folder.writeSummary(summary);
    effects.report({ kind: "finished", folder: folder.path });
    return { folder, summary };
  } finally {
    await workshop.release();
  }
}

async function reportPlan({ folder, effects }: Workshop, plans: readonly StagePlan[]): Promise<void> {
  const kept = new Set((await folder.readLineage()).map(({ id }) => id));
  const wanted = plans.flatMap((plan) => plan.checkpointSteps.map((step) => nameCheckpoint(plan, step)));
  if (typeof folder.recipe.base === "string") wanted.push(baseCheckpoint);
  const stages = await Promise.all(
    plans.map(async (plan) => {
      const isDone = kept.has(nameCheckpoint(plan, plan.numSteps));
      const numDone = isDone ? plan.numSteps : ((await loadState(folder.locateState(plan.id)))?.step ?? 0);
      return { id: plan.id, numSteps: plan.numSteps, numDone };
    }),
  );
  effects.report({ kind: "planned", stages, numEvaluations: wanted.filter((id) => !kept.has(id)).length });
}
