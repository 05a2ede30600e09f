/** The checkpoints that a repair grid names: by their ids, or by what they are in a run. */
import { type LineageEntry, milestones, type RepairGrid, type TrajectoryRecord } from "../../run/index.ts";

/** The checkpoints that a repair grid is about. */
export interface Ends {
  readonly target: LineageEntry;
  readonly source: LineageEntry;
}

/**
 * The checkpoints a repair grid names, or in words why there are none: a milestone that the run does not have, or both ends being
 * one checkpoint, leave nothing to repair.
 */
export function findEnds(
  plan: RepairGrid,
  run: { readonly lineage: readonly LineageEntry[]; readonly trajectory: TrajectoryRecord },
): Ends | { readonly problem: string } {
  const [target, source] = [findCheckpoint(plan.target, run), findCheckpoint(plan.source, run)];
  if (target === undefined) return { problem: describeAbsence(plan.target, run) };
  if (source === undefined) return { problem: describeAbsence(plan.source, run) };
  if (target.id === source.id) return { problem: `target and source are the same checkpoint, ${target.id}` };
  return { target, source };
}

type Milestone = (typeof milestones)[number];

function findCheckpoint(
  name: string,
  {
    lineage,
    trajectory,
  }: { readonly lineage: readonly LineageEntry[]; readonly trajectory: TrajectoryRecord },
): LineageEntry | undefined {
  const ids: Readonly<Record<Milestone, string | undefined>> = {
    base: lineage.find(({ stage }) => stage === "base")?.id,
    peak: trajectory.peak.checkpoint,
    "sft-end": trajectory.sftEnd.checkpoint,
    "rl-end": trajectory.rlEnd?.checkpoint,
    "rl-recovered": findRecovered(trajectory),
  };
  const milestone = milestones.find((one) => one === name);
  const id = milestone === undefined ? name : ids[milestone];
  return lineage.find((entry) => entry.id === id);
}

function describeAbsence(name: string, { lineage }: { readonly lineage: readonly LineageEntry[] }): string {
  if (name === "rl-recovered") return "no RL branch clearly recovered anything";
  if (name === "rl-end") return "the run has no RL branch";
  const ids = lineage.map(({ id }) => id);
  const hasBranch = lineage.some(({ stage }) => stage === "rl");
  const known = milestones.filter((one) => hasBranch || !one.startsWith("rl-"));
  const others = [...new Set([...known, ...ids])].filter((one) => one !== name);
  return `the run has no checkpoint "${name}"; choose from ${others.join(", ")}`;
}

/** The end of the branch with the largest gain among those that recovered anything at all. */
function findRecovered({ branches }: TrajectoryRecord): string | undefined {
  const recovered = branches.filter(({ recovery }) => recovery !== null && recovery.low > 0);
  const [best] = recovered.sort((a, b) => b.gain.estimate - a.gain.estimate);
  return best?.end.checkpoint;
}
