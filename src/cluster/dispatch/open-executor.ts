/** Executors by name, opened. */
import { availableParallelism, freemem } from "node:os";
import { setting, UsageError } from "../../base/core/index.ts";
import { locateInPackage, type Machine } from "../../base/machine/index.ts";
import {
  createExecExecutor,
  createKubernetesExecutor,
  createLocalExecutor,
  createSlurmExecutor,
  type Executor,
} from "../executor/index.ts";
import type { JobOptions } from "./job-options.ts";

/** How this program is started to carry out a pack. */
function listWorkCommand(): readonly string[] {
  return [process.execPath, locateInPackage("bin", "untwist.js"), "work"];
}

/** What must be the same wherever work is done. */
function listVariables({ cacheFolder, lapack }: Machine): Readonly<Record<string, string>> {
  return { UNTWIST_CACHE: cacheFolder, ...(lapack !== undefined && { UNTWIST_LAPACK: lapack }) };
}

/** Opens an executor. Whoever opens it closes it. */
export function openExecutor(
  { executor, profile, bytes }: Pick<JobOptions, "executor" | "profile" | "bytes">,
  machine: Machine,
): Executor {
  const command = listWorkCommand();
  switch (executor) {
    case "local":
      return createLocalExecutor({
        atMost: profile.atMost,
        cores: Math.max(availableParallelism(), profile.cpus ?? 1),
        bytes: bytes ?? freemem() / 2,
        command,
      });
    case "exec": {
      const { exec: line, atMost = availableParallelism() } = profile;
      if (line === undefined)
        throw new UsageError(
          `Cannot use ${setting("executor", "exec")} without a line that carries out a command: give it, as in ${setting("profile", "exec='srun -n1 {command}'")}`,
        );
      return createExecExecutor({ line, atMost, command });
    }
    case "slurm":
      return createSlurmExecutor({
        profile,
        command,
        environment: listVariables(machine),
        variables: machine.variables,
      });
    case "kubernetes":
      return createKubernetesExecutor({
        profile,
        command: ["node", ...command.slice(1)],
        environment: listVariables(machine),
      });
  }
}
