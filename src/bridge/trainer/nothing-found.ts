/** What to say of a folder in which nothing is named like a step: what is there, and how to write the pattern for it. */
import { join } from "node:path";
import { quoteForShell, setting } from "../../base/core/index.ts";
import { listFolders } from "../../base/file/index.ts";
import { findWeights, isAdapterFolder } from "../../weights/checkpoint/index.ts";
import { unlessGone } from "./step-home.ts";
import { suggestPattern } from "./step-name.ts";

/** Folders deeper than that are not looked at. */
const maxDepth = 5;
/** How many folders are named. */
const most = 5;

/** As a clause after `Cannot follow "…": `. */
export async function describeFolders(folder: string, pattern: string | undefined): Promise<string> {
  const problem =
    pattern === undefined
      ? "no folder in it is named like a trainer's step, as checkpoint-100, global_step_100 or iter_0000100"
      : `no folder in it is named like "${pattern}"`;
  const places = await listWeights(folder);
  if (places.length > 0)
    return `${problem}; there are weights in ${list(places)}: say so in a lineage file (${setting("lineage")}), with ${suggest(folder, places)}`;
  const names = await listFolders(folder);
  return names.length === 0
    ? `${problem}; give the folder that holds these`
    : `${problem}, and none holds weights; the folders are ${list(names)}; give the folder that holds step folders`;
}

/** Paths of the folders below one that hold weights. */
export async function listWeights(
  folder: string,
  place: string = "",
  depth: number = maxDepth,
): Promise<readonly string[]> {
  const path = join(folder, place);
  const isOwn = place !== "" && ((await isAdapterFolder(path)) || (await findWeights(path)).kind !== "none");
  const own = isOwn ? [place] : [];
  if (depth === 0) return own;
  const names = (await listFolders(path)).filter(
    (name) =>
      !/^(?:\..*|_?critic(?:_.*)?|ref(?:erence)?(?:_.*)?|reward(?:_.*)?|value(?:_.*)?|teacher|optim.*)$/.test(
        name,
      ),
  );
  const inner: (readonly string[])[] = [];
  for (const name of names) {
    const look = (): Promise<readonly string[]> => listWeights(folder, join(place, name), depth - 1);
    inner.push((await unlessGone(join(path, name), look)) ?? []);
  }
  return [...own, ...inner.flat()];
}

function list(names: readonly string[]): string {
  const shown = names
    .slice(0, most)
    .map((name) => `"${name}"`)
    .join(", ");
  return names.length > most ? `${shown} and ${names.length - most} more` : shown;
}

/** A line of a lineage file for such places. */
function suggest(folder: string, places: readonly string[]): string {
  const path = quoteForShell(folder);
  for (const place of places) {
    const parts = place.split("/");
    const last = parts.findIndex((part) => /\d/.test(part));
    const steps = last < 0 ? undefined : suggestPattern(parts.slice(0, last + 1).join("/"));
    if (steps === undefined) continue;
    const weights = parts.slice(last + 1).join("/");
    return `{ folder: ${path}, steps: "${steps}"${weights === "" ? "" : `, weights: ${weights}`} }`;
  }
  return `{ folder: ${path}, steps: "…{step}" }, where {step} stands for the number; or give each of them by itself`;
}
