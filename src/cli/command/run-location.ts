/** Where runs go when nobody says: `runs/<recipe>`, then `runs/<recipe>-2` and so on. */
import { join } from "node:path";
import { UsageError } from "../../base/index.ts";
import { folderExists, isEmptyFolder } from "../../file/index.ts";
import { isRunFolder } from "../../run/index.ts";

/** The folder that holds runs by default. */
export const runsFolder = "runs";

function numbered(recipe: string, number: number): string {
  return join(runsFolder, number === 1 ? recipe : `${recipe}-${number}`);
}

/** The first of a recipe's folders that is free. */
export async function chooseFreeFolder(recipe: string): Promise<string> {
  let number = 1;
  while ((await folderExists(numbered(recipe, number))) && !(await isEmptyFolder(numbered(recipe, number))))
    number++;
  return numbered(recipe, number);
}

/** The last of a recipe's folders that holds a run. Throws `UsageError` where there is none. */
export async function findLatestFolder(recipe: string): Promise<string> {
  let number = 1;
  while (await isRunFolder(numbered(recipe, number))) number++;
  if (number === 1)
    throw new UsageError(
      `Cannot resume: there is no run in "${numbered(recipe, 1)}"; give the folder of the run by --out`,
    );
  return numbered(recipe, number - 1);
}
