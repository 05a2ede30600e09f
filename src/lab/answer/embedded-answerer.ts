/** The embedded engine answers: for checkpoints that it loads, and for repairs that it makes in memory. */

import { isDeepStrictEqual } from "node:util";
import { UsageError } from "../../base/core/index.ts";
import type { Effects } from "../../base/progress/index.ts";
import {
  listParameters,
  type Model,
  type ModelDescription,
  type ParameterSource,
  readParameters,
  type StoredModel,
} from "../../engine/model/index.ts";
import { type Environment, openEnvironment } from "../../tasks/environment/index.ts";
import { createModelRepairer } from "../edit/index.ts";
import { describeStored } from "../machine/index.ts";
import type { Answerer, Answers, Assignment, CheckpointSubject, Subject } from "./answerer.ts";
import { reportNotFinite } from "./check-demand.ts";
import { answerTasks, checkFit, createEngine, type Engine, isSameShape, runsAlike } from "./engine.ts";

/** What is there already, and who hears how far an answer is. */
export interface EmbeddedOptions {
  /** An engine to use, which whoever gave it releases. */
  readonly engine?: Engine;
  readonly onProgress?: (subject: Subject, doneFraction: number) => void;
}

/** Creates the answerer. Each model is asked with its own tokenizer and template; programs are compiled for each shape once. */
export function createEmbeddedAnswerer(
  assignment: Assignment,
  effects: Effects,
  { engine: given, onProgress }: EmbeddedOptions = {},
): Answerer {
  let engine: Engine | undefined = given;
  // What it was set up for; who gave an engine has models of one size.
  let first: StoredModel | undefined;
  const repairer = createModelRepairer();
  const release = async (): Promise<void> => {
    if (engine !== given) await engine?.release();
    engine = undefined;
  };
  let environment: Environment | undefined = given?.environment;
  // Checkpoints of one training fit as the first of them does.
  let fitted: Pick<ModelDescription, "config" | "tokenizer"> | undefined = given;
  const fitEngine = async (model: StoredModel, subject: string): Promise<Engine> => {
    environment ??= await openEnvironment(assignment.tasks.environment);
    if (fitted === undefined || !isAlike(fitted, model))
      checkFit(model, { assignment, environment }, subject);
    fitted = { config: model.config, tokenizer: model.tokenizer };
    const isFit =
      first === undefined
        ? engine !== undefined && isSameShape(engine.config, model.config)
        : runsAlike(assignment, first, model);
    if (engine !== undefined && isFit) return engine;
    await release();
    engine = await createEngine(model, assignment, { environment });
    // Without its parameters, which may be in memory.
    first = { config: model.config, tokenizer: model.tokenizer, numStoredBytes: model.numStoredBytes };
    return engine;
  };
  const answer = async (subject: Subject, weights: Weights): Promise<Pick<Answers, "items">> => {
    const { model, parameters } = weights;
    const fitted = await fitEngine(model, subject.kind === "repair" ? subject.target.id : subject.id);
    const policy = await fitted.policies.open(parameters);
    try {
      if (subject.kind === "checkpoint")
        reportNotFinite(policy, { checkpoint: subject.id, report: effects.report });
      const report = onProgress && ((doneFraction: number): void => onProgress(subject, doneFraction));
      return { items: await answerTasks(fitted, model, { policy, effects, onProgress: report }) };
    } finally {
      policy.close();
    }
  };
  return {
    choose: async (subjects) => subjects,
    prepare: async ({ missing }, outside) =>
      await repairer.prepare(
        missing.filter((subject) => subject.kind === "repair"),
        outside,
      ),
    answer: async (subject) => {
      if (subject.kind === "checkpoint") return await answer(subject, await findWeights(subject));
      const { model, moved } = await repairer.repair(subject, effects);
      return { moved, ...(await answer(subject, weighModel(model))) };
    },
    close: release,
  };
}

/** A model, and its parameters one by one. */
interface Weights {
  readonly model: StoredModel;
  readonly parameters: ParameterSource;
}

async function findWeights({ model, path }: CheckpointSubject): Promise<Weights> {
  if (model !== undefined && "parameters" in model) return weighModel(model);
  const described = model ?? (await describeStored(path));
  return { model: described, parameters: readParameters(path, described.config) };
}

/** A model that is in memory. */
function weighModel({ parameters, ...described }: Model): Weights {
  const { config } = described;
  return {
    model: { ...described, numStoredBytes: parameters.byteLength },
    parameters: listParameters(config, parameters),
  };
}

/** Whether two models take prompts of the same length in the same words. */
function isAlike(
  one: Pick<ModelDescription, "config" | "tokenizer">,
  other: Pick<ModelDescription, "config" | "tokenizer">,
): boolean {
  const isSameTokenizer =
    one.tokenizer === other.tokenizer || isDeepStrictEqual(one.tokenizer.files, other.tokenizer.files);
  return isSameTokenizer && isSameShape(one.config, other.config);
}

/** Throws `UsageError` where somebody is asked as a repair who answers for checkpoints only. */
export function requireCheckpoint(subject: Subject): Extract<Subject, { readonly kind: "checkpoint" }> {
  if (subject.kind === "checkpoint") return subject;
  throw new UsageError(
    `Cannot try the repair "${subject.id}" at a server that has whole checkpoints: try it on the embedded engine, or as an adapter at a server that takes them`,
  );
}
