/** This machine as an executor: packs in processes of their own, as many at a time as memory and cores allow. */
import { setting, UsageError } from "../../../base/core/index.ts";
import type { Executor, PlacedPack } from "../executor.ts";
import type { Resources } from "../resources.ts";
import { createProcessExecutor } from "./processes.ts";

/** What of the machine may be used. */
export interface LocalOptions {
  readonly cores: number;
  /** Processes at a time, whatever else would fit. */
  readonly atMost?: number | undefined;
  /** Memory of all processes together: none is started that does not fit. */
  readonly bytes: number;
  /** As of `SlurmOptions`. */
  readonly command: readonly string[];
}

/** The executor. Its processes end with this one. */
export function createLocalExecutor({
  cores,
  atMost = Number.POSITIVE_INFINITY,
  bytes,
  command,
}: LocalOptions): Executor {
  const sum = (running: readonly PlacedPack[], of: (resources: Resources) => number): number =>
    running.reduce((total, { submission }) => total + of(submission.resources), 0);
  return createProcessExecutor({
    name: "local",
    admit: ({ resources }) => {
      if (resources.bytes > bytes || resources.cores > cores)
        throw new UsageError(describeMisfit(resources.bytes, bytes));
    },
    fits: ({ submission: { resources } }, running) =>
      running.length < atMost &&
      resources.cores + sum(running, (one) => one.cores) <= cores &&
      resources.bytes + sum(running, (one) => one.bytes) <= bytes,
    start: ({ submission: { folder, number }, pack }) => [...command, folder, String(number), String(pack)],
    isOwn: true,
    describe: ({ packs, resources }) =>
      `${packs.length} ${packs.length === 1 ? "process" : "processes"} of ${resources.cores} ${resources.cores === 1 ? "core" : "cores"} and ${describeBytes(resources.bytes)}, at most ${Math.floor(Math.min(atMost, cores / resources.cores, bytes / resources.bytes))} at a time`,
  });
}

function describeMisfit(needed: number, given: number): string {
  return `Cannot carry out the job here: a piece of it takes ${describeBytes(needed)}, and ${describeBytes(given)} are allowed; allow more with ${setting("memory", `${Math.ceil(needed / 1e8) / 10}GB`)}, or use ${setting("executor", "slurm")}`;
}

/** `1.5 GB`. */
function describeBytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
