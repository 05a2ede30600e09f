/** The embedded engine set up for an assignment: the environment, and the compiled programs of a model. */

import { isDeepStrictEqual } from "node:util";
import { setting, UsageError } from "../../base/core/index.ts";
import { type Effects, StoppedError } from "../../base/progress/index.ts";
import {
  createLayout,
  hasChatTemplate,
  type ModelConfig,
  type ModelDescription,
  type StoredModel,
  saveModel,
  type Tokenizer,
} from "../../engine/model/index.ts";
import {
  createPolicyEngine,
  type OpenPolicy,
  type PolicyEngine,
  type PolicyEngineOptions,
  usesKernels,
} from "../../engine/parallel/index.ts";
import { checkpointPath, type RunFolder } from "../../run/index.ts";
import { type Environment, openEnvironment } from "../../tasks/environment/index.ts";
import { type EvaluatedItem, evaluate } from "../../tasks/evaluation/index.ts";
import { rememberAnswers } from "../cache/index.ts";
import { measureMemory, readModel } from "../machine/index.ts";
import type { Assignment } from "./answerer.ts";
import { describeAssignment } from "./assignment.ts";
import { requireEndToken, requireNoJudge } from "./check-demand.ts";
import { requireRoom } from "./choose-tasks.ts";

/** The engine. Whoever creates it releases it. */
export interface Engine {
  readonly assignment: Assignment;
  readonly environment: Environment;
  readonly config: ModelConfig;
  readonly tokenizer: Tokenizer;
  readonly policies: PolicyEngine;
  release(): Promise<void>;
}

/** The engine of a run that trains: everything a stage works with. */
export interface RunEngine extends Engine {
  readonly folder: RunFolder;
  readonly effects: Effects;
  loadParameters(checkpoint: string): Promise<Float32Array>;
  saveCheckpoint(checkpoint: string, parameters: Float32Array): Promise<void>;
}

/** Sets the engine up for models like this one, in an environment that is open or is opened. Throws `UsageError` where it cannot take the assignment. */
export async function createEngine(
  { config, tokenizer, numStoredBytes: numBytes }: StoredModel,
  assignment: Assignment,
  {
    environment: opened,
    numTexts,
  }: { readonly environment?: Environment | undefined; readonly numTexts?: number } = {},
): Promise<Engine> {
  const { tasks, numThreads, owner } = assignment;
  requireOwnTemplate(assignment, tokenizer);
  const environment = opened ?? (await openEnvironment(tasks.environment));
  requireNoJudge(environment);
  requireEndToken(config, owner);
  const policies = createPolicyEngine(config, {
    numThreads,
    ...describeWork(assignment),
    ...(numTexts !== undefined && { numTexts }),
    numBytes,
  });
  return { assignment, environment, config, tokenizer, policies, release: () => policies.release() };
}

/** How many texts are answered at a time, and the memory that there is for them. */
function describeWork({
  tasks: { evaluation },
}: Assignment): Pick<PolicyEngineOptions, "batchSize" | "numTexts" | "memoryBytes"> {
  const { batchSize, numTasks } = evaluation;
  return { batchSize, numTexts: Math.min(batchSize, numTasks), memoryBytes: measureMemory() };
}

/** Whether an engine for models of that size runs models of another in the same way. */
export function runsAlike(assignment: Assignment, one: StoredModel, other: StoredModel): boolean {
  const work = describeWork(assignment);
  const [first, second] = [one, other].map(({ config, numStoredBytes: numBytes }) =>
    usesKernels(config, { ...work, numBytes }),
  );
  return first === second && isSameShape(one.config, other.config);
}

/** Sets the engine up for the training and evaluation of a run. Throws as `createEngine`. */
export async function createRunEngine(
  folder: RunFolder,
  model: ModelDescription,
  effects: Effects,
): Promise<RunEngine> {
  const { config, tokenizer, description } = model;
  // Without its parameters, which would stay in memory.
  const described = { config, tokenizer, ...(description !== undefined && { description }) };
  const numStoredBytes = createLayout(config).size * Float32Array.BYTES_PER_ELEMENT;
  const assignment = describeAssignment(folder);
  // Rollouts are as large as that, whatever the number of tasks.
  const numTexts = assignment.tasks.evaluation.batchSize;
  const engine = await createEngine({ ...described, numStoredBytes }, assignment, { numTexts });
  return {
    ...engine,
    folder,
    effects,
    loadParameters: async (checkpoint) =>
      (await readModel(folder.locate(checkpointPath(checkpoint)))).parameters,
    saveCheckpoint: (checkpoint, parameters) =>
      saveModel(folder.locate(checkpointPath(checkpoint)), { ...described, parameters }),
  };
}

/**
 * Throws `UsageError` for a model that was not known when its tasks were chosen: where it has no room for them, or no template as the
 * others have.
 */
export function checkFit(
  model: ModelDescription,
  { assignment, environment }: Pick<Engine, "assignment" | "environment">,
  subject: string,
): void {
  const { tasks, splits, template = "none" } = assignment;
  requireOwnTemplate(assignment, model.tokenizer);
  const numTokens = tasks.evaluation.maxNewTokens;
  requireRoom(model, tasks, { environment, splits, template, numTokens, subject });
}

/** Whether programs compiled for one model fit another. */
export function isSameShape(config: ModelConfig, other: ModelConfig): boolean {
  return isDeepStrictEqual(config, other);
}

/** Throws `UsageError` for a model without a chat template where all are asked by theirs. */
function requireOwnTemplate({ template, owner }: Assignment, tokenizer: Tokenizer): void {
  if (template === "model" && !hasChatTemplate(tokenizer))
    throw new UsageError(
      `Cannot ask ${owner}: it has no chat template, and the others are asked by theirs; put a chat_template.jinja beside it, or follow the checkpoints into another run and ask them with ${setting("template", "none")}`,
    );
}

/** Who answers as a model, and who hears how far it is. */
export interface AnswerOptions {
  readonly policy: OpenPolicy;
  readonly effects: Effects;
  readonly onProgress?: ((doneFraction: number) => void) | undefined;
}

/** The answers of a model to all tasks. Throws `StoppedError` between batches once a stop is wished. */
export async function answerTasks(
  { assignment, environment }: Pick<Engine, "assignment" | "environment">,
  model: ModelDescription,
  { policy, effects, onProgress }: AnswerOptions,
): Promise<readonly EvaluatedItem[]> {
  const { tasks, splits, template, isRemembered, numThreads } = assignment;
  const { signal } = effects;
  const asked = isRemembered
    ? rememberAnswers(policy, { config: model.config, numThreads, effects })
    : policy;
  return await evaluate(model, asked, {
    ...tasks.evaluation,
    environment,
    promptFormat: tasks.promptFormat,
    template,
    splits,
    onBatch: (doneFraction) => {
      if (signal.aborted) throw new StoppedError();
      onProgress?.(doneFraction);
    },
  });
}
