/** `untwist spectra`: what changed in the weights between two checkpoints, or along a run. */
import { Command } from "commander";
import { UsageError } from "../../../base/core/index.ts";
import { folderExists } from "../../../base/file/index.ts";
import type { Effects } from "../../../base/progress/index.ts";
import { parseSize } from "../../../cluster/executor/index.ts";
import {
  compareCheckpoints,
  defaultRanks,
  examineRun,
  renewSpectra,
  type SpectraChoice,
  writeSpectra,
} from "../../../lab/comparison/index.ts";
import { isRunFolder, openRunFolder } from "../../../run/index.ts";
import { parseLayers, parsePatterns } from "../../../weights/checkpoint/index.ts";
import {
  describePair,
  type PairHeadline,
  type TensorLabel,
  totalSparsity,
} from "../../../weights/spectra/index.ts";
import { withEffects } from "../flag/effects.ts";
import type { Invocation } from "../flag/invocation.ts";
import { addJobFlags, type JobFlags, parsePlace, unlessHandedOver } from "../flag/job-flags.ts";
import { requireFree } from "../flag/out-folder.ts";
import { createOutput } from "../output.ts";
import { formatPairSpectra, formatRunSpectra } from "../screen/spectra-screen.ts";

interface SpectraFlags extends JobFlags {
  readonly rank?: string;
  readonly matrices?: string;
  readonly layers?: string;
  readonly randomised?: string;
  readonly out?: string;
  readonly strict?: boolean;
  readonly json?: boolean;
}

const examples = `
Examples:
  untwist spectra runs/general-points                                every checkpoint against base, SFT peak, SFT end
  untwist spectra BEFORE AFTER                                       two Hugging Face checkpoint folders
  untwist spectra BEFORE AFTER --rank 64,256 --matrices 'q_proj,k_proj' --layers 0-3,31
  untwist spectra BEFORE AFTER --out changed                         Parquet tables and JSON into changed/
  untwist spectra BEFORE AFTER --rank 256 --randomised 1             leading directions only, quick and approximate
  untwist spectra runs/mine --on slurm --set partition=cpu            on a cluster: docs/cluster.md`;

/** The command. */
export function createSpectraCommand(invocation: Invocation): Command {
  const command = new Command("spectra")
    .description(
      "say what changed in the weights: singular values, directions, updates, sparsity, beside what chance would give",
    )
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
    .option("--randomised <seed>", "find the leading directions by seeded random projections")
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
  if (after === undefined) return await showRun(before, flags, invocation);
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

/** Throws `UsageError` where something that was asked for could not be compared. */
function requireComplete(pairs: readonly Pick<PairHeadline, "before" | "after" | "coverage">[]): void {
  const partial = pairs.find(({ coverage }) => !coverage.isComplete);
  if (partial === undefined) return;
  const { before, after, coverage } = partial;
  const [first] = coverage.unmatched;
  const example = first === undefined ? "" : `, as "${first.name}" is ${first.reason}`;
  throw new UsageError(
    `Not all of "${before}" and "${after}" could be compared${example}; leave tensors out by --matrices '!NAME', or leave --strict out`,
  );
}

async function showRun(path: string, flags: SpectraFlags, invocation: Invocation): Promise<void> {
  if (!(await folderExists(path)))
    throw new UsageError(
      `Cannot compare "${path}": there is no such folder; give the folder of a run or checkpoint`,
    );
  if (!(await isRunFolder(path)))
    throw new UsageError(
      `Cannot compare "${path}" with nothing: it is no run; give a second checkpoint folder, or the folder of a run`,
    );
  const { recipe } = await openRunFolder(path);
  const ranks = recipe.spectra === false ? defaultRanks : recipe.spectra.ranks;
  const choice = { ...parseChoice(flags, ranks), ...(await chooseMachine(flags, invocation)) };
  // A partial look must not take the place of what the run says of itself.
  const isWhole = [flags.rank, flags.matrices, flags.layers, flags.randomised, flags.out].every(
    (flag) => flag === undefined,
  );
  const compute = isWhole ? renewSpectra : examineRun;
  const { pairs, record } = await withEffects((effects: Effects) => compute(path, choice, effects));
  if (flags.out !== undefined) await writeSpectra(flags.out, pairs, record);
  const output = createOutput(flags);
  const place = isWhole ? `${path}/spectra` : flags.out;
  const written =
    place === undefined ? "Nothing was written; --out keeps tables of such a choice" : `Written to ${place}`;
  output.print([...formatRunSpectra(record, output), "", written], record);
  if (flags.strict === true) requireComplete(pairs.map(describePair));
}

/** Where the work is done, and what of this machine it may take. */
async function chooseMachine(
  flags: SpectraFlags,
  invocation: Invocation,
): Promise<Pick<SpectraChoice, "place" | "bytes">> {
  const { memory } = flags;
  return {
    // In this process, too, memory has a limit.
    place: await parsePlace(flags.on === undefined ? { ...flags, memory: undefined } : flags, invocation),
    ...(memory !== undefined && { bytes: parseSize("--memory", memory) }),
  };
}

function parseChoice(
  { rank, matrices, layers, randomised }: SpectraFlags,
  usualRanks: readonly number[],
): SpectraChoice {
  const isKind = matrices === undefined ? () => true : parsePatterns(matrices);
  const isLayer = layers === undefined ? undefined : parseLayers(layers);
  const isWanted = ({ name, layer }: TensorLabel): boolean =>
    isKind(name) && (isLayer === undefined || (layer !== undefined && isLayer(layer)));
  const seed = randomised === undefined ? {} : { randomisedSeed: parseSeed(randomised) };
  const ranks = rank === undefined ? usualRanks : parseRanks(rank);
  return { settings: { ranks: [...new Set(ranks)].sort((a, b) => a - b), ...seed }, isWanted };
}

function parseRanks(text: string): readonly number[] {
  if (/^ *[1-9]\d{0,8} *(, *[1-9]\d{0,8} *)*$/.test(text)) return text.split(",").map(Number);
  throw new UsageError(`Cannot read --rank "${text}": give whole numbers from 1, separated by commas`);
}

function parseSeed(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new UsageError(`Cannot read --randomised "${text}": give a whole number from 0`);
}
