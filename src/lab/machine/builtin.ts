/** What ships with the package: recipes and base models. */
import { basename, join } from "node:path";
import { UsageError } from "../../base/core/index.ts";
import { fileExists, folderExists, listFiles, listFolders, readText } from "../../base/file/index.ts";
import { locateInPackage } from "../../base/machine/index.ts";
import { parseRecipe, type Recipe, type RecipeChange } from "../../run/index.ts";

const locateRecipes = (): string => locateInPackage("recipes");
const locateModels = (): string => locateInPackage("models");

/** The recipe that `untwist run` runs when none is named. */
export const defaultRecipe = "general-points";

/** Names of the shipped recipes. */
export async function listBuiltinRecipes(): Promise<readonly string[]> {
  return (await listFiles(locateRecipes()))
    .filter((name) => name.endsWith(".yaml"))
    .map((name) => basename(name, ".yaml"));
}

/**
 * The shipped recipe of that name, or the one in a YAML file, with changes applied. Throws `UsageError` where there
 * is neither, or as `parseRecipe`.
 */
export async function loadRecipe(nameOrPath: string, changes: readonly RecipeChange[] = []): Promise<Recipe> {
  const builtin = join(locateRecipes(), `${nameOrPath}.yaml`);
  if (/^[a-z0-9-]+$/.test(nameOrPath) && (await fileExists(builtin)))
    return parseRecipe(await readText(builtin), nameOrPath, changes);
  if (await fileExists(nameOrPath)) return parseRecipe(await readText(nameOrPath), nameOrPath, changes);
  const known = (await listBuiltinRecipes()).join(", ");
  throw new UsageError(
    `Cannot find the recipe "${nameOrPath}": name one of ${known}, or give the path of a YAML file`,
  );
}

/** The folder of a base model: a shipped one by name, or a checkpoint folder. Throws `UsageError` for neither. */
export async function locateModel(nameOrPath: string): Promise<string> {
  const shipped = join(locateModels(), nameOrPath);
  if (/^[a-z0-9-]+$/.test(nameOrPath) && (await folderExists(shipped))) return shipped;
  if (await folderExists(nameOrPath)) return nameOrPath;
  const known = (await folderExists(locateModels())) ? (await listFolders(locateModels())).join(", ") : "";
  throw new UsageError(
    `Cannot find the model "${nameOrPath}": name a shipped one (${known}), or give a checkpoint folder`,
  );
}
