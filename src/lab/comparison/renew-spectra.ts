/** The spectra of a run computed again, as its recipe asks or in another way. */
import { UsageError } from "../../base/core/index.ts";
import type { Effects } from "../../base/progress/index.ts";
import { openRunFolder, withLock } from "../../run/index.ts";
import { readFinished, readOutcome, summarize } from "../outcome/index.ts";
import { computeRunSpectra, keepRunSpectra, type RunSpectra, type SpectraChoice } from "./run-spectra.ts";

/** Computes the spectra that the recipe asks for; the run's folder and, once it is finished, its summary hold them. */
export async function renewSpectra(
  path: string,
  choice: SpectraChoice,
  effects: Effects,
): Promise<RunSpectra> {
  const folder = await openRunFolder(path);
  return withLock(folder, async () => {
    const finished = await readFinished(folder);
    const { trajectory } = finished ?? (await summarize(folder));
    const computed = await computeRunSpectra(folder, { trajectory, choice }, effects);
    requireCompared(path, computed);
    await keepRunSpectra(folder, computed);
    if (finished !== undefined) await folder.writeSummary({ ...finished, spectra: computed.record });
    return computed;
  });
}

/** Computes the spectra of a run in another way than its recipe says; the run stays as it is. */
export async function examineRun(path: string, choice: SpectraChoice, effects: Effects): Promise<RunSpectra> {
  const folder = await openRunFolder(path);
  const { trajectory } = await readOutcome(folder);
  const computed = await computeRunSpectra(folder, { trajectory, choice }, effects);
  requireCompared(path, computed);
  return computed;
}

/** Throws `UsageError` for a run that has nothing to compare: an empty table would look like a result. */
function requireCompared(path: string, { pairs }: RunSpectra): void {
  if (pairs.length === 0)
    throw new UsageError(
      `Cannot compare checkpoints of "${path}": it has none beside the first; train on, or follow the checkpoints again once they are whole`,
    );
}
