/** How long a server asks to be left alone. */

/** Longest that a server may make us wait. */
const mostWaitMs = 60_000;

/**
 * Milliseconds to wait by a `Retry-After` header, in seconds or as a date; `nowMs` is milliseconds since 1970. `undefined` where it
 * says nothing, or a time that is over.
 */
export function readWaitMs(text: string | undefined, nowMs: number): number | undefined {
  if (text === undefined) return undefined;
  const seconds = Number(text);
  const waitMs = Number.isNaN(seconds) ? Date.parse(text) - nowMs : 1000 * seconds;
  return waitMs > 0 ? Math.min(mostWaitMs, waitMs) : undefined;
}
