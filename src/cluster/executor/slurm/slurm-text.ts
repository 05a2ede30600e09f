/** What Slurm's programs print, read; and what sbatch is told. Formats of Slurm 22.05 and later, chosen by us where they can be. */
import { quoteForShell, setting } from "../../../base/core/index.ts";
import type { Cause, PackState } from "../executor.ts";
import type { Profile } from "../profile.ts";
import { type Resources, toMebibytes } from "../resources.ts";

/** What squeue is asked to print: name, number of the array, index within it, state, reason, nodes. */
export const queueFormat = "%j|%F|%K|%T|%r|%N";

/** What sacct is asked to print. */
export const sacctFormat = "JobName,JobID,State,NodeList";

/** One element of an array, by the array's name. */
export interface QueueEntry {
  readonly name: string;
  readonly index: number;
  /** The array's number; only the queue says it. */
  readonly id?: string;
  readonly state: PackState;
}

/** Elements that squeue lists. The rest of an array that waits is one line: `3-9%2`. */
export function parseQueue(text: string): readonly QueueEntry[] {
  return splitLines(text).flatMap((line) => {
    const [name = "", id = "", indexes = "", state = "", reason = "", node = ""] = line.split("|");
    return parseIndexes(indexes).map((index) => ({
      name,
      index,
      id,
      state: toPackState(state, { reason, node }),
    }));
  });
}

/** Elements that sacct lists, as in `untwist-0c1|12_3|COMPLETED|n1`; its records of whole arrays that wait are left out. */
export function parseAccounting(text: string): readonly QueueEntry[] {
  return splitLines(text).flatMap((line) => {
    const [name = "", id = "", state = "", node = ""] = line.split("|");
    const index = /^\d+_(\d+)$/.exec(id)?.[1];
    return index === undefined
      ? []
      : [{ name, index: Number(index), state: toPackState(state, { node, reason: "" }) }];
  });
}

/** Elements in the file of finished jobs that the plugin jobcomp/filetxt writes. */
export function parseCompletions(text: string): readonly QueueEntry[] {
  return splitLines(text).flatMap((line) => {
    const field = (key: string): string => new RegExp(`(?:^| )${key}=(\\S*)`).exec(line)?.[1] ?? "";
    const index = field("ArrayTaskId");
    return index === ""
      ? []
      : [
          {
            name: field("Name"),
            index: Number(index),
            state: toPackState(field("JobState"), { node: field("NodeList"), reason: "" }),
          },
        ];
  });
}

const splitLines = (text: string): readonly string[] => text.split("\n").filter((line) => line !== "");

/** `0-2,7%4` as 0, 1, 2, 7; what is not a list of numbers (`N/A` of jobs that are not arrays) as nothing. */
function parseIndexes(text: string): readonly number[] {
  const list = text.replace(/%\d+$/, "").replaceAll(/[[\]]/g, "");
  if (!/^\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*$/.test(list)) return [];
  return list.split(",").flatMap((range) => {
    const [first = 0, last = first] = range.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, offset) => first + offset);
  });
}

const waitingStates = [
  "PENDING",
  "REQUEUED",
  "REQUEUE_HOLD",
  "REQUEUE_FED",
  "SPECIAL_EXIT",
  "SUSPENDED",
  "RESV_DEL_HOLD",
];
const runningStates = [
  "RUNNING",
  "COMPLETING",
  "CONFIGURING",
  "SIGNALING",
  "STAGE_OUT",
  "STOPPED",
  "RESIZING",
];

/** Final states; those that are not here count as failures of their own. */
const causes: Readonly<Record<string, Cause>> = {
  COMPLETED: "completed",
  OUT_OF_MEMORY: "memory",
  TIMEOUT: "time",
  DEADLINE: "time",
  NODE_FAIL: "node",
  BOOT_FAIL: "node",
  PREEMPTED: "node",
  REVOKED: "node",
  CANCELLED: "cancelled",
};

function toPackState(
  text: string,
  { reason, node }: { readonly reason: string; readonly node: string },
): PackState {
  // sacct says by whom, as in "CANCELLED by 1000", and squeue may add flags after a comma or plus.
  const state = /^[A-Z_]+/.exec(text)?.[0] ?? "";
  const at = node === "" || node === "(null)" ? {} : { node };
  if (waitingStates.includes(state)) {
    const text = hopeless.find(([pattern]) => pattern.test(reason))?.[1];
    return { kind: "waiting", reason, ...(text !== undefined && { advice: text }) };
  }
  if (runningStates.includes(state)) return { kind: "running", ...at };
  return { kind: "ended", cause: causes[state] ?? "failed", ...at };
}

/** Reasons to wait that do not pass by themselves, and what to do. */
const hopeless: readonly (readonly [reason: RegExp, advice: string])[] = [
  [
    /PartitionConfig/,
    `the partition has no such node, or not for so long; ask for less time, memory, cpus or gpus by ${setting("profile")}`,
  ],
  [/PartitionTimeLimit|WallDurationPerJob/, `ask for less time by ${setting("profile", "time=MINUTES")}`],
  [
    /PartitionNodeLimit|BadConstraints/,
    `no node has what is asked for; ask for less memory, cpus or gpus by ${setting("profile")}`,
  ],
  [/Max(?:CPU|Mem|TRES|GRES|Node)\w*PerJob/i, `ask for less memory, cpus or gpus by ${setting("profile")}`],
  [
    /JobHeldAdmin|launch failed requeued held/,
    "ask whoever runs the cluster; scontrol release lets it go on",
  ],
  [
    /^Invalid(?:Account|QOS)$/,
    `choose another by ${setting("profile", "account=NAME")} or ${setting("profile", "qos=NAME")}`,
  ],
];

/** Settings of `scontrol show config`, by name. */
export function parseConfig(text: string): ReadonlyMap<string, string> {
  return new Map(
    splitLines(text).flatMap((line) => {
      const [, key, value] = /^(\w+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
      return key === undefined || value === undefined ? [] : [[key, value] as const];
    }),
  );
}

/**
 * Longest time of a job in seconds, by what `sinfo --format=%P|%l` prints: of the named partition, or of the default one, which has a
 * star. Infinite where nothing is said.
 */
export function parseTimeLimit(text: string, partition: string | undefined): number {
  for (const line of splitLines(text)) {
    const [name = "", limit = ""] = line.split("|");
    if (partition === undefined ? !name.endsWith("*") : name.replace(/\*$/, "") !== partition) continue;
    const [, days = "0", clock] = /^(?:(\d+)-)?(\d+(?::\d+)*)$/.exec(limit) ?? [];
    if (clock === undefined) return Number.POSITIVE_INFINITY;
    // sinfo leaves out what is zero at the front: 30:00 is half an hour.
    const seconds = clock.split(":").reduce((sum, field) => 60 * sum + Number(field), 0);
    return 86_400 * Number(days) + seconds;
  }
  return Number.POSITIVE_INFINITY;
}

/** An array to submit: its name, how many elements, and what each is given. */
export interface ArrayRequest {
  readonly name: string;
  readonly numElements: number;
  readonly resources: Resources;
  readonly profile: Profile;
  /** A file name with %a for the index. */
  readonly log: string;
  /** Where the command stands, as relative names in it are meant from there. */
  readonly folder: string;
}

/** The arguments of sbatch. */
export function listSbatchArguments({
  name,
  numElements,
  resources,
  profile,
  log,
  folder,
}: ArrayRequest): readonly string[] {
  const { partition, account, qos, gpus, atMost, scratch, sbatch } = profile;
  const optional = Object.entries({ partition, account, qos, gpus });
  return [
    "--parsable",
    `--job-name=${name}`,
    `--array=0-${numElements - 1}${atMost === undefined ? "" : `%${atMost}`}`,
    "--ntasks=1",
    `--cpus-per-task=${resources.cores}`,
    `--mem=${toMebibytes(resources.bytes)}M`,
    ...(scratch === undefined ? [] : [`--tmp=${toMebibytes(scratch)}M`]),
    `--time=${Math.max(1, Math.ceil(resources.seconds / 60))}`,
    "--requeue",
    "--open-mode=append",
    `--output=${log}`,
    `--chdir=${folder}`,
    ...optional.flatMap(([key, value]) => (value === undefined ? [] : [`--${key}=${value}`])),
    ...sbatch,
  ];
}

/** The batch script: what the user wants before, and the command with the index as its last argument. */
export function writeBatchScript(
  command: readonly string[],
  { first, before }: { readonly first: number; readonly before: readonly string[] },
): string {
  const line = command.map(quoteForShell).join(" ");
  return ["#!/bin/bash", ...before, `exec ${line} $((${first} + SLURM_ARRAY_TASK_ID))`, ""].join("\n");
}

/** What to do about what sbatch says. */
const advice: readonly (readonly [pattern: RegExp, text: string])[] = [
  [
    /violates accounting|submit limit|MaxSubmit/i,
    "wait until earlier jobs have ended, or ask for less; sacctmgr show associations user=$USER lists your limits",
  ],
  [
    /account|association/i,
    `sacctmgr show associations user=$USER lists what you may use; choose ${setting("profile", "account=NAME")}`,
  ],
  [/partition/i, `sinfo -s lists the partitions; choose one by ${setting("profile", "partition=NAME")}`],
  [
    /gres|generic resource/i,
    `sinfo --format='%P %G' lists what there is; choose by ${setting("profile", "gpus=NUMBER")}, or leave it out`,
  ],
  [/temporary disk/i, `no node has that much room; ask for less by ${setting("profile", "scratch=SIZE")}`],
  [/qos/i, `sacctmgr show qos lists them; choose one by ${setting("profile", "qos=NAME")}`],
  [
    /time limit|--time/i,
    `the partition allows less time; ask for less by ${setting("profile", "time=MINUTES")}`,
  ],
  [
    /memory|node configuration/i,
    `no node is that large; ask for less by ${setting("profile", "memory=SIZE")}, cpus=NUMBER or gpus=NUMBER`,
  ],
  [/limit/i, "wait until earlier jobs have ended, or ask for less"],
];

/** Messages of sbatch as one sentence, with what to do. */
export function explainSbatch(stderr: string): string {
  const messages = splitLines(stderr).map((line) =>
    line.replace(/^sbatch: (?:error: )?(?:Batch job submission failed: )?/, "").trim(),
  );
  const said = [...new Set(messages)].join("; ");
  const hint = advice.find(([pattern]) => pattern.test(said))?.[1];
  return `sbatch refuses the job: ${said === "" ? "it does not say why" : said}${hint === undefined ? "" : `; ${hint}`}`;
}

/** Whether a program of Slurm failed because the controller did not answer. */
export function isUnreachable(stderr: string): boolean {
  return /unable to contact|timed out|connection (?:refused|reset)|zero bytes|temporarily/i.test(stderr);
}
