/** Repair grids: repairs of a checkpoint of a run, evaluated on the run's own tasks, beside their controls. */
import { UsageError } from "../../base/core/index.ts";
import type { Effects } from "../../base/progress/index.ts";
import { HandedOverError, type JobOptions } from "../../cluster/dispatch/index.ts";
import { isDetached } from "../../cluster/executor/index.ts";
import type { RepairGrid, RepairRecord, RunFolder, TrajectoryRecord } from "../../run/index.ts";
import { type Answerer, answerMissing, type RepairSubject } from "../answer/index.ts";
import { type GridPoint, listPoints, readTensors } from "../edit/index.ts";
import { describePoints, pointKey } from "./describe-repairs.ts";
import { type Ends, findEnds } from "./find-ends.ts";

/** Where repair grids of a run are carried out. */
export interface RepairOptions {
  readonly folder: RunFolder;
  readonly trajectory: TrajectoryRecord;
  readonly answerer: Answerer;
  /** Who carries it out. Default: this process. */
  readonly job?: JobOptions | undefined;
  readonly effects: Effects;
}

/** A repair, and the subject that answers as it. */
interface PlannedPoint {
  readonly point: GridPoint;
  readonly subject: RepairSubject;
}

/**
 * Carries out a repair grid; what was evaluated before is read, not evaluated again. Repairs that the answerer cannot answer for
 * are left out, which is reported. Throws `UsageError` where the run does not have the checkpoints, and `StoppedError`.
 */
export async function runRepairGrid(plan: RepairGrid, options: RepairOptions): Promise<RepairRecord> {
  const { folder, trajectory } = options;
  const ends = findEnds(plan, { lineage: await folder.readLineage(), trajectory });
  if ("problem" in ends) throw new UsageError(`Cannot try repairs on "${folder.path}": ${ends.problem}`);
  const planned = await choosePoints(plan, ends, options);
  await evaluatePoints(plan, planned, options);
  const points = planned.map(({ point }) => point);
  const kept = points.map((point) => keepControls(point, points));
  const record = await describePoints(kept, { plan, ends, folder });
  await folder.writeRepairRecord(record);
  return record;
}

/** The repairs of a repair grid that the answerer can answer for. */
async function choosePoints(
  plan: RepairGrid,
  ends: Ends,
  { folder, answerer, effects }: RepairOptions,
): Promise<readonly PlannedPoint[]> {
  const place = ({ id, path }: Ends["target"]): RepairSubject["target"] => ({
    id,
    path: folder.locate(path),
  });
  const [target, source] = [place(ends.target), place(ends.source)];
  const tensors = { target: await readTensors(target.path), source: await readTensors(source.path) };
  const all = listPoints(plan, tensors).map((point): PlannedPoint => {
    const { name: id, role, operation } = point;
    const named = { id, grid: plan.name, key: pointKey(point, ends) };
    const isIdentity = role === "identity";
    return { point, subject: { kind: "repair", ...named, target, source, operation, isIdentity } };
  });
  const chosen = new Set(await answerer.choose(all.map(({ subject }) => subject)));
  const planned = all.filter(({ subject }) => chosen.has(subject));
  if (planned.length < all.length)
    effects.report({
      kind: "notice",
      text: `${all.length - planned.length} of ${all.length} repairs of the repair grid ${plan.name} are not low-rank additions and cannot be adapters; they are left out`,
    });
  return planned;
}

async function evaluatePoints(
  { name }: RepairGrid,
  planned: readonly PlannedPoint[],
  { folder, answerer, job, effects }: RepairOptions,
): Promise<void> {
  await answerMissing(
    {
      kind: "repair",
      folder,
      subjects: planned.map(({ subject }) => subject),
      isKept: ({ key }) => folder.hasRepair(name, key),
      readKept: async ({ key }) => ({ ms: 0, ...(await folder.readRepair(name, key)) }),
      keep: async ({ id, key }, { items, moved }) => {
        if (moved === undefined)
          throw new RangeError(`Cannot keep the repair ${id}: nothing says how far it moved`);
        await folder.writeRepair(name, key, { moved, items });
      },
      nothingMissing: `All repairs of the repair grid ${name} are evaluated: nothing would be submitted`,
    },
    { answerer, job, effects },
  );
}

/** A point without those of its controls that were left out. */
function keepControls(point: GridPoint, points: readonly GridPoint[]): GridPoint {
  if (point.controls === undefined) return point;
  const names = new Set(points.map(({ name }) => name));
  return { ...point, controls: point.controls.filter((name) => names.has(name)) };
}

/**
 * The repair grids that a recipe asks for, for which its run has the checkpoints; the others are left out, which is reported.
 */
export async function runRecipeRepairs(options: RepairOptions): Promise<readonly RepairRecord[]> {
  const { folder, trajectory, effects, job } = options;
  const { repairs } = folder.recipe;
  const plans: RepairGrid[] = [];
  for (const plan of repairs === false ? [] : repairs) {
    const ends = findEnds(plan, { lineage: await folder.readLineage(), trajectory });
    if ("problem" in ends)
      effects.report({ kind: "notice", text: `The repair grid ${plan.name} is left out: ${ends.problem}` });
    else plans.push(plan);
  }
  // A cluster is given all of them before one is waited for.
  if (plans.length > 1 && job?.mode === "follow" && isDetached(job.executor))
    await runGrids(plans, { ...options, job: { ...job, mode: "detach" } });
  const { records, handedOver } = await runGrids(plans, options);
  if (handedOver.length > 0)
    throw new HandedOverError(
      handedOver.map(({ message }) => message).join("\n"),
      handedOver.flatMap(({ jobs }) => jobs),
    );
  return records;
}

/** Carries out repair grids, and says of which there is no record yet. */
async function runGrids(
  plans: readonly RepairGrid[],
  options: RepairOptions,
): Promise<{ readonly records: readonly RepairRecord[]; readonly handedOver: readonly HandedOverError[] }> {
  const [records, handedOver]: [RepairRecord[], HandedOverError[]] = [[], []];
  for (const plan of plans)
    try {
      records.push(await runRepairGrid(plan, options));
    } catch (error) {
      if (!(error instanceof HandedOverError)) throw error;
      handedOver.push(error);
    }
  return { records, handedOver };
}
