/** Models that a server lists, told apart by the folders that they were loaded from. */
import { realpath } from "node:fs/promises";
import { type ModelIdentity, stripControls } from "../endpoint/index.ts";

/** The name at the server of the model that was loaded from a folder; `undefined` where none was. */
export async function findServed(
  models: readonly ModelIdentity[],
  folder: string,
): Promise<string | undefined> {
  const place = await realpath(folder);
  for (const { model, root = model } of models)
    if ((await realpath(root).catch(() => root)) === place) return model;
  return undefined;
}

/** What a server serves, for a sentence. */
export function describeServed(models: readonly ModelIdentity[]): string {
  const found = models.map(({ model, root }) => `"${model}"${root === undefined ? "" : ` from "${root}"`}`);
  return found.length === 0 ? "nothing" : stripControls(found.join(", "));
}
