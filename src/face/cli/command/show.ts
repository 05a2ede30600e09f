/** `untwist show`: a run's outcome, or how far it has come. */
import { Command } from "commander";
import { UsageError } from "../../../base/core/index.ts";
import { readFinished, summarize } from "../../../lab/outcome/index.ts";
import { openRunFolder } from "../../../run/index.ts";
import { createOutput } from "../output.ts";
import { formatSummary } from "../screen/summary-screen.ts";

/** `untwist show`: its arguments, flags and help, and the action that carries it out. */
export function createShowCommand(): Command {
  return new Command()
    .argument("<run>", "the folder of a run")
    .option("--json", "print the summary as JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  untwist show runs/general-points\n  untwist show runs/general-points --json",
    )
    .action(show);
}

async function show(path: string, flags: { readonly json?: boolean }): Promise<void> {
  const folder = await openRunFolder(path);
  const finished = await readFinished(folder);
  const lineage = await folder.readLineage();
  if (finished === undefined && !lineage.some(({ stage }) => stage === "sft"))
    throw new UsageError(
      `Cannot show "${path}" yet: it has no SFT checkpoint so far; continue it with: untwist run --resume --out ${path}`,
    );
  const summary = finished ?? (await summarize(folder));
  const output = createOutput(flags);
  const { paint } = output;
  const state = finished === undefined ? `   unfinished, ${lineage.length} checkpoints so far` : "";
  const title = `${paint("bold", summary.recipe)}   seed ${summary.seed}   ${paint("dim", path)}${state}`;
  output.print([title, "", ...formatSummary(summary, { ...output, folder: path })], summary);
}
