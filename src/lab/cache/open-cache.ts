/** The cache of factors, opened for one backend; damage is reported. */

import type { Effects } from "../../base/progress/index.ts";
import type { LinearAlgebra } from "../../weights/linalg/index.ts";
import { type FactorCache, openFactorCache } from "./factor-cache.ts";

/** Opens the user's cache. */
export function openCache({ name }: Pick<LinearAlgebra, "name">, { machine, report }: Effects): FactorCache {
  const onDamage = (path: string): void =>
    report({ kind: "notice", text: `Damaged cache entry made again: ${path}` });
  return openFactorCache(machine.cacheFolder, { backend: name, onDamage });
}
