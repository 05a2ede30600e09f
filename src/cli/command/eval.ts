/** `untwist eval`: one checkpoint on an environment's tasks. */
import { Command } from "commander";
import { UsageError } from "../../base/index.ts";
import { type Rendering, renderings, type Split, splits } from "../../environment/index.ts";
import type { SplitResult } from "../../evaluation/index.ts";
import { evaluateModel } from "../../lab/index.ts";
import { createOutput } from "../output.ts";
import { formatCount } from "../screen/format.ts";
import { formatTable } from "../screen/table.ts";

interface EvalFlags {
  readonly environment: string;
  readonly splits: string;
  readonly count: string;
  readonly seed: string;
  readonly rendering: string;
  readonly maxNewTokens: string;
  readonly items?: boolean;
  readonly json?: boolean;
}

const examples = `
Examples:
  untwist eval general-points-base --environment general-points --count 200
  untwist eval runs/general-points/checkpoints/sft-5 --environment general-points --splits ood --count 100 --json`;

/** The command. */
export function createEvalCommand(): Command {
  return new Command("eval")
    .description("evaluate a checkpoint on fixed tasks")
    .argument("<checkpoint>", "a Hugging Face checkpoint folder, or a shipped model")
    .requiredOption("--environment <name>", "the tasks' environment")
    .option("--splits <list>", "splits, separated by commas", splits.join(","))
    .option("--count <number>", "tasks a split", "200")
    .option("--seed <number>", "which tasks", "1")
    .option("--rendering <name>", "how tasks are written: compact or chat", "compact")
    .option("--max-new-tokens <number>", "longest answer, in tokens", "64")
    .option("--items", "include every answer in the JSON")
    .option("--json", "print the result as JSON")
    .addHelpText("after", examples)
    .action(evaluate);
}

async function evaluate(checkpoint: string, flags: EvalFlags): Promise<void> {
  const named = flags.splits.split(",").map((name) => parseChoice<Split>("--splits", name.trim(), splits));
  const chosen = [...new Set(named)];
  const evaluation = await evaluateModel(checkpoint, {
    environment: flags.environment,
    rendering: parseChoice<Rendering>("--rendering", flags.rendering, renderings),
    splits: chosen,
    count: parseCount("--count", flags.count, 1),
    seed: parseCount("--seed", flags.seed, 0),
    maxNewTokens: parseCount("--max-new-tokens", flags.maxNewTokens, 1),
  });
  const { items, ...result } = evaluation;
  const output = createOutput(flags);
  const rows = chosen.map((split) => describeSplit(split, evaluation.results[split]));
  const head = ["split", "solved [95 %]", "format right", "values right", "loss", "outcomes"];
  output.print(formatTable([head, ...rows]), { checkpoint, ...result, ...(flags.items && { items }) });
}

function describeSplit(split: Split, result: SplitResult | undefined): readonly string[] {
  if (result === undefined) return [split];
  const outcomes = Object.entries(result.outcomes).map(([name, count]) => `${name} ${count}`);
  return [
    split,
    formatCount(result.solved),
    `${result.format.correct}/${result.format.total}`,
    `${result.values.correct}/${result.values.total}`,
    result.loss.toFixed(3),
    outcomes.join(", "),
  ];
}

function parseChoice<Choice extends string>(flag: string, text: string, choices: readonly Choice[]): Choice {
  const choice = choices.find((candidate) => candidate === text);
  if (choice === undefined)
    throw new UsageError(`Cannot read ${flag} "${text}": choose from ${choices.join(", ")}`);
  return choice;
}

function parseCount(flag: string, text: string, least: number): number {
  const count = Number(text);
  if (!/^\d+$/.test(text) || count < least || !Number.isSafeInteger(count))
    throw new UsageError(`Cannot read ${flag} "${text}": give a whole number from ${least}`);
  return count;
}
