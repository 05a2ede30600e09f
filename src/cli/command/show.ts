/** `untwist show`: a run's outcome, or how far it has come. */
import { Command } from "commander";
import { UsageError } from "../../base/index.ts";
import { openRunFolder } from "../../run/index.ts";
import { createOutput } from "../output.ts";
import { formatSummary } from "../screen/summary-screen.ts";

/** The command. */
export function createShowCommand(): Command {
  return new Command("show")
    .description("show a run: ID and OOD curves, peak, forgetting and recovery with intervals")
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
  const summary = await folder.readSummary();
  if (summary === undefined) {
    const numKept = (await folder.readLineage()).length;
    throw new UsageError(
      `Cannot show "${path}" yet: the run is not finished (${numKept} checkpoints so far); continue it with: untwist run --resume --out ${path}`,
    );
  }
  const output = createOutput(flags);
  const { recipe, seed } = summary;
  const title = `${output.paint("bold", recipe)}   seed ${seed}   ${output.paint("dim", path)}`;
  output.print([title, "", ...formatSummary(summary, output)], summary);
}
