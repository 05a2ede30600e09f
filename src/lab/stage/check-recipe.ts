/** What only the environments can say about a recipe, checked before anything is written. */
import { UsageError } from "../../base/core/index.ts";
import { createLayout, type Model, type ModelConfig } from "../../engine/model/index.ts";
import type { Recipe } from "../../run/index.ts";
import { findEnvironment } from "../../tasks/environment/index.ts";
import type { CheckpointTensor } from "../../weights/checkpoint/index.ts";
import { checkDemand, requireEndToken } from "../answer/index.ts";
import { listPoints } from "../edit/index.ts";

/** Throws `UsageError` where the environment, its prompt format or one of its skills does not exist. */
export function checkRecipe({ name, environment: environmentName, promptFormat, base }: Recipe): void {
  const environment = findEnvironment(environmentName);
  if (!environment.promptFormats.includes(promptFormat))
    throw new UsageError(
      `Cannot use the recipe ${name}: ${environment.name} has no prompt format "${promptFormat}"; choose from ${environment.promptFormats.join(", ")}`,
    );
  const wanted = typeof base === "string" ? [] : base.phases.flatMap(({ skills }) => Object.keys(skills));
  const known = Object.keys(environment.skills);
  const unknown = wanted.find((skill) => !known.includes(skill));
  if (unknown !== undefined)
    throw new UsageError(
      `Cannot use the recipe ${name}: ${environment.name} has no skill "${unknown}"; choose from ${known.join(", ")}`,
    );
}

/**
 * Throws `UsageError` where the model cannot take a recipe's tasks (see `checkDemand` and `requireEndToken`), or where the recipe's repair grids do not fit the weights.
 */
export function checkModel(
  model: Model,
  { environment, promptFormat, evaluation, rl, repairs }: Recipe,
): void {
  requireEndToken(model.config, "the base model");
  const maxNewTokens = Math.max(evaluation.maxNewTokens, ...rl.map((entry) => entry.maxNewTokens));
  checkDemand(model, { environment: findEnvironment(environment), promptFormat, maxNewTokens });
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
