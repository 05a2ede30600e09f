/** How a watch stands: each training's decline so far, what the alert says, and which checkpoints may be deleted. */

import { formatInterval, formatShare, toShare, wilsonInterval } from "../../base/statistics/index.ts";
import type { LineageEntry, RunFolder } from "../../run/index.ts";
import { aggregate, countIncomplete } from "../../tasks/evaluation/index.ts";
import {
  type CheckpointOutcome,
  chooseKept,
  countSolved,
  type DeclineLook,
  type DeclineWatch,
  type WatchedPoint,
  watchDecline,
} from "../../tasks/trajectory/index.ts";
import { toOutcome } from "../outcome/index.ts";

/** One training of a watched run. */
export interface WatchedTraining {
  /** `sft`, or the name of an RL branch. */
  readonly name: string;
  readonly watch: DeclineWatch;
  /** What the alert says, where there is one. */
  readonly alert?: string;
  /** Then also where the checkpoint lies that it says to keep. */
  readonly keepPath?: string;
}

/** How a watch stands. */
export interface WatchState {
  readonly trainings: readonly WatchedTraining[];
  /** Folders of checkpoints that may be deleted, where it was asked how many to keep. */
  readonly mayDelete: readonly string[];
}

/** What of a watch its state depends on. */
export interface WatchRule {
  /** Chance that a training which never declines raises any alert, over all its checkpoints. */
  readonly falseAlarmRate: number;
  /** Checkpoints to keep by OOD accuracy; the others are marked, none is deleted. */
  readonly keepBest?: number | undefined;
}

/** The state of a run, from its lineage and the evaluations it has by now. */
export async function describeState(folder: RunFolder, rule: WatchRule): Promise<WatchState> {
  const lineage = await folder.readLineage();
  const outcomes = new Map<string, CheckpointOutcome>();
  const incomplete = new Map<string, Readonly<Record<string, number>>>();
  for (const entry of lineage)
    if (await folder.hasEvaluation(entry.id)) {
      const items = await folder.readEvaluation(entry.id);
      outcomes.set(entry.id, toOutcome({ entry, items }));
      incomplete.set(entry.id, countIncomplete(aggregate(items, "ood").outcomes));
    }
  const trainings = listChains(lineage).map(({ name, chain }): WatchedTraining => {
    const evaluated = chain.flatMap(({ id }) => outcomes.get(id) ?? []);
    const watch = watchDecline(evaluated, rule);
    const { alert } = watch;
    if (alert === undefined) return { name, watch };
    const keepPath = locateCheckpoint(folder, lineage, alert.peak.checkpoint);
    const text =
      describeAlert(name, alert, { rule, path: keepPath }) +
      describeCut(alert.point.checkpoint, incomplete.get(alert.point.checkpoint));
    return { name, watch, alert: text, keepPath };
  });
  return {
    trainings,
    mayDelete:
      rule.keepBest === undefined
        ? []
        : listDeletable(folder, { lineage, outcomes, trainings, numBest: rule.keepBest }),
  };
}

/** Where a checkpoint of the lineage lies. */
function locateCheckpoint(folder: RunFolder, lineage: readonly LineageEntry[], id: string): string {
  const entry = lineage.find((one) => one.id === id);
  if (entry === undefined) throw new RangeError(`Cannot locate ${id}: it is not in the lineage`);
  return folder.locate(entry.path);
}

/** The trainings of a lineage as chains: SFT from its base on, and each RL branch from where it started. */
export function listChains(
  lineage: readonly LineageEntry[],
): readonly { readonly name: string; readonly chain: readonly LineageEntry[] }[] {
  const names = [
    ...new Set(lineage.flatMap(({ stage, branch }) => (stage === "base" ? [] : [branch ?? "sft"]))),
  ];
  return names.map((name) => {
    const own = lineage.filter(({ stage, branch }) => stage !== "base" && (branch ?? "sft") === name);
    const start = lineage.find(({ id }) => id === own[0]?.parent);
    return { name, chain: start === undefined ? own : [start, ...own] };
  });
}

/** What an alert says: what fell, since when, how sure that is, and what to keep. */
function describeAlert(
  name: string,
  { point, peak, pValue }: DeclineLook,
  { rule, path }: { readonly rule: WatchRule; readonly path: string },
): string {
  const since = peak.stage === "base" ? "the base model" : `step ${peak.step}`;
  return `OOD accuracy of ${name} has been falling since ${since}: ${describePoint(peak)} there, ${describePoint(point)} at step ${point.step} on the same held-out tasks (p = ${pValue.toPrecision(2)}; chance of any false alert ${formatShare(rule.falseAlarmRate)}); keep ${peak.checkpoint}: ${path}`;
}

/** What of a fall may be answers that did not come to their end. */
function describeCut(checkpoint: string, counts: Readonly<Record<string, number>> = {}): string {
  const parts = Object.entries(counts).map(([name, count]) => `${count} ${name}`);
  return parts.length === 0
    ? ""
    : ` (OOD answers of ${checkpoint} that are not complete: ${parts.join(", ")})`;
}

/** `62 of 100 (62.0 % [52.2, 70.9])`. */
function describePoint({ oodHeldOut }: WatchedPoint): string {
  const { correct, total } = oodHeldOut;
  return `${correct} of ${total} (${formatShare(toShare(oodHeldOut))} ${formatInterval(wilsonInterval(oodHeldOut))})`;
}

/** Checkpoints that are neither among the best nor newest nor the start of RL, nor named by an alert. */
function listDeletable(
  folder: RunFolder,
  {
    lineage,
    outcomes,
    trainings,
    numBest,
  }: {
    readonly lineage: readonly LineageEntry[];
    readonly outcomes: ReadonlyMap<string, CheckpointOutcome>;
    readonly trainings: readonly WatchedTraining[];
    readonly numBest: number;
  },
): readonly string[] {
  const kept = new Set(
    trainings.flatMap(({ watch }) => (watch.alert === undefined ? [] : [watch.alert.peak.checkpoint])),
  );
  for (const { chain } of listChains(lineage)) {
    const own = chain.flatMap(({ id, stage }) => {
      const ood = outcomes.get(id)?.solved.ood;
      return ood === undefined || stage === "base"
        ? []
        : [{ id, ood: { correct: countSolved(ood), total: ood.length } }];
    });
    for (const id of chooseKept(own, numBest)) kept.add(id);
  }
  for (const { stage, parent } of lineage) if (stage === "rl" && parent !== undefined) kept.add(parent);
  return lineage
    .filter(({ id, stage }) => stage !== "base" && outcomes.has(id) && !kept.has(id))
    .map(({ path }) => folder.locate(path));
}
