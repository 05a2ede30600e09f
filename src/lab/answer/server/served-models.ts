/** Models that a server lists, told apart by the folders that they were loaded from. */
import { realpath } from "node:fs/promises";
import { isAbsolute, resolve } from "node:path";
import { type ModelIdentity, stripControls } from "../../../bridge/endpoint/index.ts";

/**
 * The name at the server of the model that was loaded from a folder; `undefined` where none was. A path that is not absolute
 * says so only where it is known which folder the server works in: from ours it may lead to another model.
 */
export async function findServed(
  models: readonly ModelIdentity[],
  folder: string,
  workingFolder?: string,
): Promise<string | undefined> {
  const place = await realpath(folder);
  for (const { model, root = model } of models) {
    if (workingFolder === undefined && !isAbsolute(root)) continue;
    const path = resolve(workingFolder ?? "/", root);
    if ((await realpath(path).catch(() => path)) === place) return model;
  }
  return undefined;
}

/** What a server serves, for a sentence. */
export function describeServed(models: readonly ModelIdentity[]): string {
  const found = models.map(({ model, root }) => `"${model}"${root === undefined ? "" : ` from "${root}"`}`);
  return found.length === 0 ? "nothing" : stripControls(found.join(", "));
}
