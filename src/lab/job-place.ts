/** Where jobs are carried out and kept. */
import { availableParallelism, freemem } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { UsageError } from "../base/index.ts";
import {
  createExecExecutor,
  createKubernetesExecutor,
  createLocalExecutor,
  createSlurmExecutor,
  type Executor,
  type ExecutorName,
  type JobOrigin,
  type PlainRule,
  type Profile,
} from "../job/index.ts";
import { chooseCacheFolder } from "./cache-folder.ts";

/** Where a job is carried out, and how it is looked after. */
export interface JobPlace {
  readonly executor: ExecutorName;
  readonly profile: Profile;
  /** Of a local executor: memory of all its processes together. Default: half of what is free. */
  readonly bytes?: number | undefined;
  readonly origin: JobOrigin;
  /** Followed to its end, only handed over, or only described. */
  readonly mode: "follow" | "detach" | "describe";
  readonly intervalMs: number;
  /** The job that this is to be, where somebody attaches to one. */
  readonly expected?: string | undefined;
}

/** Where jobs are kept: the cache folder, which all nodes of a cluster must see under the same path. */
export function chooseJobsFolder(): string {
  return join(chooseCacheFolder(), "jobs");
}

/** Packs that take less are put together. */
const leastSeconds = 30;

/** How packs are made there. */
export function createRule({ profile }: JobPlace): PlainRule {
  const { cpus = 1, memory, time } = profile;
  return {
    leastSeconds,
    cores: cpus,
    bytes: memory,
    seconds: time,
  };
}

/** How this program is started to carry out a pack. */
function listWorkCommand(): readonly string[] {
  return [process.execPath, fileURLToPath(new URL("../../bin/untwist.js", import.meta.url)), "work"];
}

/** What must be the same wherever work is done. */
function listEnvironment(): Readonly<Record<string, string>> {
  const { UNTWIST_LAPACK = "" } = process.env;
  return { UNTWIST_CACHE: chooseCacheFolder(), ...(UNTWIST_LAPACK !== "" && { UNTWIST_LAPACK }) };
}

/** Opens an executor. Whoever opens it closes it. */
export function openExecutor({
  executor,
  profile,
  bytes,
}: Pick<JobPlace, "executor" | "profile" | "bytes">): Executor {
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
          "Cannot use --on exec without a line that carries out a command: give it, as in --set exec='srun -n1 {command}'",
        );
      return createExecExecutor({ line, atMost, command });
    }
    case "slurm":
      return createSlurmExecutor({ profile, command, environment: listEnvironment() });
    case "kubernetes":
      return createKubernetesExecutor({
        profile,
        command: ["node", ...command.slice(1)],
        environment: listEnvironment(),
      });
  }
}
