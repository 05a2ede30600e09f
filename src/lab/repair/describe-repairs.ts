/** The record of a grid, put together from what lies in the run's folder. */
import { createHash } from "node:crypto";
import { requireItem } from "../../base/core/index.ts";
import {
  type ItemRecord,
  isFollowed,
  type LineageEntry,
  type RepairGrid,
  type RepairRecord,
  type RunFolder,
  schemaVersion,
} from "../../run/index.ts";
import {
  type CheckpointOutcome,
  countSolved,
  describeRepairs,
  measureRepairs,
} from "../../tasks/trajectory/index.ts";
import { identifyOperation } from "../../weights/surgery/index.ts";
import type { GridPoint } from "../edit/index.ts";
import { toOutcome } from "../outcome/index.ts";
import type { Ends } from "./find-ends.ts";

/** The name of a point's file within a run: a hash of the checkpoints and of what is done. */
export function pointKey({ operation }: GridPoint, { target, source }: Ends): string {
  const text = JSON.stringify([schemaVersion, target.id, source.id, identifyOperation(operation)]);
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

/** The record of a repair grid from what lies in the run's folder. */
export async function describePoints(
  points: readonly GridPoint[],
  { plan, ends, folder }: { readonly plan: RepairGrid; readonly ends: Ends; readonly folder: RunFolder },
): Promise<RepairRecord> {
  const outcomeOf = async (entry: LineageEntry): Promise<CheckpointOutcome> =>
    toOutcome({ entry, items: await folder.readEvaluation(entry.id) });
  const [target, source] = [await outcomeOf(ends.target), await outcomeOf(ends.source)];
  const repairs: {
    readonly point: GridPoint;
    readonly moved: number;
    readonly items: readonly ItemRecord[];
  }[] = [];
  for (const point of points)
    repairs.push({ point, ...(await folder.readRepair(plan.name, pointKey(point, ends))) });
  const outcomes = repairs.map(({ point, items }) => ({
    name: point.name,
    isCandidate: point.role === "edit",
    solved: toOutcome({ entry: ends.target, items }).solved,
  }));
  const measured = measureRepairs(outcomes, { source, target }, { seed: folder.record.seed });
  const named = { name: plan.name, target: ends.target.id, source: ends.source.id };
  const record: Omit<RepairRecord, "sentences"> = {
    schema: schemaVersion,
    ...named,
    ...(isFollowed(folder.recipe) && {
      paths: { target: folder.locate(ends.target.path), source: folder.locate(ends.source.path) },
    }),
    ends: { target: countEnd(target), source: countEnd(source) },
    repairs: measured.repairs.map(({ recovered, ...measure }, index) => {
      const { point, moved } = requireItem(repairs, index);
      const { role, operation, controls } = point;
      return {
        ...measure,
        recovered: recovered ?? null,
        role,
        moved: Number(moved.toPrecision(6)),
        operation,
        ...(controls !== undefined && { controls: [...controls] }),
      };
    }),
    best:
      measured.best === undefined ? null : { ...measured.best, recovered: measured.best.recovered ?? null },
  };
  return { ...record, sentences: [...describeRepairs(record)] };
}

function countEnd({ solved }: CheckpointOutcome): RepairRecord["ends"]["target"] {
  const count = (items: readonly (boolean | number)[]): { correct: number; total: number } => ({
    correct: countSolved(items),
    total: items.length,
  });
  return { id: count(solved.id), ood: count(solved.ood) };
}
