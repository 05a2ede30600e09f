/** `untwist import`: evaluations by other tools become the curves of a followed run. */
import { Command } from "commander";
import { type ImportSource, importResults } from "../../../lab/follow/index.ts";
import { createOutput } from "../output.ts";
import { formatSummary } from "../screen/summary-screen.ts";

interface ImportFlags {
  readonly id: string;
  readonly ood: string;
  readonly metric?: string;
  readonly filter?: string;
  readonly group?: string;
  readonly json?: boolean;
}

const examples = `
Examples:
  untwist import runs/mine --id 'evals/{name}/samples_gsm8k_*.jsonl' --ood 'evals/{name}/samples_math_*.jsonl' --filter strict-match
  untwist import runs/mine --id 'details/{step}/details_a_*.parquet' --ood 'details/{step}/details_b_*.parquet' --metric em
  untwist import runs/mine --id 'logs/{step}-id.eval' --ood 'logs/{step}-ood.eval'
In the paths, {step}, {id} (as in sft-100) or {name} (the folder's name) stand for a checkpoint, and * for anything. Of several
files of one task the newest counts; of several tasks all questions do.`;

/** `untwist import`: its arguments, flags and help, and the action that carries it out. */
export function createImportCommand(): Command {
  return new Command()
    .argument("<run>", "the folder of a run that follows a trainer")
    .requiredOption("--id <path>", "each checkpoint's results on ID questions")
    .requiredOption("--ood <path>", "each checkpoint's results on OOD questions")
    .option("--metric <name>", "the metric that says what is right (default: the first)")
    .option("--filter <name>", "of lm-evaluation-harness: the filter, where there are several")
    .option(
      "--group <field>",
      "what questions share, such as a passage: a field of the question, or of its metadata",
    )
    .option("--json", "print the summary as JSON")
    .addHelpText("after", examples)
    .action(run);
}

async function run(path: string, flags: ImportFlags): Promise<void> {
  const { id, ood, metric, filter, group } = flags;
  const { summary, imported, missing, sources } = await importResults(path, {
    id,
    ood,
    choice: { metric, filter, group },
  });
  const output = createOutput(flags);
  const lines = [
    ...formatSummary(summary, { ...output, folder: path }),
    "",
    ...describeSources(sources),
    `${imported.length} checkpoints imported${missing.length === 0 ? "" : `; without results: ${missing.join(", ")}`}`,
  ];
  output.print(lines, { ...summary, imported, missing, sources });
}

/** A line for each task, as it was read for all checkpoints alike. */
function describeSources(sources: readonly ImportSource[]): readonly string[] {
  const [first] = sources;
  return sources
    .filter(({ checkpoint }) => checkpoint === first?.checkpoint)
    .map(({ split, task, filter, metric, numQuestions, numSamples, path }) => {
      const epochs = numSamples === 1 ? "" : `, ${numSamples} epochs (a question counts once, by their mean)`;
      const named = [
        ...(task === undefined ? [] : [`task ${task}`]),
        ...(filter === undefined ? [] : [`filter ${filter}`]),
        `metric ${metric}`,
      ];
      return `${split.toUpperCase().padEnd(3)} ${numQuestions} questions${epochs}: ${named.join(", ")}; of ${first?.checkpoint} from ${path}`;
    });
}
