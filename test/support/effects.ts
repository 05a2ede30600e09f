/** The outside of long work as tests see it: no clock that moves, nothing that stops, and what was reported kept. */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Machine, readMachine } from "../../src/base/machine/index.ts";
import type { Effects, LabEvent } from "../../src/base/progress/index.ts";

/** A machine whose cache is in a folder, which is not made. Default: one that no test writes into. */
export const createMachine = (cacheFolder: string = join(tmpdir(), "untwist-no-cache")): Machine =>
  readMachine({ UNTWIST_CACHE: cacheFolder, UNTWIST_LAPACK: "none" }, tmpdir());

/** Effects, and everything that was reported. */
export function createTestEffects(
  given: Partial<Effects> = {},
): Effects & { readonly events: LabEvent[]; readonly notices: () => readonly string[] } {
  const events: LabEvent[] = [];
  return {
    report: (event) => {
      events.push(event);
    },
    now: () => 0,
    signal: new AbortController().signal,
    machine: createMachine(),
    ...given,
    events,
    notices: () => events.flatMap((event) => (event.kind === "notice" ? [event.text] : [])),
  };
}
