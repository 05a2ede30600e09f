/** Sweeps: repairs of a checkpoint of a run, evaluated in memory on the run's own tasks, beside their controls. */
import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { requireItem, UsageError } from "../../base/core/index.ts";
import type { Effects } from "../../base/progress/index.ts";
import { createPhases } from "../../base/progress/index.ts";
import type { JobPlace } from "../../cluster/dispatch/index.ts";
import { carryOutJob, HandedOverError } from "../../cluster/dispatch/index.ts";
import { isDetached } from "../../cluster/executor/index.ts";
import {
  type ItemRecord,
  isFollowed,
  type LineageEntry,
  milestones,
  type RunFolder,
  type SweepPlan,
  type SweepRecord,
  schemaVersion,
  type TrajectoryRecord,
} from "../../run/index.ts";
import {
  type CheckpointOutcome,
  countSolved,
  describeSweep,
  measureSweep,
} from "../../tasks/trajectory/index.ts";
import type { LinearAlgebra } from "../../weights/linalg/index.ts";
import { identifyOperation } from "../../weights/surgery/index.ts";
import type { Workshop } from "../answer/index.ts";
import { answerTasks } from "../answer/index.ts";
import {
  type EditedModels,
  editParameters,
  listPoints,
  loadFactors,
  loadStoredModel,
  type SweepPoint,
} from "../edit/index.ts";
import { openBackend } from "../machine/index.ts";
import { toOutcome } from "../outcome/index.ts";
import { planSweepJob, readPieceRepair } from "./sweep-job.ts";

/** Where sweeps of a run are decided. */
export interface SweepPlace {
  readonly workshop: Workshop;
  readonly trajectory: TrajectoryRecord;
  /** Who answers for the repairs. Default: this process. */
  readonly job?: JobPlace | undefined;
}

/** The checkpoints that a sweep is about. */
export interface Ends {
  readonly target: LineageEntry;
  readonly source: LineageEntry;
}

/**
 * The checkpoints a sweep names, or in words why there are none: a milestone that the run does not have, or both ends being
 * one checkpoint, leave nothing to repair.
 */
export function findEnds(
  plan: SweepPlan,
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

/**
 * Carries out a sweep; what was evaluated before is read, not evaluated again. Throws `UsageError` where the run does not
 * have the checkpoints, and `StoppedError`.
 */
export async function runSweep(plan: SweepPlan, place: SweepPlace): Promise<SweepRecord> {
  const { folder, effects } = place.workshop;
  const lineage = await folder.readLineage();
  const ends = findEnds(plan, { lineage, trajectory: place.trajectory });
  if ("problem" in ends) throw new UsageError(`Cannot sweep "${folder.path}": ${ends.problem}`);
  const algebra = await openBackend(effects.machine);
  const [target, source] = [
    await loadStoredModel(folder.locate(ends.target.path)),
    await loadStoredModel(folder.locate(ends.source.path)),
  ];
  const points = listPoints(plan, { target: target.tensors, source: source.tensors });
  const missing = await listMissing(points, plan, { folder, ends });
  if (missing.length === 0 && place.job?.mode === "describe")
    throw new HandedOverError(
      `All repairs of the sweep ${plan.name} are evaluated: nothing would be submitted`,
      [],
    );
  const [preparing = effects, evaluating = effects] = createPhases(effects, [1, missing.length]);
  const load = async (): Promise<EditedModels["factors"]> =>
    await loadFactors(
      missing.map(({ operation }) => operation),
      { target, source },
      { algebra, effects: preparing },
    );
  if (missing.length > 0 && place.job !== undefined)
    await evaluateByJob(
      points,
      { ...place, job: place.job },
      { plan, ends, numParameters: target.parameters.length, load },
    );
  else if (missing.length > 0)
    await evaluatePoints(
      missing,
      { target, source, factors: await load() },
      { plan, ends, place, algebra, effects: evaluating },
    );
  const record = await describePoints(points, { plan, ends, folder });
  await folder.writeSweep(record);
  return record;
}

/**
 * The sweeps that a recipe asks for, for which its run has the checkpoints; the others are left out, which is told.
 */
export async function runRecipeSweeps(place: SweepPlace): Promise<readonly SweepRecord[]> {
  const { folder, effects } = place.workshop;
  const { sweeps } = folder.recipe;
  const plans: SweepPlan[] = [];
  for (const plan of sweeps === false ? [] : sweeps) {
    const ends = findEnds(plan, { lineage: await folder.readLineage(), trajectory: place.trajectory });
    if ("problem" in ends)
      effects.report({ kind: "notice", text: `The sweep ${plan.name} is left out: ${ends.problem}` });
    else plans.push(plan);
  }
  const { job } = place;
  // A cluster is given all of them before one is waited for.
  if (plans.length > 1 && job?.mode === "follow" && isDetached(job.executor))
    await runSweeps(plans, { ...place, job: { ...job, mode: "detach" } });
  const { records, handedOver } = await runSweeps(plans, place);
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
  place: SweepPlace,
): Promise<{ readonly records: readonly SweepRecord[]; readonly handedOver: readonly HandedOverError[] }> {
  const [records, handedOver]: [SweepRecord[], HandedOverError[]] = [[], []];
  for (const plan of plans)
    try {
      records.push(await runSweep(plan, place));
    } catch (error) {
      if (!(error instanceof HandedOverError)) throw error;
      handedOver.push(error);
    }
  return { records, handedOver };
}

/** The name of a point's file within a run: a hash of the checkpoints and of what is done. */
export function pointKey({ operation }: SweepPoint, { target, source }: Ends): string {
  const text = JSON.stringify([schemaVersion, target.id, source.id, identifyOperation(operation)]);
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

/** Points of a sweep that are not evaluated yet. */
export async function listMissing(
  points: readonly SweepPoint[],
  { name }: SweepPlan,
  { folder, ends }: { readonly folder: RunFolder; readonly ends: Ends },
): Promise<readonly SweepPoint[]> {
  const missing: SweepPoint[] = [];
  for (const point of points) if (!(await folder.hasRepair(name, pointKey(point, ends)))) missing.push(point);
  return missing;
}

async function evaluatePoints(
  points: readonly SweepPoint[],
  models: EditedModels,
  {
    plan,
    ends,
    place: { workshop },
    algebra,
    effects,
  }: {
    readonly plan: SweepPlan;
    readonly ends: Ends;
    readonly place: SweepPlace;
    readonly algebra: LinearAlgebra;
    readonly effects: Effects;
  },
): Promise<void> {
  const { folder, config } = workshop;
  const { tokenizer, config: own } = models.target;
  if (!isDeepStrictEqual(config, own))
    throw new UsageError(
      `Cannot sweep "${folder.path}": the config.json of ${ends.target.id} is another than that of the run's first checkpoint`,
    );
  for (const [index, point] of points.entries()) {
    const { parameters, moved } = editParameters(point.operation, models, algebra);
    const items = await answerTasks({ ...workshop, tokenizer }, parameters);
    await folder.writeRepair(plan.name, pointKey(point, ends), { moved, items });
    effects.report({
      kind: "progress",
      work: "sweep",
      what: point.name,
      doneFraction: (index + 1) / points.length,
    });
  }
}

/** Repairs evaluated by an executor; each is kept as soon as its answers are there. */
async function evaluateByJob(
  points: readonly SweepPoint[],
  { workshop: { folder, effects }, job: place }: SweepPlace & { readonly job: JobPlace },
  {
    plan,
    ends,
    numParameters,
    load,
  }: {
    readonly plan: SweepPlan;
    readonly ends: Ends;
    readonly numParameters: number;
    /** Brings the factors into the cache. */
    readonly load: () => Promise<unknown>;
  },
): Promise<void> {
  const keys = points.map((point) => pointKey(point, ends));
  const jobPlan = await planSweepJob(folder, points, { plan, ends, numParameters });
  await carryOutJob(jobPlan, place, effects, {
    prepare: async (job) => {
      // Here, once, and not by each of the processes that begin together.
      await load();
      const results = await job.listResults();
      for (const [piece, key] of keys.entries())
        if (!results.has(piece) && (await folder.hasRepair(plan.name, key)))
          await job.keepResult(piece, await folder.readRepair(plan.name, key));
    },
    onResult: async (job, piece) => {
      const key = requireItem(keys, piece);
      if (await folder.hasRepair(plan.name, key)) return;
      await folder.writeRepair(plan.name, key, await readPieceRepair(job, piece));
    },
  });
}

/** The record of a sweep from what lies in the run's folder. */
export async function describePoints(
  points: readonly SweepPoint[],
  { plan, ends, folder }: { readonly plan: SweepPlan; readonly ends: Ends; readonly folder: RunFolder },
): Promise<SweepRecord> {
  const outcomeOf = async (entry: LineageEntry): Promise<CheckpointOutcome> =>
    toOutcome({ entry, items: await folder.readEvaluation(entry.id) });
  const [target, source] = [await outcomeOf(ends.target), await outcomeOf(ends.source)];
  const repairs: {
    readonly point: SweepPoint;
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
  const measured = measureSweep(outcomes, { source, target }, { seed: folder.record.seed });
  const named = { name: plan.name, target: ends.target.id, source: ends.source.id };
  const record: Omit<SweepRecord, "sentences"> = {
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
  return { ...record, sentences: [...describeSweep(record)] };
}

function countEnd({ solved }: CheckpointOutcome): SweepRecord["ends"]["target"] {
  const count = (items: readonly (boolean | number)[]): { correct: number; total: number } => ({
    correct: countSolved(items),
    total: items.length,
  });
  return { id: count(solved.id), ood: count(solved.ood) };
}
