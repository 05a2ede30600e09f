/** What all stages of a run share: the folder, the environment, and the compiled programs of its model. */
import { join } from "node:path";
import { createRandom } from "../base/index.ts";
import { type Environment, findEnvironment } from "../environment/index.ts";
import { folderExists } from "../file/index.ts";
import {
  createGenerator,
  createScorer,
  createWordTokenizer,
  type Generator,
  initializeParameters,
  loadModel,
  type Model,
  type ModelConfig,
  type Scorer,
  saveModel,
  specialTokens,
  type Tokenizer,
} from "../model/index.ts";
import type { Recipe, RunFolder } from "../run/index.ts";
import { locateModel } from "./builtin.ts";
import type { Effects } from "./effects.ts";
import { baseCheckpoint } from "./stage-plan.ts";
import { requireNewBase } from "./stage-trainer.ts";

/** Everything a stage works with. */
export interface Workshop {
  readonly folder: RunFolder;
  readonly effects: Effects;
  readonly environment: Environment;
  readonly config: ModelConfig;
  readonly tokenizer: Tokenizer;
  readonly generator: Generator;
  readonly scorer: Scorer;
  loadParameters(checkpoint: string): Promise<Float32Array>;
  saveCheckpoint(checkpoint: string, parameters: Float32Array): Promise<void>;
  release(): Promise<void>;
}

/** The path of a checkpoint, relative to its run. */
export function checkpointPath(checkpoint: string): string {
  return join("checkpoints", checkpoint);
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
export async function restoreFirstModel({ recipe, record, locate }: RunFolder): Promise<Model> {
  const kept = locate(checkpointPath(baseCheckpoint));
  if (typeof recipe.base === "string" && (await folderExists(kept))) return loadModel(kept);
  return createFirstModel(recipe, record.seed);
}

/** Sets up what the stages of a run share. */
export function createWorkshop(folder: RunFolder, { config, tokenizer }: Model, effects: Effects): Workshop {
  const { numThreads } = folder.record;
  const { evaluation, environment } = folder.recipe;
  const generator = createGenerator(config, { numThreads, batchSize: evaluation.batchSize });
  const scorer = createScorer(config, { numThreads });
  return {
    folder,
    effects,
    environment: findEnvironment(environment),
    config,
    tokenizer,
    generator,
    scorer,
    loadParameters: async (checkpoint) =>
      (await loadModel(folder.locate(checkpointPath(checkpoint)))).parameters,
    saveCheckpoint: (checkpoint, parameters) =>
      saveModel(folder.locate(checkpointPath(checkpoint)), { config, parameters, tokenizer }),
    release: async () => {
      await generator.release();
      await scorer.release();
    },
  };
}
