/** What the stages of a run logged, as curves. */
import { isFollowed, type LineageEntry, listBranches, type RunFolder } from "../../run/index.ts";
import type { AdvantageHistogram, CurvesView, StageCurves } from "./contract.ts";

/** Points a curve at most: more than that no chart can show. */
const mostPoints = 400;
/** Histograms of advantages a stage at most. */
const mostHistograms = 12;

type Metrics = Readonly<Record<string, unknown>>;

/** Names of curves and where the metrics hold them. */
const series: Readonly<Record<string, (metrics: Metrics) => unknown>> = {
  loss: ({ loss }) => loss,
  "gradient norm": ({ gradientNorm }) => gradientNorm,
  "learning rate": ({ learningRate }) => learningRate,
  reward: (metrics) => pick(metrics.reward, "mean"),
  "KL to start": ({ klToStart }) => klToStart,
  entropy: ({ entropy }) => entropy,
  "clip share": ({ clipShare }) => clipShare,
  "value loss": ({ valueLoss }) => valueLoss,
  "evaluation loss": ({ evaluationLoss }) => evaluationLoss,
  "token accuracy": ({ tokenAccuracy }) => tokenAccuracy,
};

/** The curves of all stages that have begun. */
export async function readCurves(folder: RunFolder): Promise<CurvesView> {
  const { recipe } = folder;
  // A stage logs before its first checkpoint is in the lineage.
  const planned = isFollowed(recipe)
    ? recipe.follow.trainings.map(({ branch }) => branch ?? "sft")
    : [...(recipe.sft === undefined ? [] : ["sft"]), ...listBranches(recipe).map(({ name }) => name)];
  const stages = new Set([...planned, ...(await folder.readLineage()).flatMap(stageOf)]);
  const curves: StageCurves[] = [];
  for (const stage of stages) {
    const lines = await folder.readMetrics(stage);
    if (lines.length > 0) curves.push(describeStage(stage, lines));
  }
  return { stages: curves };
}

function stageOf({ stage, branch }: LineageEntry): readonly string[] {
  if (stage === "sft") return ["sft"];
  return branch === undefined ? [] : [branch];
}

function describeStage(stage: string, lines: readonly Metrics[]): StageCurves {
  const kept = thin(lines, mostPoints);
  const found = Object.entries(series)
    .map(([name, read]) => [name, kept.map((line) => toNumber(read(line)))] as const)
    .filter(([, values]) => values.some((value) => value !== null));
  return {
    stage,
    steps: kept.map(({ step }) => toNumber(step) ?? 0),
    series: Object.fromEntries(found),
    advantages: thin(lines, mostHistograms).flatMap(readHistogram),
  };
}

/** At most that many of them, evenly spread, the first and the last included. */
function thin<Item>(items: readonly Item[], most: number): readonly Item[] {
  if (items.length <= most) return items;
  return Array.from({ length: most }, (_, index) => {
    const item = items[Math.round((index * (items.length - 1)) / (most - 1))];
    return item === undefined ? [] : [item];
  }).flat();
}

function readHistogram({ step, advantage }: Metrics): readonly AdvantageHistogram[] {
  const histogram = pick(advantage, "histogram");
  const [low, high, counts] = ["low", "high", "counts"].map((key) => pick(histogram, key));
  if (typeof low !== "number" || typeof high !== "number" || !Array.isArray(counts)) return [];
  return [{ step: toNumber(step) ?? 0, low, high, counts: counts.map(Number) }];
}

function pick(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null ? new Map(Object.entries(value)).get(key) : undefined;
}

function toNumber(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value)
    ? Number.isInteger(value)
      ? value
      : Number(value.toPrecision(4))
    : null;
}
