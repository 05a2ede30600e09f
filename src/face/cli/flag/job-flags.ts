/** Flags that say where work is carried out: here, in processes of their own, or on a cluster. */
import { homedir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { UsageError } from "../../../base/core/index.ts";
import { fileExists, readText } from "../../../base/file/index.ts";
import { HandedOverError, type JobOptions } from "../../../cluster/dispatch/index.ts";
import {
  type ExecutorName,
  executorNames,
  isDetached,
  parseProfile,
  parseSize,
  profileKeys,
} from "../../../cluster/executor/index.ts";
import { createOutput } from "../output.ts";
import { nameFlag } from "./given-flags.ts";
import type { Invocation } from "./invocation.ts";
import { parseChoice, parseSeconds } from "./parse-flags.ts";

/** The flags as given. */
export interface JobFlags {
  readonly on?: string;
  readonly profile?: string;
  readonly set?: readonly string[];
  readonly memory?: string | undefined;
  readonly interval: string;
  readonly detach?: boolean;
  readonly dryRun?: boolean;
}

/** Adds them. */
export function addJobFlags(command: Command): Command {
  return command
    .option("--on <executor>", `where: ${executorNames.join(", ")} (default: in this process)`)
    .option(
      "--profile <file>",
      "what the cluster is asked for, as YAML (default: ~/.config/untwist/EXECUTOR.yaml)",
    )
    .option(
      "--set <key=value>",
      `one cluster setting, overriding the profile: ${profileKeys.join(", ")}`,
      (value: string, before: readonly string[] = []) => [...before, value],
    )
    .option("--memory <size>", "memory that all work on this machine may take together, as in 8GB")
    .option("--interval <seconds>", "minimum seconds between polls of the job", "5")
    .option("--detach", "hand the job over and end; untwist attach waits for its result")
    .option("--dry-run", "print what would be submitted");
}

/** Where the flags say; absent for this process, which has no use for the others then. Throws `UsageError`. */
export async function parseJob(flags: JobFlags, { args, job }: Invocation): Promise<JobOptions | undefined> {
  const { on, set = [], memory } = flags;
  const bytes = memory === undefined ? {} : { bytes: parseSize("--memory", memory) };
  if (on === undefined) {
    const [needless] = Object.entries(flags).filter(
      ([key, value]) => value !== undefined && ["profile", "set", "memory", "detach", "dryRun"].includes(key),
    );
    if (needless !== undefined)
      throw new UsageError(
        `Cannot use ${nameFlag(needless[0])} without an executor: say where, by --on ${executorNames.join(" or --on ")}`,
      );
    return undefined;
  }
  const executor = parseChoice<ExecutorName>("--on", on, executorNames);
  if (!isDetached(executor) && flags.detach === true)
    throw new UsageError(`Cannot detach from --on ${executor}: its processes end with this one`);
  if (executor !== "local" && memory !== undefined)
    throw new UsageError(
      `Cannot use --memory with --on ${executor}: it is for this machine; say --set memory=${memory} of each process`,
    );
  const profile = parseProfile(await readProfile(executor, flags.profile), set);
  return {
    executor,
    profile,
    ...bytes,
    ...(job !== undefined && { expected: job }),
    origin: {
      // How it is waited for and printed is for whoever attaches to say.
      args: args.filter((word) => !["--detach", "--json"].includes(word)),
      folder: process.cwd(),
      at: new Date().toISOString(),
      host: profile.host,
    },
    mode: flags.dryRun === true ? "describe" : flags.detach === true ? "detach" : "follow",
    intervalMs: 1000 * parseSeconds("--interval", flags.interval),
  };
}

async function readProfile(
  executor: ExecutorName,
  path: string | undefined,
): Promise<{ readonly place: string; readonly text: string } | undefined> {
  const usual = join(
    process.env.XDG_CONFIG_HOME || join(homedir(), ".config"),
    "untwist",
    `${executor}.yaml`,
  );
  const place = path ?? usual;
  if (path === undefined && !(await fileExists(usual))) return undefined;
  if (!(await fileExists(place)))
    throw new UsageError(`Cannot read --profile "${place}": there is no such file`);
  return { place, text: await readText(place) };
}

/** Does work that may only be handed over; what is to be said then goes where results go. */
export async function unlessHandedOver(
  flags: { readonly json?: boolean },
  work: () => Promise<void>,
): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof HandedOverError)) throw error;
    createOutput(flags).print([error.message], { jobs: error.jobs, text: error.message });
  }
}
