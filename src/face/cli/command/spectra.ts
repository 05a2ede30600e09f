/** `untwist spectra`: what changed in the weights between two checkpoints, or along a run. */
import { Command } from "commander";
import type { Effects } from "../../../base/progress/index.ts";
import { compareCheckpoints, defaultRanks, writeSpectra } from "../../../lab/comparison/index.ts";
import { describePair, totalSparsity } from "../../../weights/spectra/index.ts";
import { withEffects } from "../flag/effects.ts";
import type { Invocation } from "../flag/invocation.ts";
import { addJobFlags, unlessHandedOver } from "../flag/job-flags.ts";
import { requireFree } from "../flag/out-folder.ts";
import { chooseMachine, parseChoice, requireComplete, type SpectraFlags } from "../flag/spectra-flags.ts";
import { createOutput } from "../output.ts";
import { formatPairSpectra } from "../screen/spectra-screen.ts";

const examples = `
Examples:
  untwist spectra runs/general-points                                every checkpoint against base, SFT peak, SFT end
  untwist spectra BEFORE AFTER                                       two Hugging Face checkpoint folders
  untwist spectra BEFORE AFTER --rank 64,256 --matrices 'q_proj,k_proj' --layers 0-3,31
  untwist spectra BEFORE AFTER --out changed                         Parquet tables and JSON into changed/
  untwist spectra BEFORE AFTER --rank 256 --randomized 1             leading directions only, quick and approximate
  untwist spectra runs/mine --on slurm --set partition=cpu           on a cluster: docs/cluster.md`;

/** `untwist spectra`: its arguments, flags and help, and the action that carries it out. */
export function createSpectraCommand(invocation: Invocation): Command {
  const command = new Command()
    .argument("<before>", "a checkpoint folder, or a run (then leave <after> out)")
    .argument("[after]", "a checkpoint folder")
    .option(
      "--rank <list>",
      `ranks of the subspaces to compare, separated by commas (default: ${defaultRanks.join(",")}; of a run, its recipe's)`,
    )
    .option(
      "--matrices <patterns>",
      "only tensors of these kinds or names; * stands for any characters, a ! in front leaves them out",
    )
    .option("--layers <ranges>", "only these layers, as in 0-3,7")
    .option("--randomized <seed>", "find the leading directions by seeded random projections")
    .option(
      "--out <folder>",
      "write Parquet tables and spectra.json into this folder (default: a run's own, for the recipe's choice)",
    )
    .option("--strict", "exit with code 2 where not all that was asked for could be compared")
    .addHelpText("after", examples)
    .action((before: string, after: string | undefined, flags: SpectraFlags) =>
      unlessHandedOver(flags, () => run(before, after, { flags, invocation })),
    );
  return addJobFlags(command).option("--json", "print the result as JSON");
}

async function run(
  before: string,
  after: string | undefined,
  { flags, invocation }: { readonly flags: SpectraFlags; readonly invocation: Invocation },
): Promise<void> {
  const choice = { ...parseChoice(flags, defaultRanks), ...(await chooseMachine(flags, invocation)) };
  if (flags.out !== undefined) await requireFree(flags.out);
  if (after === undefined) {
    // Two folders are compared without what only runs need.
    const { showRunSpectra } = await import("./spectra-of-run.ts");
    return await showRunSpectra(before, flags, invocation);
  }
  const pair = await withEffects((effects: Effects) =>
    compareCheckpoints({ before, after }, choice, effects),
  );
  const headline = describePair(pair);
  const sparsity = totalSparsity(pair);
  const { matrices, vectors } = pair;
  const value = { ...headline, settings: choice.settings, sparsity, matrices, vectors };
  if (flags.out !== undefined) await writeSpectra(flags.out, [pair], value);
  const output = createOutput(flags);
  const written = flags.out === undefined ? [] : ["", `Written to ${flags.out}`];
  output.print([...formatPairSpectra(pair, output), ...written], value);
  if (flags.strict === true) requireComplete([headline]);
}
