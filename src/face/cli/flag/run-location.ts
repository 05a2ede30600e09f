/** Where runs go when nobody says: `runs/<recipe>`, then `runs/<recipe>-2` and so on. */
import { join } from "node:path";
import { UsageError } from "../../../base/core/index.ts";
import {
  folderExists,
  isEmptyFolder,
  listFolders,
  pathExists,
  TakenError,
} from "../../../base/file/index.ts";
import { isRunFolder } from "../../../run/index.ts";

/** The folder that holds runs by default. */
export const runsFolder = "runs";

function numbered(recipe: string, number: number): string {
  return join(runsFolder, number === 1 ? recipe : `${recipe}-${number}`);
}

/**
 * Does `start` in the first of a recipe's folders that is free: the next one where another run, started together with this one,
 * was faster (`TakenError`).
 */
export async function startInFreeFolder<Result>(
  recipe: string,
  start: (folder: string) => Promise<Result>,
): Promise<Result> {
  for (let number = 1; ; number++) {
    const folder = numbered(recipe, number);
    if ((await pathExists(folder)) && !(await isEmptyFolder(folder))) continue;
    try {
      return await start(folder);
    } catch (error) {
      if (!(error instanceof TakenError)) throw error;
    }
  }
}

/** The last of a recipe's folders that holds a run. Throws `UsageError` where there is none. */
export async function findLatestFolder(recipe: string): Promise<string> {
  const numbers = (await folderExists(runsFolder))
    ? (await listFolders(runsFolder)).map(readNumber(recipe))
    : [];
  for (const number of numbers.sort((a, b) => b - a))
    if (number > 0 && (await isRunFolder(numbered(recipe, number)))) return numbered(recipe, number);
  throw new UsageError(
    `Cannot resume: there is no run in "${numbered(recipe, 1)}"; give the folder of the run by --out`,
  );
}

/** The number of a recipe's folder: 1 for its bare name, 0 for a folder of another recipe. */
function readNumber(recipe: string): (name: string) => number {
  return (name) => {
    if (name === recipe) return 1;
    const number = name.startsWith(`${recipe}-`) ? name.slice(recipe.length + 1) : "";
    return /^\d+$/.test(number) ? Number(number) : 0;
  };
}
