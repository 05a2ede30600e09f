/** What all stages of a run share: the folder, the environment, and the compiled programs of its model. */

import { isDeepStrictEqual } from "node:util";
import { createRandom, setting, UsageError } from "../../base/core/index.ts";
import { folderExists } from "../../base/file/index.ts";
import type { Effects } from "../../base/progress/index.ts";
import {
  createGenerator,
  createWordTokenizer,
  type Generator,
  hasChatTemplate,
  initializeParameters,
  loadModel,
  type Model,
  type ModelConfig,
  saveModel,
  specialTokens,
  type TemplateUse,
  type Tokenizer,
} from "../../engine/model/index.ts";
import {
  type AskedTasks,
  baseCheckpoint,
  checkpointPath,
  isFollowed,
  type Recipe,
  type RunFolder,
  requireNewBase,
  requireTasks,
} from "../../run/index.ts";
import { type Environment, findEnvironment, openEnvironment, splits } from "../../tasks/environment/index.ts";
import { rememberAnswers } from "../cache/index.ts";
import { locateModel } from "../machine/index.ts";
import { requireEndToken, requireNoJudge } from "./check-model.ts";
import { requireRoom } from "./choose-tasks.ts";

/** Everything a stage works with. */
export interface Workshop {
  readonly folder: RunFolder;
  readonly effects: Effects;
  /** What every checkpoint of the run is asked. */
  readonly tasks: AskedTasks;
  readonly environment: Environment;
  readonly config: ModelConfig;
  readonly tokenizer: Tokenizer;
  readonly generator: Generator;
  loadParameters(checkpoint: string): Promise<Float32Array>;
  saveCheckpoint(checkpoint: string, parameters: Float32Array): Promise<void>;
  release(): Promise<void>;
}

/**
 * The model that a recipe starts with: loaded, or new with random parameters. Throws `CheckpointError` or
 * `UsageError` for a base model that cannot be read.
 */
export async function createFirstModel(recipe: Recipe, seed: number): Promise<Model> {
  if (typeof recipe.base === "string") return loadModel(await locateModel(recipe.base));
  const { model } = requireNewBase(recipe);
  const { vocabulary } = findEnvironment(recipe.environment);
  const { end, pad } = specialTokens;
  const config: ModelConfig = {
    ...model,
    numKeyValueHeads: model.numKeyValueHeads ?? model.numHeads,
    vocabularySize: vocabulary.length + Object.keys(specialTokens).length,
    headSize: model.hiddenSize / model.numHeads,
    normEpsilon: 1e-6,
    ropeTheta: 10_000,
    isTied: false,
    endToken: end.id,
    padToken: pad.id,
    initializerRange: 0.02,
  };
  const parameters = initializeParameters(config, createRandom(seed, "parameters"));
  return { config, parameters, tokenizer: createWordTokenizer(vocabulary) };
}

/** The model of a run that exists: the base checkpoint it kept, or a new one where it trains its own. */
export async function restoreFirstModel(folder: RunFolder): Promise<Model> {
  const { record, locate } = folder;
  if (isFollowed(folder.recipe)) return loadFollowedModel(folder);
  const { recipe } = folder;
  const kept = locate(checkpointPath(baseCheckpoint));
  if (typeof recipe.base === "string" && (await folderExists(kept))) return loadModel(kept);
  return createFirstModel(recipe, record.seed);
}

/** The first checkpoint of a run that follows another trainer. Throws as `loadModel`. */
async function loadFollowedModel({ path, readLineage, locate }: RunFolder): Promise<Model> {
  const [first] = await readLineage();
  if (first !== undefined) return loadModel(locate(first.path));
  throw new UsageError(`Cannot load a model of "${path}": it has no checkpoint yet`);
}

/**
 * The workshop for a model with parameters of its own: the same programs where they fit, and always its own tokenizer and template.
 * Throws `UsageError` as `createWorkshop`, and where the model has no room for the tasks or no template as the others have.
 */
export async function fitWorkshop(
  before: Workshop,
  { checkpoint, model }: { readonly checkpoint: string; readonly model: Model },
): Promise<Workshop> {
  const { folder, effects, config, tasks, environment, tokenizer } = before;
  requireOwnTemplate(folder, model);
  if (!isDeepStrictEqual(tokenizer.files, model.tokenizer.files)) {
    const { maxNewTokens: numTokens } = tasks.evaluation;
    const template = findTemplateUse(folder);
    requireRoom(model, tasks, { environment, splits, template, numTokens, subject: checkpoint });
  }
  if (isDeepStrictEqual(config, model.config)) return { ...before, tokenizer: model.tokenizer };
  await before.release();
  return await createWorkshop(folder, model, effects);
}

/** How chats are put to the checkpoints of a run. Our own training learns from plain prompts, and is asked by the same. */
export function findTemplateUse({ recipe }: Pick<RunFolder, "recipe">): TemplateUse | undefined {
  return isFollowed(recipe) ? recipe.asking?.template : undefined;
}

/** Throws `UsageError` for a model without a chat template where those of its run are asked by theirs. */
function requireOwnTemplate(folder: RunFolder, { tokenizer }: Pick<Model, "tokenizer">): void {
  const { path } = folder;
  if (findTemplateUse(folder) === "model" && !hasChatTemplate(tokenizer))
    throw new UsageError(
      `Cannot ask a checkpoint of "${path}": it has no chat template, and the others are asked by theirs; put a chat_template.jinja beside it, or follow the checkpoints into another run and ask them with ${setting("template", "none")}`,
    );
}

/** Sets up what the stages of a run share. Throws `UsageError` where it was not said what checkpoints are asked. */
export async function createWorkshop(
  folder: RunFolder,
  { config, tokenizer }: Model,
  effects: Effects,
): Promise<Workshop> {
  requireOwnTemplate(folder, { tokenizer });
  const { numThreads } = folder.record;
  const tasks = requireTasks(folder);
  const environment = await openEnvironment(tasks.environment);
  requireNoJudge(environment);
  requireEndToken(config, `a checkpoint of "${folder.path}"`);
  const compiled = createGenerator(config, { numThreads, batchSize: tasks.evaluation.batchSize });
  // Our own training asks each of its checkpoints once; those of others may be followed into several runs.
  const generator = isFollowed(folder.recipe)
    ? rememberAnswers(compiled, { config, numThreads, effects })
    : compiled;
  return {
    folder,
    effects,
    tasks,
    environment,
    config,
    tokenizer,
    generator,
    loadParameters: async (checkpoint) =>
      (await loadModel(folder.locate(checkpointPath(checkpoint)))).parameters,
    saveCheckpoint: (checkpoint, parameters) =>
      saveModel(folder.locate(checkpointPath(checkpoint)), { config, parameters, tokenizer }),
    release: () => generator.release(),
  };
}
