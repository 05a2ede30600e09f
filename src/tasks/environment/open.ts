/** Environments by what users call them: one of the table, or a folder of their own questions. */
import { UsageError } from "../../base/core/index.ts";
import type { Environment } from "./environment.ts";
import { openItems } from "./items/items.ts";
import { findEnvironment } from "./registry.ts";

/** In front of the folder of a user's own questions. */
const itemsPrefix = "items:";

/**
 * The environment of that name; `items:FOLDER` is made of the folder's questions. Throws `UsageError` naming the known ones, or
 * what is wrong with the questions.
 */
export async function openEnvironment(name: string): Promise<Environment> {
  if (name === "imported")
    throw new UsageError(
      "Cannot ask imported questions: their answers came from another tool, which has to give those of further checkpoints too",
    );
  return name.startsWith(itemsPrefix)
    ? await openItems(name.slice(itemsPrefix.length))
    : findEnvironment(name);
}
