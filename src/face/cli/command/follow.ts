/** `untwist follow`: the checkpoints of another trainer become a run. */
import { dirname } from "node:path";
import { Command } from "commander";
import { readText } from "../../../base/file/index.ts";
import { outlineModel } from "../../../lab/comparison/index.ts";
import { compareWithBase, followTrainings, resolveLineage } from "../../../lab/follow/index.ts";
import { isRunFolder, type LineageFile, parseLineageFile } from "../../../run/index.ts";
import { requireFree, requireNamed } from "../flag/out-folder.ts";
import { createOutput } from "../output.ts";
import { describeFollowed, formatFollowed } from "../screen/follow-screen.ts";

interface FollowFlags {
  readonly out: string;
  readonly base?: string;
  readonly lineage?: string;
  readonly json?: boolean;
}

const examples = `
Examples:
  untwist follow out/sft --out runs/mine                        checkpoints of one SFT, by any trainer
  untwist follow out/sft out/grpo --base models/base --out runs/mine
  untwist follow TUNED --base models/base --out runs/pair        one model or adapter, as it lies
  untwist follow --out runs/mine                                look again: new checkpoints are added
  untwist follow --lineage lineage.yaml --out runs/mine         say what cannot be guessed

A lineage file says which training is what; folders are relative to it:
  base: models/base
  trainings:
    - { folder: out/sft, stage: sft }
    - { folder: out/grpo, stage: rl, branch: grpo, from: 140 }   # the SFT step that RL started from
    - { folder: out/own, stage: rl, steps: "round_{step}", weights: policy/hf }
SFT that was resumed into a new folder, which counts its steps anew after 100:
    - { folder: out/first, stage: sft }
    - { folder: out/second, stage: sft, after: 100 }`;

/** `untwist follow`: its arguments, flags and help, and the action that carries it out. */
export function createFollowCommand(): Command {
  return new Command()
    .argument("[folders...]", "output folders of trainers or folders above them, or a model or adapter")
    .requiredOption("--out <run>", "the folder of the run; one that follows already is brought up to date")
    .option("--base <folder>", "the model that was trained, where the checkpoints do not say")
    .option("--lineage <file>", "a YAML file that says which training is what")
    .option("--json", "print what was found as JSON")
    .addHelpText("after", examples)
    .action(follow);
}

async function follow(folders: readonly string[], flags: FollowFlags): Promise<void> {
  requireNamed(flags.out);
  if (!(await isRunFolder(flags.out))) await requireFree(flags.out);
  const lineage = flags.lineage === undefined ? undefined : await readLineageFile(flags.lineage);
  const report = await followTrainings({ folders, out: flags.out, base: flags.base, lineage });
  const [first] = report.lineage;
  const outline = first === undefined ? undefined : await outlineModel(report.folder.locate(first.path));
  const differences = await compareWithBase(report);
  const output = createOutput(flags);
  const shown = { report, outline, differences };
  output.print(formatFollowed(shown, output), describeFollowed(shown));
}

async function readLineageFile(path: string): Promise<LineageFile> {
  return resolveLineage(parseLineageFile(await readText(path), path), dirname(path));
}
