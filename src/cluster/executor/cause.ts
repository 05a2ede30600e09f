/** Why a process ended, by what its log says. */
import type { Cause } from "./executor.ts";

/** What the last lines of a log say of how a process ended, where the scheduler only says that it failed. */
export function readCause(log: string): Cause | undefined {
  const tail = log.slice(-4000);
  if (/exceeded (?:job )?memory limit|oom[-_ ]kill/i.test(tail)) return "memory";
  // More of a node's memory does not help a GPU that has too little.
  if (tail.split("\n").some((line) => /out of memory/i.test(line) && !/cuda|hip|gpu/i.test(line)))
    return "memory";
  if (/DUE TO TIME LIMIT/.test(tail)) return "time";
  if (/DUE TO (?:NODE FAILURE|PREEMPTION)/.test(tail)) return "node";
  return undefined;
}
