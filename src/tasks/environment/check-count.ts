/** Whether an environment has as many tasks as are asked. */
import { setting, UsageError } from "../../base/core/index.ts";
import type { Environment, Split } from "./environment.ts";

/** Throws `UsageError` where an environment has fewer tasks than are asked: none would count twice. */
export function checkCount(
  { name, numTasks }: Pick<Environment, "name" | "numTasks">,
  wanted: { readonly splits: readonly Split[]; readonly numTasks: number },
): void {
  for (const split of wanted.splits)
    if (numTasks !== undefined && numTasks[split] < wanted.numTasks)
      throw new UsageError(
        `Cannot ask ${wanted.numTasks} ${split.toUpperCase()} tasks: ${name} has ${numTasks[split]}; lower ${setting("numTasks")}`,
      );
}
