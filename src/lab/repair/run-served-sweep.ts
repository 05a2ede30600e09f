/** Sweeps at a running server: every repair is loaded as a LoRA adapter, verified, asked and unloaded again. */
import { rm } from "node:fs/promises";
import { UsageError } from "../../base/core/index.ts";
import { folderExists } from "../../base/file/index.ts";
import type { Effects } from "../../base/progress/index.ts";
import {
  isFollowed,
  type RunFolder,
  requireTasks,
  type SweepPlan,
  type SweepRecord,
  type TrajectoryRecord,
} from "../../run/index.ts";
import { splits } from "../../tasks/environment/index.ts";
import type { EvaluatedItem } from "../../tasks/evaluation/index.ts";
import { type CheckpointTensor, openCheckpoint } from "../../weights/checkpoint/index.ts";
import { checkAdaptable, resolveOperations } from "../../weights/surgery/index.ts";
import { type AdapterServer, type AdapterWay, askEndpoint, connectAdapters } from "../answer/index.ts";
import { editCheckpoint, listPoints, type SweepPoint } from "../edit/index.ts";
import { requireSameAsking } from "../evaluation/index.ts";
import { stampCheckpoint } from "../machine/index.ts";
import { describePoints, type Ends, findEnds, listMissing, pointKey } from "./run-sweep.ts";

/** Where such a sweep is carried out. */
export interface ServedSweepPlace {
  readonly folder: RunFolder;
  readonly trajectory: TrajectoryRecord;
  readonly way: AdapterWay;
  readonly effects: Effects;
}

/**
 * Carries out a sweep on the server; repairs that are no low-rank additions, and so no adapters, are left out and told. Throws
 * `UsageError` where the run does not have the checkpoints or the server does not serve the target, and `StoppedError`.
 */
export async function runServedSweep(plan: SweepPlan, place: ServedSweepPlace): Promise<SweepRecord> {
  const { folder, trajectory, way, effects } = place;
  const ends = findEnds(plan, { lineage: await folder.readLineage(), trajectory });
  if ("problem" in ends) throw new UsageError(`Cannot sweep "${folder.path}": ${ends.problem}`);
  const [target, source] = [
    await readEnd(folder.locate(ends.target.path)),
    await readEnd(folder.locate(ends.source.path)),
  ];
  const all = listPoints(plan, { target: target.tensors, source: source.tensors });
  const isAdapter = ({ operation }: SweepPoint): boolean => {
    const edits = resolveOperations([operation], { target: target.tensors, source: source.tensors });
    return canAdapt(() => checkAdaptable(edits, target.modelType));
  };
  const points = all.filter((point) => point.role === "identity" || isAdapter(point));
  if (points.length < all.length)
    effects.report({
      kind: "notice",
      text: `${all.length - points.length} of ${all.length} repairs of the sweep ${plan.name} are no low-rank additions and cannot be adapters; they are left out`,
    });
  const missing = await listMissing(points, plan, { folder, ends });
  if (missing.length > 0) {
    await requireSameAsking(folder, { way, model: undefined, effects, missing });
    const server = await connectAdapters(way, target.base, effects);
    for (const [index, point] of missing.entries()) {
      const answers = await askRepair(point, { plan, ends, server, place });
      await folder.writeRepair(plan.name, pointKey(point, ends), answers);
      const doneFraction = (index + 1) / missing.length;
      effects.report({ kind: "progress", work: "sweep", what: point.name, doneFraction });
    }
  }
  const kept = points.map((point) => keepControls(point, points));
  const record = await describePoints(kept, { plan, ends, folder });
  await folder.writeSweep(record);
  return record;
}

/** A point without those of its controls that were left out. */
function keepControls(point: SweepPoint, points: readonly SweepPoint[]): SweepPoint {
  if (point.controls === undefined) return point;
  const names = new Set(points.map(({ name }) => name));
  return { ...point, controls: point.controls.filter((name) => names.has(name)) };
}

interface SweepEnd {
  readonly tensors: ReadonlyMap<string, CheckpointTensor>;
  readonly modelType: unknown;
  /** What a server must serve: the checkpoint, or the base of an adapter. */
  readonly base: string;
}

async function readEnd(path: string): Promise<SweepEnd> {
  const checkpoint = await openCheckpoint(path, { merged: "rounded" });
  await checkpoint.close();
  const { tensors, config, adapter } = checkpoint;
  return { tensors, modelType: config.model_type, base: adapter?.base ?? path };
}

function canAdapt(check: () => void): boolean {
  try {
    check();
    return true;
  } catch (error) {
    if (error instanceof UsageError) return false;
    throw error;
  }
}

interface RepairPlace {
  readonly plan: SweepPlan;
  readonly ends: Ends;
  readonly server: AdapterServer;
  readonly place: ServedSweepPlace;
}

async function askRepair(
  point: SweepPoint,
  { plan, ends, server, place }: RepairPlace,
): Promise<{ readonly moved: number; readonly items: readonly EvaluatedItem[] }> {
  const { folder, effects, way } = place;
  const key = pointKey(point, ends);
  const [target, source] = [folder.locate(ends.target.path), folder.locate(ends.source.path)];
  // Adapters are made anew each time: what they are made of says whose answers they give.
  const stamp = `${await stampCheckpoint(target)} ${await stampCheckpoint(source)}`;
  const weights = { path: `${plan.name}/${key}`, stamp };
  const { environment, rendering, evaluation } = requireTasks(folder);
  const ask = async (model: string): Promise<readonly EvaluatedItem[]> => {
    const choice = { ...way.asking, url: way.url, model, maxNewTokens: evaluation.maxNewTokens };
    const tasks = { environment, rendering, splits, ...evaluation };
    const answers = folder.locate(`answers/${plan.name}-${key}.jsonl`);
    const judge = isFollowed(folder.recipe) ? folder.recipe.asking?.judge : undefined;
    return (await askEndpoint(choice, tasks, { answers, weights, judge, effects })).items;
  };
  // Nothing is added: the target itself answers.
  if (point.role === "identity")
    return {
      moved: 0,
      items: target === server.baseFolder ? await ask(server.base) : await server.withAdapter(target, ask),
    };
  const out = folder.locate(`repairs/${plan.name}/adapters/${key}`);
  if (await folderExists(out)) await rm(out, { recursive: true });
  const request = {
    plan: { target, source, operations: [point.operation] },
    out,
    form: "lora" as const,
  };
  try {
    const { moved } = await editCheckpoint(request, { ...effects, report: () => undefined });
    return { moved, items: await server.withAdapter(out, ask) };
  } finally {
    // Adapters of high rank are large, and made again in no time from the cached factors.
    await rm(out, { recursive: true, force: true });
  }
}
