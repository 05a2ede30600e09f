/** `untwist spectra RUN`: what changed in the weights along a run. */
import { UsageError } from "../../../base/core/index.ts";
import { folderExists } from "../../../base/file/index.ts";
import type { Effects } from "../../../base/progress/index.ts";
import { defaultRanks, examineRun, renewSpectra, writeSpectra } from "../../../lab/comparison/index.ts";
import { isRunFolder, openRunFolder } from "../../../run/index.ts";
import { describePair } from "../../../weights/spectra/index.ts";
import { withEffects } from "../flag/effects.ts";
import type { Invocation } from "../flag/invocation.ts";
import { chooseMachine, parseChoice, requireComplete, type SpectraFlags } from "../flag/spectra-flags.ts";
import { createOutput } from "../output.ts";
import { formatRunSpectra } from "../screen/spectra-screen.ts";

/** Compares the checkpoints of a run, and shows the result. Throws `UsageError` for a folder that is not a run. */
export async function showRunSpectra(
  path: string,
  flags: SpectraFlags,
  invocation: Invocation,
): Promise<void> {
  if (!(await folderExists(path)))
    throw new UsageError(
      `Cannot compare "${path}": there is no such folder; give the folder of a run or checkpoint`,
    );
  if (!(await isRunFolder(path)))
    throw new UsageError(
      `Cannot compare "${path}" with nothing: it is not a run; give a second checkpoint folder, or the folder of a run`,
    );
  const { recipe } = await openRunFolder(path);
  const ranks = recipe.spectra === false ? defaultRanks : recipe.spectra.ranks;
  const choice = { ...parseChoice(flags, ranks), ...(await chooseMachine(flags, invocation)) };
  // A partial look must not take the place of what the run says of itself.
  const isWhole = [flags.rank, flags.matrices, flags.layers, flags.randomized, flags.out].every(
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
