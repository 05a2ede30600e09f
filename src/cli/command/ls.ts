/** `untwist ls`: the runs of a folder. */
import { Command } from "commander";
import { listRuns, type RunFolder } from "../../run/index.ts";
import { createOutput } from "../output.ts";
import { formatPercent, formatPoints } from "../screen/format.ts";
import { formatTable } from "../screen/table.ts";
import { runsFolder } from "./run-location.ts";

/** The command. */
export function createLsCommand(): Command {
  return new Command("ls")
    .description("list runs")
    .argument("[folder]", "a folder of runs", runsFolder)
    .option("--json", "print the list as JSON")
    .addHelpText("after", "\nExamples:\n  untwist ls\n  untwist ls elsewhere/runs --json")
    .action(list);
}

interface RunLine {
  readonly path: string;
  readonly recipe: string;
  readonly seed: number;
  readonly isFinished: boolean;
  readonly numCheckpoints: number;
  readonly forgetting?: { readonly estimate: number; readonly low: number; readonly high: number };
  readonly recovery?: number;
}

async function describeRun(folder: RunFolder): Promise<RunLine> {
  const summary = await folder.readSummary();
  const { forgetting, recovery } = summary?.trajectory ?? {};
  return {
    path: folder.path,
    recipe: folder.record.recipe,
    seed: folder.record.seed,
    isFinished: summary !== undefined,
    numCheckpoints: (await folder.readLineage()).length,
    ...(forgetting && { forgetting }),
    ...(recovery && { recovery: recovery.estimate }),
  };
}

async function list(path: string, flags: { readonly json?: boolean }): Promise<void> {
  const runs = await Promise.all((await listRuns(path)).map(describeRun));
  const rows = runs.map((run) => [
    run.path,
    run.recipe,
    String(run.seed),
    run.isFinished ? "finished" : "unfinished",
    String(run.numCheckpoints),
    run.forgetting === undefined ? "" : formatPoints(run.forgetting),
    run.recovery === undefined ? "" : formatPercent(run.recovery),
  ]);
  const output = createOutput(flags);
  const head = ["run", "recipe", "seed", "state", "checkpoints", "forgotten (OOD)", "recovered"];
  const lines = runs.length === 0 ? [`No runs in ${path}`] : formatTable([head, ...rows]);
  output.print(lines, runs);
}
