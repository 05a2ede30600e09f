/** Sweeps: repairs of a checkpoint of a run, evaluated on the run's own tasks, beside their controls. */
import { UsageError } from "../../base/core/index.ts";
import type { Effects } from "../../base/progress/index.ts";
import { HandedOverError, type JobPlace } from "../../cluster/dispatch/index.ts";
import { isDetached } from "../../cluster/executor/index.ts";
import type { RunFolder, SweepPlan, SweepRecord, TrajectoryRecord } from "../../run/index.ts";
import { type Answerer, answerMissing, type RepairSubject } from "../answer/index.ts";
import { listPoints, readTensors, type SweepPoint } from "../edit/index.ts";
import { describePoints, pointKey } from "./describe-sweep.ts";
import { type Ends, findEnds } from "./find-ends.ts";

/** Where sweeps of a run are carried out. */
export interface SweepOptions {
  readonly folder: RunFolder;
  readonly trajectory: TrajectoryRecord;
  readonly answerer: Answerer;
  /** Who carries it out. Default: this process. */
  readonly job?: JobPlace | undefined;
  readonly effects: Effects;
}

/** A repair, and the subject that answers as it. */
interface PlannedPoint {
  readonly point: SweepPoint;
  readonly subject: RepairSubject;
}

/**
 * Carries out a sweep; what was evaluated before is read, not evaluated again. Repairs that the answerer cannot answer for
 * are left out, which is told. Throws `UsageError` where the run does not have the checkpoints, and `StoppedError`.
 */
export async function runSweep(plan: SweepPlan, options: SweepOptions): Promise<SweepRecord> {
  const { folder, trajectory } = options;
  const ends = findEnds(plan, { lineage: await folder.readLineage(), trajectory });
  if ("problem" in ends) throw new UsageError(`Cannot sweep "${folder.path}": ${ends.problem}`);
  const planned = await choosePoints(plan, ends, options);
  await evaluatePoints(plan, planned, options);
  const points = planned.map(({ point }) => point);
  const kept = points.map((point) => keepControls(point, points));
  const record = await describePoints(kept, { plan, ends, folder });
  await folder.writeSweep(record);
  return record;
}

/** The repairs of a sweep that the answerer can answer for. */
async function choosePoints(
  plan: SweepPlan,
  ends: Ends,
  { folder, answerer, effects }: SweepOptions,
): Promise<readonly PlannedPoint[]> {
  const place = ({ id, path }: Ends["target"]): RepairSubject["target"] => ({
    id,
    path: folder.locate(path),
  });
  const [target, source] = [place(ends.target), place(ends.source)];
  const tensors = { target: await readTensors(target.path), source: await readTensors(source.path) };
  const all = listPoints(plan, tensors).map((point): PlannedPoint => {
    const { name: id, role, operation } = point;
    const named = { id, sweep: plan.name, key: pointKey(point, ends) };
    const isIdentity = role === "identity";
    return { point, subject: { kind: "repair", ...named, target, source, operation, isIdentity } };
  });
  const chosen = new Set(await answerer.choose(all.map(({ subject }) => subject)));
  const planned = all.filter(({ subject }) => chosen.has(subject));
  if (planned.length < all.length)
    effects.report({
      kind: "notice",
      text: `${all.length - planned.length} of ${all.length} repairs of the sweep ${plan.name} are no low-rank additions and cannot be adapters; they are left out`,
    });
  return planned;
}

async function evaluatePoints(
  { name }: SweepPlan,
  planned: readonly PlannedPoint[],
  { folder, answerer, job, effects }: SweepOptions,
): Promise<void> {
  await answerMissing(
    {
      kind: "sweep",
      folder,
      subjects: planned.map(({ subject }) => subject),
      isKept: ({ key }) => folder.hasRepair(name, key),
      readKept: async ({ key }) => ({ ms: 0, ...(await folder.readRepair(name, key)) }),
      keep: async ({ id, key }, { items, moved }) => {
        if (moved === undefined)
          throw new RangeError(`Cannot keep the repair ${id}: nothing says how far it moved`);
        await folder.writeRepair(name, key, { moved, items });
      },
      nothingMissing: `All repairs of the sweep ${name} are evaluated: nothing would be submitted`,
    },
    { answerer, job, effects },
  );
}

/** A point without those of its controls that were left out. */
function keepControls(point: SweepPoint, points: readonly SweepPoint[]): SweepPoint {
  if (point.controls === undefined) return point;
  const names = new Set(points.map(({ name }) => name));
  return { ...point, controls: point.controls.filter((name) => names.has(name)) };
}

/**
 * The sweeps that a recipe asks for, for which its run has the checkpoints; the others are left out, which is told.
 */
export async function runRecipeSweeps(options: SweepOptions): Promise<readonly SweepRecord[]> {
  const { folder, trajectory, effects, job } = options;
  const { sweeps } = folder.recipe;
  const plans: SweepPlan[] = [];
  for (const plan of sweeps === false ? [] : sweeps) {
    const ends = findEnds(plan, { lineage: await folder.readLineage(), trajectory });
    if ("problem" in ends)
      effects.report({ kind: "notice", text: `The sweep ${plan.name} is left out: ${ends.problem}` });
    else plans.push(plan);
  }
  // A cluster is given all of them before one is waited for.
  if (plans.length > 1 && job?.mode === "follow" && isDetached(job.executor))
    await runSweeps(plans, { ...options, job: { ...job, mode: "detach" } });
  const { records, handedOver } = await runSweeps(plans, options);
  if (handedOver.length > 0)
    throw new HandedOverError(
      handedOver.map(({ message }) => message).join("\n"),
      handedOver.flatMap(({ jobs }) => jobs),
    );
  return records;
}

/** Carries out sweeps, and says of which there is no record yet. */
async function runSweeps(
  plans: readonly SweepPlan[],
  options: SweepOptions,
): Promise<{ readonly records: readonly SweepRecord[]; readonly handedOver: readonly HandedOverError[] }> {
  const [records, handedOver]: [SweepRecord[], HandedOverError[]] = [[], []];
  for (const plan of plans)
    try {
      records.push(await runSweep(plan, options));
    } catch (error) {
      if (!(error instanceof HandedOverError)) throw error;
      handedOver.push(error);
    }
  return { records, handedOver };
}
