/** From evaluations to the summary of a run: counts a checkpoint, and the trajectory's statistics. */

import { UsageError } from "../../base/core/index.ts";
import type { ItemRecord, Summary, TrajectoryRecord } from "../../run/index.ts";
import {
  isFollowed,
  type LineageEntry,
  type RunFolder,
  schemaVersion,
  statisticsVersion,
} from "../../run/index.ts";
import { aggregate, countIncomplete, solvedFraction } from "../../tasks/evaluation/index.ts";
import {
  type CheckpointOutcome,
  computeTrajectory,
  describeTrajectory,
} from "../../tasks/trajectory/index.ts";

/** A checkpoint and its answers. */
export interface EvaluatedCheckpoint {
  readonly entry: LineageEntry;
  readonly items: readonly ItemRecord[];
}

/** The summary of a run from the files in its folder. */
export async function summarize(folder: RunFolder): Promise<Summary> {
  const { record } = folder;
  const evaluated: EvaluatedCheckpoint[] = [];
  // Checkpoints of others are there before anything was asked; of our own, each is evaluated.
  for (const entry of await folder.readLineage())
    if (!isFollowed(folder.recipe) || (await folder.hasEvaluation(entry.id)))
      evaluated.push({ entry, items: await folder.readEvaluation(entry.id) });
  for (const checkpoint of evaluated) checkPaired(checkpoint, evaluated[0]);
  return {
    schema: schemaVersion,
    statistics: statisticsVersion,
    recipe: record.recipe,
    seed: record.seed,
    checkpoints: evaluated.map((one) => ({
      ...describeCheckpoint(one),
      ...(isFollowed(folder.recipe) && describeIncompleteness(one)),
    })),
    ...(isFollowed(folder.recipe) && folder.recipe.asking !== undefined && { asking: folder.recipe.asking }),
    trajectory: describeStatistics(evaluated, record.seed),
    timings: await folder.readTimings(),
    versions: record.versions,
  };
}

/** The summary that a finished run keeps, its statistics computed anew where they are of an earlier version; `undefined` of an unfinished run. */
export async function readFinished(folder: RunFolder): Promise<Summary | undefined> {
  const kept = await folder.readSummary();
  if (kept === undefined || kept.statistics === statisticsVersion) return kept;
  const { statistics, trajectory } = await summarize(folder);
  return { ...kept, statistics, trajectory };
}

/** The same; of an unfinished run, as far as it is. */
export async function readOutcome(folder: RunFolder): Promise<Summary> {
  return (await readFinished(folder)) ?? (await summarize(folder));
}

/** Throws `UsageError` where two checkpoints were not given the same prompts: their answers cannot be compared. */
function checkPaired({ entry, items }: EvaluatedCheckpoint, first: EvaluatedCheckpoint | undefined): void {
  const name = ({ split, index, promptHash }: ItemRecord): string => `${split} ${index} ${promptHash}`;
  const expected = first?.items.map(name) ?? [];
  const isSame =
    items.length === expected.length && items.every((item, index) => name(item) === expected[index]);
  if (!isSame)
    throw new UsageError(
      `Cannot compare ${entry.id} with ${first?.entry.id}: they were not given the same tasks; start the run again with one version of untwist`,
    );
}

function describeCheckpoint({ entry, items }: EvaluatedCheckpoint): Summary["checkpoints"][number] {
  const [id, ood] = [aggregate(items, "id"), aggregate(items, "ood")];
  return {
    ...entry,
    accuracy: { id: id.solved, ood: ood.solved },
    format: { id: id.format, ood: ood.format },
    values: { id: id.values, ood: ood.values },
    loss: { id: id.loss, ood: ood.loss },
  };
}

/** Answers that did not come to their end, by split and outcome; nothing where there are none. */
function describeIncompleteness({
  items,
}: Pick<EvaluatedCheckpoint, "items">): Pick<Summary["checkpoints"][number], "incomplete"> {
  const [id, ood] = [
    countIncomplete(aggregate(items, "id").outcomes),
    countIncomplete(aggregate(items, "ood").outcomes),
  ];
  return Object.keys({ ...id, ...ood }).length === 0 ? {} : { incomplete: { id, ood } };
}

/** Which items a checkpoint solved; fractions of those that were answered several times. */
export function toOutcome({ entry, items }: EvaluatedCheckpoint): CheckpointOutcome {
  const solved = (split: ItemRecord["split"]): number[] =>
    items.filter((item) => item.split === split).map(solvedFraction);
  const keys = (split: ItemRecord["split"]): string[] =>
    items.filter((item) => item.split === split).map(nameKey);
  return {
    ...entry,
    solved: { id: solved("id"), ood: solved("ood") },
    keys: { id: keys("id"), ood: keys("ood") },
  };
}

/** What an item belongs to: its group, or else only itself. */
function nameKey({ group, promptHash, index }: ItemRecord): string {
  return group === undefined ? `${promptHash} ${index}` : `group ${group}`;
}

/** Without the RL checkpoints that grew from one which is not evaluated (yet): a followed run is evaluated piece by piece. */
function keepConnected(evaluated: readonly EvaluatedCheckpoint[]): readonly EvaluatedCheckpoint[] {
  const parents = new Map(evaluated.map(({ entry }) => [entry.id, entry]));
  const isConnected = ({ stage, parent }: LineageEntry): boolean => {
    if (stage !== "rl" || parent === undefined) return true;
    const entry = parents.get(parent);
    return entry !== undefined && isConnected(entry);
  };
  return evaluated.filter(({ entry }) => isConnected(entry));
}

function describeStatistics(
  evaluated: readonly EvaluatedCheckpoint[],
  seed: number,
): TrajectoryRecord | null {
  const connected = keepConnected(evaluated);
  if (!connected.some(({ entry }) => entry.stage === "sft")) return null;
  const ood = connected[0]?.items.filter(({ split }) => split === "ood") ?? [];
  const oodChance = ood.reduce((sum, { chance = 0 }) => sum + chance, 0) / Math.max(1, ood.length);
  const trajectory = computeTrajectory(connected.map(toOutcome), { seed, oodChance });
  const { rlEnd, recovery, branches, mainBranch, otherPeak, plateau, ...rest } = trajectory;
  return {
    ...rest,
    plateau: [...plateau],
    ...(otherPeak !== undefined && { otherPeak }),
    ...(mainBranch !== undefined && { mainBranch }),
    rlEnd: rlEnd ?? null,
    recovery: recovery ?? null,
    branches: branches.map((branch) => ({ ...branch, recovery: branch.recovery ?? null })),
    sentences: describeTrajectory(trajectory),
  };
}

/** Summarizes a followed run anew; what its spectra and repair grids say stays. */
export async function renewSummary(folder: RunFolder): Promise<void> {
  const before = await folder.readSummary();
  const { spectra, repairs } = before ?? {};
  await folder.writeSummary({
    ...(await summarize(folder)),
    ...(spectra !== undefined && { spectra }),
    ...(repairs !== undefined && { repairs }),
  });
}
