/** `untwist run`: carries out a recipe, with progress, and shows what came of it. */
import { Command } from "commander";
import { UsageError } from "../../../base/core/index.ts";
import type { Effects } from "../../../base/progress/index.ts";
import { defaultRecipe, loadRecipe } from "../../../lab/machine/index.ts";
import { type FinishedRun, resumeRun, startRun } from "../../../lab/recipe/index.ts";
import { openRunFolder, type RecipeChange } from "../../../run/index.ts";
import { withEffects } from "../flag/effects.ts";
import { findLatestFolder, startInFreeFolder } from "../flag/run-location.ts";
import { createOutput } from "../output.ts";
import { formatSummary } from "../screen/summary-screen.ts";
import { writeReport } from "./report.ts";

interface RunFlags {
  readonly out?: string;
  readonly seed?: string;
  readonly set: readonly string[];
  readonly resume?: boolean;
  readonly json?: boolean;
}

const examples = `
Examples:
  untwist run                                       the main job: base → SFT → RL, measured at every checkpoint
  untwist run general-points-quick                  the same in a minute, on fewer tasks
  untwist run my-recipe.yaml --out runs/mine        your own recipe
  untwist run --set sft.numSteps=100 --seed 2       one field changed
  untwist run --resume --out runs/general-points    continue a run that was stopped`;

/** `untwist run`: its arguments, flags and help, and the action that carries it out. */
export function createRunCommand(): Command {
  return new Command()
    .argument("[recipe]", `a shipped recipe or a YAML file (default: ${defaultRecipe})`)
    .option("--out <folder>", "the run's folder (default: runs/<recipe>, numbered where taken)")
    .option("--seed <number>", "seed of everything random in the run")
    .option("--set <key=value>", "change a field of the recipe; may be repeated", collect, [])
    .option("--resume", "continue the run in --out (default: the recipe's latest) where it was left")
    .option("--json", "print the summary as JSON")
    .addHelpText("after", examples)
    .action(run);
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}

async function run(recipe: string | undefined, flags: RunFlags): Promise<void> {
  const output = createOutput(flags);
  const { folder, summary } = await withEffects((effects) =>
    flags.resume ? resume(recipe, flags, effects) : start(recipe, flags, effects),
  );
  const { out: report } = await writeReport(folder.path);
  const lines = [
    ...formatSummary(summary, { ...output, folder: folder.path }),
    "",
    `Report: ${report}, one file for the browser`,
    `Written to ${folder.path}; show it again: untwist show ${folder.path}`,
  ];
  output.print(flags.json ? [] : ["", ...lines], summary);
}

async function start(name: string = defaultRecipe, flags: RunFlags, effects: Effects): Promise<FinishedRun> {
  const changes = flags.set.map(parseChange);
  if (flags.seed !== undefined) changes.push({ path: "seed", value: parseSeed(flags.seed) });
  const recipe = await loadRecipe(name, changes);
  const startIn = (folder: string): Promise<FinishedRun> => startRun(recipe, folder, effects);
  return flags.out === undefined ? await startInFreeFolder(recipe.name, startIn) : await startIn(flags.out);
}

async function resume(name: string | undefined, flags: RunFlags, effects: Effects): Promise<FinishedRun> {
  if (flags.seed !== undefined || flags.set.length > 0)
    throw new UsageError(
      "Cannot change a run that exists: leave out --seed and --set, or start a new run without --resume",
    );
  const wanted = name === undefined ? undefined : (await loadRecipe(name)).name;
  const path = flags.out ?? (await findLatestFolder(wanted ?? defaultRecipe));
  const { recipe } = await openRunFolder(path);
  if (wanted !== undefined && wanted !== recipe.name)
    throw new UsageError(
      `Cannot resume "${path}" as ${wanted}: it is a run of ${recipe.name}; leave the recipe out`,
    );
  return resumeRun(path, effects);
}

function parseSeed(text: string): string {
  if (!/^\d{1,15}$/.test(text))
    throw new UsageError(`Cannot read --seed "${text}": give a whole number from 0`);
  return text;
}

function parseChange(text: string): RecipeChange {
  const separator = text.indexOf("=");
  if (separator < 1)
    throw new UsageError(`Cannot read --set "${text}": write it as key=value, as in sft.numSteps=50`);
  return { path: text.slice(0, separator), value: text.slice(separator + 1) };
}
