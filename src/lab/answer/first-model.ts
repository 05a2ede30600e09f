/** The model that a run starts with. */
import { createRandom, UsageError } from "../../base/core/index.ts";
import { folderExists } from "../../base/file/index.ts";
import {
  createLlamaConfig,
  createWordTokenizer,
  initializeParameters,
  type Model,
  specialTokens,
} from "../../engine/model/index.ts";
import {
  baseCheckpoint,
  checkpointPath,
  isFollowed,
  isPresent,
  type Recipe,
  type RunFolder,
  requireNewBase,
} from "../../run/index.ts";
import { findEnvironment } from "../../tasks/environment/index.ts";
import { locateModel, readModel } from "../machine/index.ts";

/**
 * The model that a recipe starts with: loaded, or new with random parameters. Throws `CheckpointError` or
 * `UsageError` for a base model that cannot be read.
 */
export async function createFirstModel(recipe: Recipe, seed: number): Promise<Model> {
  if (typeof recipe.base === "string") return readModel(await locateModel(recipe.base));
  const { model } = requireNewBase(recipe);
  const { vocabulary } = findEnvironment(recipe.environment);
  const { end, pad } = specialTokens;
  const config = createLlamaConfig({
    ...model,
    vocabularySize: vocabulary.length + Object.keys(specialTokens).length,
    endToken: end.id,
    padToken: pad.id,
  });
  const parameters = initializeParameters(config, createRandom(seed, "parameters"));
  return { config, parameters, tokenizer: createWordTokenizer(vocabulary) };
}

/** The model of a run that exists: the base checkpoint it kept, or a new one where it trains its own. */
export async function restoreFirstModel(folder: RunFolder): Promise<Model> {
  const { record, locate } = folder;
  if (isFollowed(folder.recipe)) return loadFollowedModel(folder);
  const { recipe } = folder;
  const kept = locate(checkpointPath(baseCheckpoint));
  if (typeof recipe.base === "string" && (await folderExists(kept))) return readModel(kept);
  return createFirstModel(recipe, record.seed);
}

/** The first checkpoint of a run that follows another trainer, of those that it has not deleted. Throws as `loadModel`. */
async function loadFollowedModel({ path, readLineage, locate }: RunFolder): Promise<Model> {
  for (const entry of await readLineage()) {
    const folder = locate(entry.path);
    if (await isPresent(folder)) return readModel(folder);
  }
  throw new UsageError(`Cannot load a model of "${path}": it has no checkpoint yet`);
}
