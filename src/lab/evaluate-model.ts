/** Evaluating a checkpoint folder outside of any run. */
import { type Environment, openEnvironment, type Rendering, type Split } from "../environment/index.ts";
import { aggregate, type EvaluatedItem, evaluate, type SplitResult } from "../evaluation/index.ts";
import { createGenerator, createScorer, loadModel } from "../model/index.ts";
import { locateModel } from "./builtin.ts";
import { checkCount, checkDemand, requireNoJudge } from "./check-model.ts";
import { chooseNumThreads } from "./threads.ts";

/** What to evaluate on. */
export interface ModelEvaluationOptions {
  readonly environment: string;
  readonly rendering: Rendering;
  readonly splits: readonly Split[];
  /** Tasks a split. */
  readonly count: number;
  readonly seed: number;
  /** Answers that a task allows; absent means as many as the environment says. */
  readonly numAttempts?: number | undefined;
  /** Longest answer, in tokens. */
  readonly maxNewTokens: number;
}

/** Counts by split, and the items behind them. */
export interface ModelEvaluation {
  readonly environment: Environment["name"];
  readonly results: Readonly<Partial<Record<Split, SplitResult>>>;
  readonly items: readonly EvaluatedItem[];
}

const batchSize = 128;

/** Loads a checkpoint folder (or a shipped model by name) and evaluates it. Throws as `loadModel` and `locateModel`. */
export async function evaluateModel(
  nameOrPath: string,
  options: ModelEvaluationOptions,
): Promise<ModelEvaluation> {
  const environment = await openEnvironment(options.environment);
  requireNoJudge(environment);
  checkCount(environment, { splits: options.splits, numTasks: options.count });
  const model = await loadModel(await locateModel(nameOrPath));
  checkDemand(model, { ...options, environment });
  const numThreads = chooseNumThreads();
  const generator = createGenerator(model.config, { numThreads, batchSize });
  const scorer = createScorer(model.config, { numThreads });
  try {
    const items = await evaluate(
      model,
      { generator, scorer },
      {
        ...options,
        environment,
        numTasks: options.count,
        numAttempts: options.numAttempts ?? environment.numAttempts[options.rendering],
        batchSize,
      },
    );
    const results = Object.fromEntries(options.splits.map((split) => [split, aggregate(items, split)]));
    return { environment: environment.name, results, items };
  } finally {
    await generator.release();
    await scorer.release();
  }
}
