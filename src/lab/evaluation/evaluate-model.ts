/** Evaluating a checkpoint folder outside of any run. */

import type { Effects } from "../../base/progress/index.ts";
import type { TemplateUse } from "../../engine/model/index.ts";
import type { AskedTasks } from "../../run/index.ts";
import { type Environment, openEnvironment, type Split } from "../../tasks/environment/index.ts";
import { aggregate, type EvaluatedItem, type SplitResult } from "../../tasks/evaluation/index.ts";
import {
  chooseTasks,
  chooseTemplate,
  createEmbeddedAnswerer,
  describeStandalone,
  requireEndToken,
  requireNoJudge,
  type TaskChoice,
} from "../answer/index.ts";
import { describeStored, locateModel } from "../machine/index.ts";

/** What to evaluate on. */
export interface ModelEvaluationOptions extends TaskChoice {
  readonly environment: string;
  readonly splits: readonly Split[];
  /** How tasks in the chat prompt format are put. Default: by the model's own template, where it has one. */
  readonly template?: TemplateUse | undefined;
}

/** Counts by split, and the items behind them. */
export interface ModelEvaluation {
  readonly environment: Environment["name"];
  /** What was asked, in full. */
  readonly tasks: AskedTasks;
  /** How tasks were put. */
  readonly template: TemplateUse;
  readonly results: Readonly<Partial<Record<Split, SplitResult>>>;
  readonly items: readonly EvaluatedItem[];
}

/**
 * Loads a checkpoint folder (or a shipped model by name) and evaluates it. Throws as `loadModel` and `locateModel`, and
 * `StoppedError` between batches once a stop is wished: answers that were given by then are kept in the cache.
 */
export async function evaluateModel(
  nameOrPath: string,
  options: ModelEvaluationOptions,
  effects: Effects,
): Promise<ModelEvaluation> {
  const { splits } = options;
  const environment = await openEnvironment(options.environment);
  requireNoJudge(environment);
  const path = await locateModel(nameOrPath);
  const model = await describeStored(path);
  requireEndToken(model.config, `"${nameOrPath}"`);
  const tasks = await chooseTasks(options, { splits, model, template: options.template });
  const template = chooseTemplate(model, { promptFormat: tasks.promptFormat, template: options.template });
  const startMs = effects.now();
  const onProgress = (_: unknown, doneFraction: number): void => {
    const remainingMs = ((effects.now() - startMs) * (1 - doneFraction)) / doneFraction;
    const remaining = doneFraction > 0 ? { remainingMs } : {};
    effects.report({ kind: "progress", work: "evaluation", what: nameOrPath, doneFraction, ...remaining });
  };
  const assignment = describeStandalone(tasks, { splits, template, owner: `"${nameOrPath}"` });
  const answerer = createEmbeddedAnswerer(assignment, effects, { onProgress });
  try {
    const { items } = await answerer.answer({ kind: "checkpoint", id: nameOrPath, path, model });
    const results = Object.fromEntries(splits.map((split) => [split, aggregate(items, split)]));
    return { environment: environment.name, tasks, template, results, items };
  } finally {
    await answerer.close();
  }
}
