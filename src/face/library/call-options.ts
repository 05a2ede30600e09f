/** What every function of the library takes beside its subject, and what of the outside it stands for. */
import { homedir } from "node:os";
import { renderMessage } from "../../base/core/index.ts";
import { readMachine } from "../../base/machine/index.ts";
import type { Effects, LabEvent } from "../../base/progress/index.ts";

/** Options of a call that may take long. */
export interface CallOptions {
  /** Ends the work as soon as nothing would be lost, with a `StoppedError`; the same call goes on with it. */
  readonly signal?: AbortSignal;
  /** Hears of progress and notices. */
  readonly onEvent?: (event: LabEvent) => void;
  /** Where factors and answers are kept between calls. Default: as for the command line, `UNTWIST_CACHE` or the user's cache. */
  readonly cacheFolder?: string;
}

/** The outside of a call. */
export function createEffects({ signal, onEvent, cacheFolder }: CallOptions): Effects {
  const machine = readMachine(process.env, homedir());
  return {
    report: (event) =>
      onEvent?.(event.kind === "notice" ? { ...event, text: renderMessage(event.text) } : event),
    now: () => performance.now(),
    signal: signal ?? new AbortController().signal,
    machine: { ...machine, ...(cacheFolder !== undefined && { cacheFolder }) },
  };
}
