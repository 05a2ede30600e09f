/** Keys of recipes of earlier versions, and what they are called now: recipes and run folders with them are still read. */
import { isMap, isPair, isScalar, isSeq, visit } from "yaml";
import type { YamlDocument } from "./yaml.ts";

/** By their path, with `*` for the place in a list. */
const renamed: ReadonlyMap<string, string> = new Map([
  ["sweeps", "repairs"],
  ["rendering", "promptFormat"],
  ["base.phases.*.lessons", "skills"],
]);

/** A recipe's path of keys, by their names of today. */
export function renamePath(path: readonly string[]): readonly string[] {
  const places = path.map((key) => (/^\d+$/.test(key) ? "*" : key));
  return path.map((key, depth) => renamed.get(places.slice(0, depth + 1).join(".")) ?? key);
}

/** Gives a recipe's fields their names of today, where it does not have these as well. */
export function renameKeys(document: YamlDocument): void {
  visit(document, {
    Pair: (_, pair, ancestors) => {
      const places = [...ancestors, pair].flatMap((node) => {
        if (isSeq(node)) return ["*"];
        return isPair(node) && isScalar(node.key) ? [String(node.key.value)] : [];
      });
      const name = renamed.get(places.join("."));
      const map = ancestors.at(-1);
      if (name !== undefined && isScalar(pair.key) && isMap(map) && !map.has(name)) pair.key.value = name;
    },
  });
}
