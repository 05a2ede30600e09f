/** The cache of factors, opened for one backend; damage is told. */

import { chooseCacheFolder } from "../../base/machine/index.ts";
import type { Effects } from "../../base/progress/index.ts";
import type { LinearAlgebra } from "../../weights/linalg/index.ts";
import { type FactorCache, openFactorCache } from "./factor-cache.ts";

/** Opens the user's cache. */
export function openCache(
  { name }: Pick<LinearAlgebra, "name">,
  effects: Effects,
): { readonly cache: FactorCache; readonly cacheFolder: string } {
  const cacheFolder = chooseCacheFolder();
  const onDamage = (path: string): void =>
    effects.report({ kind: "notice", text: `Damaged cache entry made again: ${path}` });
  return { cache: openFactorCache(cacheFolder, { backend: name, onDamage }), cacheFolder };
}
