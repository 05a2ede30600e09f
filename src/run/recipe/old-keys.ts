/** Keys of recipes of earlier versions, and what they are called now: recipes and run folders with them are still read. */
import { isMap, isScalar } from "yaml";
import type { YamlDocument } from "./yaml.ts";

const renamed: ReadonlyMap<string, string> = new Map([["sweeps", "repairs"]]);

/** Today's name of a recipe's field. */
export function renameKey(key: string): string {
  return renamed.get(key) ?? key;
}

/** Gives a recipe's fields their names of today, where it does not have these as well. */
export function renameKeys({ contents }: YamlDocument): void {
  if (!isMap(contents)) return;
  for (const { key } of contents.items) {
    if (!isScalar(key) || typeof key.value !== "string") continue;
    const name = renameKey(key.value);
    if (!contents.has(name)) key.value = name;
  }
}
