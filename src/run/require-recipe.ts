/** What a run must have been asked for some kind of work, checked before the work starts. */

import { action, UsageError } from "../base/core/index.ts";
import { type AskedTasks, findTasks, isFollowed, type NewBaseRecipe, type Recipe } from "./recipe/recipe.ts";
import type { RunFolder } from "./run-folder.ts";

/** The recipe of a run that trains itself. Throws `UsageError` for one that follows another trainer. */
export function requireTrained({ path, recipe }: Pick<RunFolder, "path" | "recipe">): Recipe {
  if (!isFollowed(recipe)) return recipe;
  throw new UsageError(
    `Cannot train in "${path}": it follows another trainer; bring it up to date with: ${action("follow", path)}`,
  );
}

/** What the checkpoints of a run are asked. Throws `UsageError` where that was not said yet. */
export function requireTasks({ path, recipe }: Pick<RunFolder, "path" | "recipe">): AskedTasks {
  const tasks = findTasks(recipe);
  if (tasks !== undefined) return tasks;
  throw new UsageError(
    `Cannot evaluate the checkpoints of "${path}": no environment is chosen for this run; evaluate them first, as in: ${action("evaluate", path)}`,
  );
}

/** The base recipe, where the recipe trains one. */
export function requireNewBase({ base, name }: Recipe): NewBaseRecipe {
  if (typeof base === "string")
    throw new RangeError(`Cannot train a base model: the recipe ${name} loads one`);
  return base;
}
