/** A run as pages show it: its outcome, finished or so far, and everything that a report holds of it. */
import { z } from "zod";
import { action, quoteForShell, UsageError } from "../../base/core/index.ts";
import type { Machine } from "../../base/machine/index.ts";
import { readOverlaps } from "../../lab/factor/index.ts";
import { readFinished, summarize } from "../../lab/outcome/index.ts";
import { openRunFolder, type RunFolder, readSummaryOutline, type SummaryOutline } from "../../run/index.ts";
import { readAnswers } from "./answers.ts";
import type { ReportData, RunListing, RunView, Summary } from "./contract.ts";
import { readCurves } from "./curves.ts";
import { readPair, readWeights } from "./weights.ts";

interface Pair {
  readonly before: string;
  readonly after: string;
}

/** A run's outcome so far. */
export async function readRun(id: string, folder: RunFolder): Promise<RunView> {
  const finished = await readFinished(folder);
  return {
    id,
    path: quoteForShell(folder.path),
    isFinished: finished !== undefined && !(await folder.isWatched()),
    summary: finished ?? (await summarize(folder)),
    alerts: await readAlerts(folder),
  };
}

const watchSchema = z.object({ trainings: z.array(z.object({ alert: z.string().optional() })) });

async function readAlerts(folder: RunFolder): Promise<readonly string[]> {
  const watched = watchSchema.safeParse(await folder.readExtra("watch.json")).data?.trainings ?? [];
  return watched.flatMap(({ alert }) => alert ?? []);
}

/** A run in a list, from its summary alone where there is one: a folder may hold hundreds of runs. */
export async function readListing(id: string, path: string): Promise<RunListing> {
  const summary = await readSummaryOutline(path);
  if (summary !== undefined) return describeListing({ id, isFinished: true, summary });
  return describeListing(await readRun(id, await openRunFolder(path)));
}

/** A run in a list. */
export function describeListing({
  id,
  isFinished,
  summary,
}: Pick<RunView, "id" | "isFinished"> & { readonly summary: SummaryOutline }): RunListing {
  const { recipe, seed, checkpoints, trajectory } = summary;
  return {
    id,
    recipe,
    seed,
    isFinished,
    numCheckpoints: checkpoints.length,
    ...(trajectory !== null && {
      ood: {
        peak: (trajectory.peakAccuracy ?? trajectory.peak.ood).correct,
        end: trajectory.sftEnd.ood.correct,
        numTasks: trajectory.peak.ood.total,
      },
    }),
  };
}

/** Pairs of checkpoints that a report shows matrix by matrix: the others take a studio. */
const mostPairs = 12;

/** Everything that the pages of one run ask for, by path. Throws `UsageError` for a run without checkpoints. */
export async function collectReport(id: string, folder: RunFolder, machine: Machine): Promise<ReportData> {
  if ((await folder.readLineage()).length === 0)
    throw new UsageError(
      `Cannot report on "${folder.path}": it has no checkpoint yet; continue it with: ${action("resume", folder.path)}`,
    );
  const run = await readRun(id, folder);
  const weights = await readWeights(folder);
  const pairs = new Map<string, unknown>();
  for (const pair of choosePairs(run.summary, weights.pairs)) {
    const name = `${pair.before}/${pair.after}`;
    pairs.set(`pair/${name}`, await readPair(folder, pair));
    pairs.set(`overlaps/${name}`, await readOverlaps(folder, pair, machine));
  }
  return {
    run,
    runs: [describeListing(run)],
    curves: await readCurves(folder),
    weights,
    answers: await readAnswers(folder),
    ...Object.fromEntries(pairs),
  };
}

/** Peak to end first, then what follows from the peak, then from the base. */
function choosePairs({ trajectory }: Summary, pairs: readonly Pair[]): readonly Pair[] {
  if (trajectory === null) return pairs.slice(-mostPairs);
  const [peak, end] = [trajectory.peak.checkpoint, trajectory.sftEnd.checkpoint];
  const rank = ({ before, after }: Pair): number => {
    if (before === peak) return after === end ? 0 : 1;
    return before === end ? 2 : 3;
  };
  return [...pairs].sort((a, b) => rank(a) - rank(b)).slice(0, mostPairs);
}
