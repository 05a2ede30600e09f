/** Slurm by its own programs: packs are the elements of job arrays, told apart by the arrays' names. */

import { join } from "node:path";
import { quoteForShell, UsageError } from "../../../base/core/index.ts";
import { listNames, readTail } from "../../../base/file/index.ts";
import type { Variables } from "../../../base/machine/index.ts";
import { readCause } from "../cause.ts";
import {
  type Executor,
  mostLogBytes,
  type PackState,
  type PlacedSubmission,
  UnreachableError,
} from "../executor.ts";
import type { Profile } from "../profile.ts";
import type { Resources } from "../resources.ts";
import { createProgramRunner, type ProgramOutcome, type RunProgram } from "../run-program.ts";
import {
  type ArrayRequest,
  explainSbatch,
  isUnreachable,
  listSbatchArguments,
  parseAccounting,
  parseCompletions,
  parseConfig,
  parseQueue,
  parseTimeLimit,
  type QueueEntry,
  queueFormat,
  sacctFormat,
  writeBatchScript,
} from "./slurm-text.ts";

/** How Slurm is used. */
export interface SlurmOptions {
  readonly profile: Profile;
  /** Variables that processes must have; the rest of the environment is passed on by sbatch, but not over ssh. */
  readonly environment: Readonly<Record<string, string>>;
  /** Those of this process, which Slurm's programs get. */
  readonly variables: Variables;
  /** The command that carries out a pack: to it are added the job's folder, the submission's number and the pack's position. */
  readonly command: readonly string[];
}

/** Part of a submission that is one array. */
interface ArrayPart {
  readonly name: string;
  /** Position of its first pack. */
  readonly first: number;
  readonly numPacks: number;
}

/**
 * The executor. Names of arrays say what they carry out, so that nothing has to be remembered between submitting and asking. A
 * name is `untwist-JOB-MADE-SUBMISSION.FIRST`.
 */
export function createSlurmExecutor(options: SlurmOptions): Executor {
  const { profile, variables } = options;
  const run = createProgramRunner(variables, profile.host);
  const { readSettings, limitTime } = createLimits(run, profile);
  const split = async (submission: PlacedSubmission): Promise<readonly ArrayPart[]> =>
    splitArrays(submission, Number((await readSettings()).get("MaxArraySize") ?? 1001));
  return {
    name: "slurm",
    fit: limitTime,
    submit: async (submission) => {
      for (const part of await split(submission)) {
        const { args, script } = describeArray(submission, part, options);
        const outcome = await run("sbatch", args, script);
        if (outcome.code === 0) continue;
        requireAnswer("sbatch", outcome);
        throw new UsageError(explainSbatch(outcome.stderr));
      }
    },
    describe: async (submission) => {
      const arrays = (await split(submission)).map((part) => {
        const { args, script } = describeArray(submission, part, options);
        return `${["sbatch", ...args].map(quoteForShell).join(" ")} <<'END'\n${script}END`;
      });
      return arrays.join("\n");
    },
    poll: (submissions) => pollPacks(run, submissions, { split, readSettings }),
    cancel: (packs) => cancelPacks(run, packs),
    logs: readLog,
    close: async () => undefined,
  };
}

/** How the packs of submissions are, by the queue and, where that has forgotten some, by what has ended. */
async function pollPacks(
  run: RunProgram,
  submissions: readonly PlacedSubmission[],
  {
    split,
    readSettings,
  }: Pick<Limits, "readSettings"> & {
    readonly split: (submission: PlacedSubmission) => Promise<readonly ArrayPart[]>;
  },
): Promise<readonly (readonly PackState[])[]> {
  const now = byPack(parseQueue(await listQueue(run, ["--states=all"])));
  const keys = submissions.flatMap((one) =>
    one.packs.flatMap((_, pack) => (String(pack) in one.ended ? [] : keyOf(one, pack))),
  );
  const readRest = async (): Promise<ReadonlyMap<string, PackState>> => {
    const parts = (await Promise.all(submissions.map(split))).flat();
    return await readPast(run, { names: parts.map(({ name }) => name), settings: await readSettings() });
  };
  const past = keys.every((key) => now.has(key)) ? now : await readRest();
  const find = async (submission: PlacedSubmission, pack: number): Promise<PackState> => {
    const known = submission.ended[pack];
    if (known !== undefined) return { kind: "ended", cause: known.cause };
    const key = keyOf(submission, pack);
    const state = now.get(key) ?? past.get(key) ?? lost;
    if (state.kind !== "ended" || state.cause !== "failed") return state;
    return { ...state, cause: readCause(await readLog(submission, pack)) ?? "failed" };
  };
  return await Promise.all(
    submissions.map((one) => Promise.all(one.packs.map((_, pack) => find(one, pack)))),
  );
}

/** Cancels packs: elements are cancelled by the number of their array, which only the queue knows. */
async function cancelPacks(run: RunProgram, packs: Parameters<Executor["cancel"]>[0]): Promise<void> {
  const wanted = new Set(packs.map(({ submission, pack }) => keyOf(submission, pack)));
  const indexes = new Map<string, number[]>();
  for (const { name, index, id = "" } of parseQueue(await listQueue(run, [])))
    if (wanted.has(readKey(name, index) ?? "")) indexes.set(id, [...(indexes.get(id) ?? []), index]);
  const ids = [...indexes].map(([id, list]) => `${id}_[${formatIndexes(list)}]`);
  if (ids.length > 0) await requireOutput(run, "scancel", ids);
}

/** What a cluster allows; asked for once. */
interface Limits {
  readSettings(): Promise<ReadonlyMap<string, string>>;
  /** An estimated time, as far as the partition allows it; one that the user names is theirs to get right. */
  limitTime(resources: Resources): Promise<Resources>;
}

function createLimits(run: RunProgram, { time, partition }: Profile): Limits {
  let settings: Promise<ReadonlyMap<string, string>> | undefined;
  let most: Promise<number> | undefined;
  return {
    readSettings: () => {
      settings ??= requireOutput(run, "scontrol", ["show", "config"]).then(parseConfig);
      // A controller that did not answer may later.
      settings.catch(() => {
        settings = undefined;
      });
      return settings;
    },
    limitTime: async (resources) => {
      if (time !== undefined) return resources;
      most ??= requireOutput(run, "sinfo", ["--noheader", "--format=%P|%l"]).then((text) =>
        parseTimeLimit(text, partition),
      );
      most.catch(() => {
        most = undefined;
      });
      return { ...resources, seconds: Math.min(resources.seconds, await most) };
    },
  };
}

/** An element that Slurm knows nothing of, any more: as good as one whose node died. */
const lost: PackState = { kind: "ended", cause: "node" };

const prefixOf = ({ job, made, number }: PlacedSubmission): string => `untwist-${job}-${made}-${number}.`;

function splitArrays(submission: PlacedSubmission, mostElements: number): readonly ArrayPart[] {
  const { packs } = submission;
  const numParts = Math.ceil(packs.length / mostElements);
  return Array.from({ length: numParts }, (_, part) => {
    const first = part * mostElements;
    return {
      name: `${prefixOf(submission)}${first}`,
      first,
      numPacks: Math.min(mostElements, packs.length - first),
    };
  });
}

function describeArray(
  { folder, number, resources }: PlacedSubmission,
  { name, first, numPacks }: ArrayPart,
  { profile, command, environment }: SlurmOptions,
): { readonly args: readonly string[]; readonly script: string } {
  const log = join(folder, "logs", `${number}.${first}-%a.log`);
  const exports = Object.entries(environment).map(([key, value]) => `export ${key}=${quoteForShell(value)}`);
  const request: ArrayRequest = {
    name,
    numElements: numPacks,
    resources,
    profile,
    log,
    folder: process.cwd(),
  };
  return {
    args: listSbatchArguments(request),
    script: writeBatchScript([...command, folder, String(number)], {
      first,
      before: [...exports, ...profile.before],
    }),
  };
}

/** Elements of ours by submission and pack. */
function byPack(entries: readonly QueueEntry[]): ReadonlyMap<string, PackState> {
  const states = new Map<string, PackState>();
  for (const { name, index, state } of entries) {
    const key = readKey(name, index);
    // What was submitted again under the same name is listed with what ended before.
    if (key !== undefined && (state.kind !== "ended" || !states.has(key))) states.set(key, state);
  }
  return states;
}

/** The key of the pack that an element of an array is; `undefined` where the array is none of ours. */
function readKey(name: string, index: number): string | undefined {
  const [, submission, first] = /^(untwist-[0-9a-f]+-[0-9a-z]+-\d+\.)(\d+)$/.exec(name) ?? [];
  return submission === undefined ? undefined : `${submission}${Number(first) + index}`;
}

const keyOf = (submission: PlacedSubmission, pack: number): string => `${prefixOf(submission)}${pack}`;

/** `0-2,7` of 0, 1, 2, 7. */
function formatIndexes(indexes: readonly number[]): string {
  const sorted = [...indexes].sort((a, b) => a - b);
  const ranges: [number, number][] = [];
  for (const index of sorted) {
    const last = ranges.at(-1);
    if (last !== undefined && index === last[1] + 1) last[1] = index;
    else ranges.push([index, index]);
  }
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(",");
}

/** How much of the file of finished jobs is looked at: some hundred thousand of them. */
const mostCompletionBytes = 2 ** 25;

/** Elements that have left the queue: from the accounting, else from the file of finished jobs, else none. */
async function readPast(
  run: RunProgram,
  { names, settings }: { readonly names: readonly string[]; readonly settings: ReadonlyMap<string, string> },
): Promise<ReadonlyMap<string, PackState>> {
  if (!/none$/.test(settings.get("AccountingStorageType") ?? "none")) {
    const flags = ["-X", "--parsable2", "--noheader", "--starttime=now-7days", `--name=${names.join(",")}`];
    const { code, stdout } = await run("sacct", [...flags, `--format=${sacctFormat}`]);
    if (code === 0) return byPack(parseAccounting(stdout));
  }
  if (settings.get("JobCompType") !== "jobcomp/filetxt") return new Map();
  // Users may not be let to read it, and it has everybody's jobs of years.
  return byPack(parseCompletions(await readTail(settings.get("JobCompLoc") ?? "", mostCompletionBytes)));
}

async function listQueue(run: RunProgram, flags: readonly string[]): Promise<string> {
  return await requireOutput(run, "squeue", ["--me", "--noheader", ...flags, `--format=${queueFormat}`]);
}

/** What a program prints. Throws `UnreachableError` where the controller does not answer, `UsageError` for other failures. */
async function requireOutput(run: RunProgram, program: string, args: readonly string[]): Promise<string> {
  const outcome = await run(program, args);
  if (outcome.code === 0) return outcome.stdout;
  requireAnswer(program, outcome);
  throw new UsageError(`Cannot use Slurm: ${program} says: ${outcome.stderr.trim().split("\n").at(-1)}`);
}

/** Throws `UnreachableError` where the controller did not answer. */
function requireAnswer(program: string, { code, stderr }: ProgramOutcome): void {
  if (code !== null && !isUnreachable(stderr)) return;
  const said = stderr.trim().split("\n").at(-1) || `${program} does not answer`;
  throw new UnreachableError(`Cannot reach Slurm: ${said}`);
}

async function readLog({ folder, number }: PlacedSubmission, pack: number): Promise<string> {
  for (const name of await listNames(join(folder, "logs"))) {
    const [, submission, first, element] = /^(\d+)\.(\d+)-(\d+)\.log$/.exec(name) ?? [];
    if (Number(submission) === number && Number(first) + Number(element) === pack)
      return await readTail(join(folder, "logs", name), mostLogBytes);
  }
  return "";
}
