/** The embedded engine answers: for checkpoints that it loads, and for repairs that it makes in memory. */

import { isDeepStrictEqual } from "node:util";
import { UsageError } from "../../base/core/index.ts";
import type { Effects } from "../../base/progress/index.ts";
import type { Model } from "../../engine/model/index.ts";
import { type Environment, openEnvironment } from "../../tasks/environment/index.ts";
import { createModelRepairer } from "../edit/index.ts";
import { readModel } from "../machine/index.ts";
import type { Answerer, Assignment, Subject } from "./answerer.ts";
import { reportNotFinite } from "./check-demand.ts";
import { answerTasks, checkFit, createEngine, type Engine, isSameShape } from "./engine.ts";

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
  const repairer = createModelRepairer();
  const release = async (): Promise<void> => {
    if (engine !== given) await engine?.release();
    engine = undefined;
  };
  let environment: Environment | undefined = given?.environment;
  // Checkpoints of one training fit as the first of them does.
  let fitted: Pick<Model, "config" | "tokenizer"> | undefined = given;
  const fitEngine = async (model: Model, subject: string): Promise<Engine> => {
    environment ??= await openEnvironment(assignment.tasks.environment);
    if (fitted === undefined || !isAlike(fitted, model))
      checkFit(model, { assignment, environment }, subject);
    // Without its parameters, which are large.
    fitted = { config: model.config, tokenizer: model.tokenizer };
    if (engine !== undefined && isSameShape(engine.config, model.config)) return engine;
    await release();
    engine = await createEngine(model, assignment, { effects, environment });
    return engine;
  };
  return {
    choose: async (subjects) => subjects,
    prepare: async ({ missing }, outside) =>
      await repairer.prepare(
        missing.filter((subject) => subject.kind === "repair"),
        outside,
      ),
    answer: async (subject) => {
      const report = onProgress && ((doneFraction: number): void => onProgress(subject, doneFraction));
      const options = { signal: effects.signal, onProgress: report };
      if (subject.kind === "checkpoint") {
        const model = subject.model ?? (await readModel(subject.path));
        const fitted = await fitEngine(model, subject.id);
        reportNotFinite(model.parameters, { checkpoint: subject.id, report: effects.report });
        return { items: await answerTasks(fitted, model, options) };
      }
      const { model, moved } = await repairer.repair(subject, effects);
      return { moved, items: await answerTasks(await fitEngine(model, subject.target.id), model, options) };
    },
    close: release,
  };
}

/** Whether two models take prompts of the same length in the same words. */
function isAlike(
  one: Pick<Model, "config" | "tokenizer">,
  other: Pick<Model, "config" | "tokenizer">,
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
