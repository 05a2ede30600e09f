/** What only the environments can say about a recipe, checked before anything is written. */
import { UsageError } from "../../base/core/index.ts";
import { createLayout, type Model, type ModelConfig } from "../../engine/model/index.ts";
import type { Recipe } from "../../run/index.ts";
import { findEnvironment } from "../../tasks/environment/index.ts";
import type { CheckpointTensor } from "../../weights/checkpoint/index.ts";
import { checkDemand, requireEndToken } from "../answer/index.ts";
import { listPoints } from "../edit/index.ts";

/** Throws `UsageError` where the environment, its rendering or one of its lessons does not exist. */
export function checkRecipe({ name, environment: environmentName, rendering, base }: Recipe): void {
  const environment = findEnvironment(environmentName);
  if (!environment.renderings.includes(rendering))
    throw new UsageError(
      `Cannot use the recipe ${name}: ${environment.name} has no rendering "${rendering}"; choose from ${environment.renderings.join(", ")}`,
    );
  const wanted = typeof base === "string" ? [] : base.phases.flatMap(({ lessons }) => Object.keys(lessons));
  const known = Object.keys(environment.lessons);
  const unknown = wanted.find((lesson) => !known.includes(lesson));
  if (unknown !== undefined)
    throw new UsageError(
      `Cannot use the recipe ${name}: ${environment.name} has no lesson "${unknown}"; choose from ${known.join(", ")}`,
    );
}

/**
 * Throws `UsageError` where the model cannot take a recipe's tasks (see `checkDemand` and `requireEndToken`), or where the recipe's repair grids do not fit the weights.
 */
export function checkModel(model: Model, { environment, rendering, evaluation, rl, repairs }: Recipe): void {
  requireEndToken(model.config, "the base model");
  const maxNewTokens = Math.max(evaluation.maxNewTokens, ...rl.map((entry) => entry.maxNewTokens));
  checkDemand(model, { environment: findEnvironment(environment), rendering, maxNewTokens });
  const tensors = describeTensors(model.config);
  for (const plan of repairs === false ? [] : repairs) listPoints(plan, { target: tensors, source: tensors });
}

/** The tensors that every checkpoint of a model has. */
function describeTensors(config: ModelConfig): ReadonlyMap<string, CheckpointTensor> {
  return new Map(
    createLayout(config).entries.map(({ name, shape }) => [
      name,
      { dtype: "F32", shape, file: "model.safetensors" },
    ]),
  );
}
