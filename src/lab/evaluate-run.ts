/** The checkpoints of a run evaluated, those that are not yet: what `untwist eval RUN` does. */
import { UsageError } from "../base/index.ts";
import { openEnvironment, type Rendering } from "../environment/index.ts";
import { loadModel, type Model } from "../model/index.ts";
import {
  type AskedTasks,
  evaluationSchema,
  findTasks,
  isFollowed,
  openRunFolder,
  type RunFolder,
  type Summary,
} from "../run/index.ts";
import { checkDemand } from "./check-model.ts";
import type { Effects } from "./effects.ts";
import { renewSummary } from "./follow-run.ts";
import { evaluateCheckpoint } from "./keep-checkpoint.ts";
import { withLock } from "./run-lock.ts";
import { createWorkshop, restoreFirstModel } from "./workshop.ts";

/** What checkpoints are to be asked, as far as it was said. */
export interface TaskChoice {
  readonly environment?: string | undefined;
  readonly rendering?: Rendering | undefined;
  readonly numTasks?: number | undefined;
  readonly seed?: number | undefined;
  readonly numAttempts?: number | undefined;
  readonly maxNewTokens?: number | undefined;
}

/** A run, and its summary once it is evaluated. */
export interface EvaluatedRun {
  readonly folder: RunFolder;
  readonly summary: Summary;
  /** Checkpoints that were evaluated now. */
  readonly evaluated: readonly string[];
}

/**
 * Evaluates every checkpoint of a run that is not evaluated, on the embedded engine. Throws `UsageError` for a model that
 * the engine cannot run or for other tasks than the run's, and `StoppedError`; what is evaluated by then is kept.
 */
export async function evaluateRun(
  path: string,
  choice: TaskChoice,
  { command, effects }: { readonly command: string; readonly effects: Effects },
): Promise<EvaluatedRun> {
  const opened = await openRunFolder(path);
  return await withLock(opened, async () => {
    const model = await restoreFirstModel(opened);
    const folder = await settleTasks(opened, choice, model);
    const evaluated = await evaluateMissing(folder, model, { command, effects });
    if (isFollowed(folder.recipe)) await renewSummary(folder);
    const summary = await folder.readSummary();
    if (summary === undefined)
      throw new UsageError(
        `Cannot sum up "${path}": its training is not finished; continue it with: untwist run --resume --out ${path}`,
      );
    return { folder, summary, evaluated };
  });
}

async function evaluateMissing(
  folder: RunFolder,
  first: Model,
  { command, effects }: { readonly command: string; readonly effects: Effects },
): Promise<readonly string[]> {
  const missing: Awaited<ReturnType<RunFolder["readLineage"]>>[number][] = [];
  for (const entry of await folder.readLineage())
    if (!(await folder.hasEvaluation(entry.id))) missing.push(entry);
  if (missing.length === 0) return [];
  const workshop = await createWorkshop(folder, first, effects);
  effects.report({ kind: "planned", stages: [], numEvaluations: missing.length });
  try {
    for (const { id, path } of missing) {
      const model = await loadModel(folder.locate(path));
      requireSameSizes(id, model, first);
      await evaluateCheckpoint(workshop, { checkpoint: id, parameters: model.parameters, command });
    }
  } finally {
    await workshop.release();
  }
  return missing.map(({ id }) => id);
}

function requireSameSizes(id: string, { config }: Model, first: Model): void {
  if (JSON.stringify(config) !== JSON.stringify(first.config))
    throw new UsageError(
      `Cannot evaluate ${id} beside the other checkpoints: its config.json describes another model; follow checkpoints of one model`,
    );
}

/**
 * The run, asked what is wanted. What a followed run is asked is settled once, so that all its checkpoints can be compared.
 * Throws `UsageError` where that was settled otherwise, or no environment was ever named.
 */
async function settleTasks(folder: RunFolder, choice: TaskChoice, model: Model): Promise<RunFolder> {
  const settled = findTasks(folder.recipe);
  if (settled !== undefined) {
    requireSameTasks(folder.path, settled, choice);
    return folder;
  }
  const { recipe } = folder;
  if (!isFollowed(recipe)) throw new RangeError("Cannot settle the tasks of a run that trains itself");
  if (choice.environment === undefined)
    throw new UsageError(
      `Cannot evaluate "${folder.path}": nobody said yet what its checkpoints are asked; name it, as in --environment general-points`,
    );
  const tasks = await chooseTasks({ ...choice, environment: choice.environment }, model);
  await folder.writeRecipe({ ...recipe, ...tasks });
  return await openRunFolder(folder.path);
}

async function chooseTasks(
  choice: TaskChoice & { readonly environment: string },
  model: Model,
): Promise<AskedTasks> {
  const environment = await openEnvironment(choice.environment);
  const { numTasks = 200, seed, numAttempts, maxNewTokens = 64 } = choice;
  const ask = (rendering: Rendering): AskedTasks => {
    checkDemand(model, { environment, rendering, maxNewTokens });
    return {
      environment: choice.environment,
      rendering,
      evaluation: evaluationSchema.parse({
        numTasks,
        maxNewTokens,
        numAttempts: numAttempts ?? environment.numAttempts[rendering],
        ...(seed !== undefined && { seed }),
      }),
    };
  };
  if (choice.rendering !== undefined) return ask(choice.rendering);
  // Small models know the words of the compact rendering only.
  try {
    return ask("compact");
  } catch (error) {
    if (!(error instanceof UsageError) || !environment.renderings.includes("chat")) throw error;
    return ask("chat");
  }
}

function requireSameTasks(
  path: string,
  { environment, rendering, evaluation }: AskedTasks,
  choice: TaskChoice,
): void {
  const settled: TaskChoice = { environment, rendering, ...evaluation };
  for (const key of Object.keys(choice) as (keyof TaskChoice)[])
    if (choice[key] !== undefined && choice[key] !== settled[key])
      throw new UsageError(
        `Cannot evaluate "${path}" with ${key} ${choice[key]}: its checkpoints are asked with ${settled[key]}, and only the same tasks can be compared; leave it out, or follow the checkpoints into another run`,
      );
}
