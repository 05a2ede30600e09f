/** `untwist export`: a run's evaluations for other tools. */
import { Command } from "commander";
import { exportForms, exportResults, type exportForms as forms } from "../../../lab/outcome/index.ts";
import { requireFree } from "../flag/out-folder.ts";
import { parseChoice } from "../flag/parse-flags.ts";
import { createOutput } from "../output.ts";

const examples = `
Examples:
  untwist export runs/mine --as tfevents --out tensorboard/mine     a folder for TensorBoard
  untwist export runs/mine --as csv --out curves                    curves.csv: stage, step, name, value (jsonl: the same, a line each)
  untwist export runs/mine --as lm-eval --out results/mine          results_*.json and samples_*.jsonl for each checkpoint`;

/** `untwist export`: its arguments, flags and help, and the action that carries it out. */
export function createExportCommand(): Command {
  return new Command()
    .argument("<run>", "the folder of a run")
    .requiredOption("--as <form>", `one of ${exportForms.join(", ")}`)
    .requiredOption("--out <folder>", "a new folder")
    .addHelpText("after", examples)
    .action(run);
}

async function run(path: string, flags: { readonly as: string; readonly out: string }): Promise<void> {
  const form = parseChoice<(typeof forms)[number]>("--as", flags.as, exportForms);
  await requireFree(flags.out);
  await exportResults(path, flags.out, { form, date: new Date() });
  createOutput({}).print([`Written to ${flags.out}`], undefined);
}
