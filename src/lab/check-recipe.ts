/** What only the environments can say about a recipe, checked before anything is written. */
import { UsageError } from "../base/index.ts";
import { findEnvironment } from "../environment/index.ts";
import type { Recipe } from "../run/index.ts";

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
