/** `untwist ls`: the runs of a folder. */
import { Command } from "commander";
import { describeError, UsageError } from "../../../base/core/index.ts";
import { folderExists } from "../../../base/file/index.ts";
import { formatShare } from "../../../base/statistics/index.ts";
import { listRuns, readRunOutline } from "../../../run/index.ts";
import { runsFolder } from "../flag/run-location.ts";
import { createOutput } from "../output.ts";
import { formatLoss } from "../screen/format.ts";
import { formatTable } from "../screen/table.ts";
import { showMessage } from "../wording.ts";

/** `untwist ls`: its arguments, flags and help, and the action that carries it out. */
export function createLsCommand(): Command {
  return new Command()
    .argument("[folder]", "a folder of runs", runsFolder)
    .option("--json", "print the list as JSON")
    .addHelpText("after", "\nExamples:\n  untwist ls\n  untwist ls elsewhere/runs --json")
    .action(list);
}

interface RunLine {
  readonly path: string;
  readonly recipe?: string;
  readonly seed?: number;
  readonly state: "finished" | "unfinished" | "damaged";
  readonly numCheckpoints?: number;
  readonly forgetting?: { readonly estimate: number; readonly low: number; readonly high: number };
  /** Why forgetting cannot be judged. */
  readonly unjudgedBecause?: string;
  readonly recovery?: number;
  /** Whether its statistics are those of an earlier version: they are computed anew where it is shown. */
  readonly isEarlier?: true;
  /** What is wrong with a damaged run. */
  readonly problem?: string;
}

/** One line per run; a damaged one must not hide the others. */
async function describeRun(path: string): Promise<RunLine> {
  try {
    return await describeReadableRun(path);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return { path, state: "damaged", problem: describeError(error) };
  }
}

async function describeReadableRun(path: string): Promise<RunLine> {
  const { summary, ...outline } = await readRunOutline(path);
  const { forgetting, recovery, unjudgedBecause } = summary?.trajectory ?? {};
  return {
    path,
    ...outline,
    state: summary === undefined ? "unfinished" : "finished",
    ...(forgetting && { forgetting }),
    ...(unjudgedBecause !== undefined && { unjudgedBecause }),
    ...(recovery && { recovery: recovery.estimate }),
    ...(summary?.trajectory && forgetting === undefined && { isEarlier: true as const }),
  };
}

function formatForgetting({ forgetting, unjudgedBecause, isEarlier, problem = "" }: RunLine): string {
  if (unjudgedBecause !== undefined) return "cannot be judged";
  if (isEarlier) return "see untwist show";
  return forgetting === undefined ? problem : formatLoss(forgetting);
}

async function list(path: string, flags: { readonly json?: boolean }): Promise<void> {
  // Before the first run there is no default folder yet, which is not a mistake.
  const isMissing = path === runsFolder && !(await folderExists(path));
  const found = isMissing ? { runs: [], problems: [] } : await listRuns(path);
  for (const problem of found.problems) process.stderr.write(`Left out: ${showMessage(problem)}\n`);
  const runs = await Promise.all(found.runs.map(describeRun));
  const rows = runs.map((run) => [
    run.path,
    run.recipe ?? "",
    String(run.seed ?? ""),
    run.state,
    String(run.numCheckpoints ?? ""),
    formatForgetting(run),
    run.recovery === undefined ? "" : formatShare(run.recovery),
  ]);
  const output = createOutput(flags);
  const head = ["run", "recipe", "seed", "state", "checkpoints", "forgotten (OOD)", "recovered"];
  const lines = runs.length === 0 ? [`No runs in ${path}`] : formatTable([head, ...rows]);
  output.print(lines, runs);
}
