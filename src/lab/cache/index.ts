/** What is kept between commands: factors, comparisons, and answers of the embedded engine. */
export { rememberAnswers } from "./answer-memory.ts";
export { type CacheUse, cacheKinds, measureCache, pruneCache } from "./cache-use.ts";
export {
  type CachedRequest,
  type ComparisonKey,
  cacheVersion,
  type FactorCache,
  openFactorCache,
} from "./factor-cache.ts";
export { openCache } from "./open-cache.ts";
