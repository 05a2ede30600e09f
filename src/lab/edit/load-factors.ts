/** Factors of both ends of a grid, by name, for edits in memory. */

import type { Effects } from "../../base/progress/index.ts";
import type { Factors, LinearAlgebra } from "../../weights/linalg/index.ts";
import type { Operation } from "../../weights/surgery/index.ts";
import { openCache } from "../cache/index.ts";
import { prepareFactors, type WantedFactors } from "../factor/index.ts";
import { type EditedModels, listWanted } from "./edit-model.ts";

/** What the operations need, from the cache; computed and kept where it is not there. Throws as `prepareFactors`. */
export async function loadFactors(
  operations: readonly Operation[],
  models: Pick<EditedModels, "target" | "source">,
  { algebra, effects }: { readonly algebra: LinearAlgebra; readonly effects: Effects },
): Promise<EditedModels["factors"]> {
  const cache = openCache(algebra, effects);
  const wanted = {
    target: listWanted(operations, models, "target"),
    source: listWanted(operations, models, "source"),
  };
  const read = await prepareFactors([...wanted.target, ...wanted.source], { cache }, effects);
  const load = async (side: readonly WantedFactors[]): Promise<ReadonlyMap<string, Factors>> => {
    const factors = new Map<string, Factors>();
    for (const one of side) factors.set(one.name, await read(one));
    return factors;
  };
  return { target: await load(wanted.target), source: await load(wanted.source) };
}
