/** The signals of a finished run, collected from what lies in its folder. */

import { action, UsageError } from "../../base/core/index.ts";
import { type Tally, toShare } from "../../base/statistics/index.ts";
import { type CheckpointResult, openRunFolder, type RunFolder, type Summary } from "../../run/index.ts";
import { rankSignals, type Signal, type SignalRanking } from "../../tasks/trajectory/index.ts";
import { readOutcome, toOutcome } from "./summarize.ts";

/**
 * Ranks what could be known of a run's SFT without OOD labels, by the regret of stopping where each says. Throws `UsageError` for
 * a run with fewer than three evaluated SFT checkpoints.
 */
export async function rankRunSignals(path: string): Promise<SignalRanking> {
  const folder = await openRunFolder(path);
  const summary = await readOutcome(folder);
  const checkpoints = summary.checkpoints
    .filter(({ stage }) => stage === "sft")
    .sort((a, b) => a.step - b.step);
  if (checkpoints.length < 3) throw await describeTooFew(folder, checkpoints.length);
  const outcomes = await Promise.all(
    checkpoints.map(async (entry) => toOutcome({ entry, items: await folder.readEvaluation(entry.id) })),
  );
  const signals = [
    ...listEvaluated(checkpoints),
    ...(await listLogged(folder, checkpoints)),
    ...listWeights(summary, checkpoints),
  ];
  return rankSignals(outcomes, signals);
}

/** What to do where too few SFT checkpoints are evaluated: evaluate the others, where there are any. */
async function describeTooFew({ path, readLineage }: RunFolder, numEvaluated: number): Promise<UsageError> {
  const numThere = (await readLineage()).filter(({ stage }) => stage === "sft").length;
  const way =
    numThere < 3
      ? `there are only ${numThere}, so keep more of them while training`
      : `evaluate them with: ${action("evaluate", path)}`;
  return new UsageError(
    `Cannot rank signals of "${path}": it has ${numEvaluated} evaluated SFT checkpoints, and takes 3; ${way}`,
  );
}

/** What evaluation on ID tasks says. */
function listEvaluated(checkpoints: readonly CheckpointResult[]): readonly Signal[] {
  return [
    { name: "ID accuracy", rule: "highest", values: checkpoints.map(({ accuracy }) => toShare(accuracy.id)) },
    { name: "ID loss", rule: "lowest", values: checkpoints.map(({ loss }) => loss.id ?? undefined) },
    {
      name: "ID format errors",
      rule: "lowest",
      values: checkpoints.map(({ format }) => errorShare(format.id)),
    },
    // Needs OOD questions, but no answers to them.
    {
      name: "OOD format errors",
      rule: "lowest",
      values: checkpoints.map(({ format }) => errorShare(format.ood)),
    },
  ];
}

/** Absent where nobody looked at formats: another tool graded. */
function errorShare(format: Tally): number | undefined {
  return format.total === 0 ? undefined : 1 - toShare(format);
}

/** Metrics of training, by their names in a run and here. */
const logged: Readonly<Record<string, string>> = {
  "training loss": "loss",
  "evaluation loss of the trainer": "evaluationLoss",
  "gradient norm": "gradientNorm",
  "KL to the start": "klToStart",
};

/** Steps before a checkpoint over which training metrics are averaged: single batches are noise. */
const windowSteps = 10;

async function listLogged(
  folder: RunFolder,
  checkpoints: readonly CheckpointResult[],
): Promise<readonly Signal[]> {
  const lines = await folder.readMetrics("sft");
  return Object.entries(logged).map(([name, key]) => ({
    name,
    rule: name.startsWith("KL") ? ("knee" as const) : ("lowest" as const),
    values: checkpoints.map(({ step: at }) => {
      const near = lines.flatMap((line) => {
        const { step, [key]: value } = line;
        return typeof step === "number" && typeof value === "number" && step <= at && step > at - windowSteps
          ? [value]
          : [];
      });
      return near.length === 0 ? undefined : near.reduce((sum, value) => sum + value, 0) / near.length;
    }),
  }));
}

/** What the weights say: they only move away, so that a knee is the only place to stop. */
function listWeights(
  { spectra, checkpoints: all }: Summary,
  checkpoints: readonly CheckpointResult[],
): readonly Signal[] {
  const base = all.find(({ stage }) => stage === "base")?.id;
  const pairs = new Map(
    spectra?.pairs.filter(({ before }) => before === base).map((pair) => [pair.after, pair]),
  );
  const measure = (
    read: (pair: NonNullable<Summary["spectra"]>["pairs"][number]) => number | undefined,
  ): readonly (number | undefined)[] =>
    checkpoints.map(({ id }) => {
      const pair = pairs.get(id);
      return pair === undefined ? undefined : read(pair);
    });
  return [
    {
      name: "distance of the weights to the base",
      rule: "knee",
      values: measure(({ relativeUpdate }) => relativeUpdate?.median),
    },
    {
      name: "rotation of the weights from the base",
      rule: "knee",
      values: measure(({ rotation }) => rotation?.median),
    },
    {
      name: "shift of singular values from the base",
      rule: "knee",
      values: measure(({ spectralShift }) => spectralShift?.median),
    },
  ];
}
