/** A run's summary in text: the curves, the table of peak, end and recovery, and what it says in sentences. */
import { quoteForShell } from "../../../base/core/index.ts";
import { formatPValue, formatShare, toShare } from "../../../base/statistics/index.ts";
import type { CheckpointResult, Summary, TrajectoryRecord } from "../../../run/index.ts";
import { drawCurves } from "./curve-chart.ts";
import { formatContrast, formatCount, formatLoss } from "./format.ts";
import type { Paint } from "./paint.ts";
import { formatRepairsSummary } from "./repair-screen.ts";
import { formatTable } from "./table.ts";
import { wrapSentence, wrapText } from "./wrap.ts";

/** How to show it. */
export interface ScreenOptions {
  readonly paint: Paint;
  /** Characters a line; absent means no chart (the output is not a terminal). */
  readonly width?: number;
  /** Where the run is, for commands to go on with. */
  readonly folder?: string;
}

/** Lines that show a summary: every checkpoint, then the outcome, which is what one wants to see last. */
export function formatSummary(summary: Summary, options: ScreenOptions): readonly string[] {
  if (summary.checkpoints.length === 0) return describeUnasked(options);
  return [
    ...formatCheckpoints(summary.checkpoints, options),
    ...formatIncomplete(summary.checkpoints, options.paint),
    ...formatAsking(summary.asking),
    "",
    ...formatOutcome(summary, options),
  ];
}

/** Which checkpoints gave answers that are not complete: these count as wrong, and look like forgetting. */
function formatIncomplete(checkpoints: readonly CheckpointResult[], paint: Paint): readonly string[] {
  return checkpoints.flatMap(({ id, accuracy, incomplete }, index) => {
    if (incomplete === undefined) return [];
    const splits = (["id", "ood"] as const).flatMap((split) => {
      const parts = Object.entries(incomplete[split]).map(([name, count]) => `${count} ${name}`);
      return parts.length === 0
        ? []
        : [`${split.toUpperCase()} ${parts.join(", ")} of ${accuracy[split].total}`];
    });
    const text = `Not complete, and so counted as wrong: ${id} ${splits.join("; ")}`;
    const isFirst = checkpoints.findIndex((one) => one.incomplete !== undefined) === index;
    return [...(isFirst ? [""] : []), paint("bad", text)];
  });
}

/** Who answered for the checkpoints of a followed run, and how. */
function formatAsking(asking: Summary["asking"]): readonly string[] {
  if (asking === undefined) return [];
  if (asking.engine === "server") return ["", `Asked through a server (${String(asking.api ?? "chat")})`];
  const how = asking.template === "model" ? "by the model's own chat template" : "by plain text";
  return ["", `Asked on the embedded engine, ${how}`];
}

/** The curves, the tables of forgetting and recovery, and what they say in sentences. */
export function formatOutcome(
  { checkpoints, trajectory, spectra, repairs = [] }: Summary,
  { paint, width, folder }: ScreenOptions,
): readonly string[] {
  const chart = width === undefined ? [] : formatChart(checkpoints, { paint, width });
  if (trajectory === null) return chart;
  const sentences = [...trajectory.sentences, ...describeWeights({ spectra, trajectory })].flatMap(
    (sentence) => wrapSentence(`• ${sentence}`, width),
  );
  const tables = [
    ...formatForgetting(trajectory, { paint, ...(width !== undefined && { width }) }),
    ...formatBranches(trajectory, paint),
  ];
  const grids = repairs.flatMap((record) => [
    "",
    ...formatRepairsSummary(record, {
      paint,
      ...(width !== undefined && { width }),
      ...(folder !== undefined && { folder }),
    }),
  ]);
  return [...chart, ...(chart.length > 0 ? [""] : []), ...tables, "", ...sentences, ...grids];
}

/** What to do for a run that follows another trainer before anything was asked. */
function describeUnasked({ folder = "RUN" }: ScreenOptions): readonly string[] {
  const path = quoteForShell(folder);
  return [
    `No checkpoint is evaluated yet; do it with: untwist eval ${path} --environment general-points`,
    `What lies there: untwist follow --out ${path}`,
  ];
}

/** Checkpoints in drawing order: base and SFT, then each branch from its start. */
function arrange(checkpoints: readonly CheckpointResult[]): readonly (readonly CheckpointResult[])[] {
  const trunk = checkpoints.filter(({ stage }) => stage !== "rl");
  const branches = [...new Set(checkpoints.map(({ branch }) => branch))].filter((name) => name !== undefined);
  const byId = new Map(checkpoints.map((checkpoint) => [checkpoint.id, checkpoint]));
  return [
    trunk,
    ...branches.map((name) => {
      const own = checkpoints.filter(({ branch }) => branch === name);
      const start = byId.get(own[0]?.parent ?? "");
      return start === undefined ? own : [start, ...own];
    }),
  ];
}

/** Characters that a checkpoint needs in the chart. */
const positionWidth = 4;

interface Chart {
  readonly groups: readonly (readonly CheckpointResult[])[];
  readonly numLeftOut: number;
}

/** What fits: every checkpoint, or only the ends of branches, or the ends of the first branches. */
function fitChart(checkpoints: readonly CheckpointResult[], width: number): Chart {
  const [trunk = [], ...branches] = arrange(checkpoints);
  const room = Math.floor(width / positionWidth) - 2;
  const sizeOf = (groups: Chart["groups"]): number => groups.flat().length;
  if (sizeOf([trunk, ...branches]) <= room) return { groups: [trunk, ...branches], numLeftOut: 0 };
  const ends = branches.map((branch) => [...branch.slice(0, 1), ...branch.slice(-1)]);
  const numShown = ends.filter((_, index) => sizeOf([trunk, ...ends.slice(0, index + 1)]) <= room).length;
  return { groups: [trunk, ...ends.slice(0, numShown)], numLeftOut: ends.length - numShown };
}

function formatChart(
  checkpoints: readonly CheckpointResult[],
  { paint, width }: { readonly paint: Paint; readonly width: number },
): readonly string[] {
  const { groups, numLeftOut } = fitChart(checkpoints, width);
  const points = groups.flat();
  const breaks = groups.slice(1).map((_, index) => groups.slice(0, index + 1).flat().length);
  const chart = {
    labels: points.map(({ stage, step }) => (stage === "rl" ? `+${step}` : String(step))),
    curves: [
      { color: "id", marker: "●", values: points.map(({ accuracy }) => toShare(accuracy.id)) },
      { color: "ood", marker: "◆", values: points.map(({ accuracy }) => toShare(accuracy.ood)) },
    ] as const,
    breaks,
    width,
    height: 17,
  };
  const more = numLeftOut === 0 ? "" : `; ${numLeftOut} more branches in the table`;
  const branchLegend = breaks.length === 0 ? "" : "; after ┊ an RL branch from that SFT step, +updates";
  const legend = `${paint("id", "● ID")}  ${paint("ood", "◆ OOD")}  ${paint("dim", `tasks solved, by SFT step${branchLegend}${more}`)}`;
  return [...wrapText(legend, 2 * width), "", ...drawCurves(chart, paint)];
}

/** Narrower screens do without the last columns of the checkpoint table. */
const fullTableWidth = 112;

function formatCheckpoints(
  checkpoints: readonly CheckpointResult[],
  { paint, width = fullTableWidth }: ScreenOptions,
): readonly string[] {
  const head = [
    "checkpoint",
    "ID solved [95 %]",
    "OOD solved [95 %]",
    "OOD values right",
    "loss ID",
    "loss OOD",
  ];
  const rows = checkpoints.map(({ id, accuracy, values, loss }) => [
    id,
    paint("id", formatCount(accuracy.id)),
    paint("ood", formatCount(accuracy.ood)),
    (values.ood.total === 0 ? "–" : formatShare(toShare(values.ood))).padStart(16),
    formatLossValue(loss.id).padStart(7),
    formatLossValue(loss.ood).padStart(8),
  ]);
  const table = [head.map((cell) => paint("bold", cell)), ...rows];
  return formatTable(width < fullTableWidth ? table.map((row) => row.slice(0, 3)) : table);
}

function formatForgetting(
  { peak, otherPeak, peakAccuracy, sftEnd, forgetting, unjudgedBecause }: TrajectoryRecord,
  { paint, width = fullTableWidth }: ScreenOptions,
): readonly string[] {
  const row = (name: string, point: TrajectoryRecord["peak"], ood = point.ood): string[] => [
    name,
    String(point.step),
    formatCount(ood),
    formatCount(point.id),
  ];
  const isLoss = forgetting.estimate > 0 && forgetting.pValue < 0.05;
  const head = ["SFT", "step", "OOD", "ID"].map((cell) => paint("bold", cell));
  const top = row("peak", peak, peakAccuracy);
  if (otherPeak !== undefined) top[1] = `${peak.step}, ${otherPeak.step}`;
  const table = [head, top, row("end", sftEnd)];
  const difference = `${formatLoss(forgetting)}, ${formatPValue(forgetting.pValue)}`;
  const shown = formatTable(width < fullTableWidth ? table.map((cells) => cells.slice(0, 3)) : table);
  if (unjudgedBecause !== undefined) return [...shown, `forgotten  ${paint("bad", "cannot be judged")}`];
  return [
    ...shown,
    `forgotten  ${paint(isLoss ? "bad" : "dim", difference)}, each half of the tasks by the other half's peak`,
  ];
}

function formatBranches({ branches }: TrajectoryRecord, paint: Paint): readonly string[] {
  if (branches.length === 0) return [];
  const head = ["RL branch", "ID", "OOD", "OOD gained", "recovered"];
  const rows = branches.map(({ name, start, end, gain, recovery }) => [
    name,
    `${formatShare(toShare(start.id))} → ${formatShare(toShare(end.id))}`,
    `${formatShare(toShare(start.ood))} → ${formatShare(toShare(end.ood))}`,
    paint(
      gain.pValue < 0.05 ? (gain.estimate > 0 ? "good" : "bad") : "dim",
      `${formatContrast(gain)}, ${formatPValue(gain.pValue)}`,
    ),
    recovery === null ? paint("dim", "undefined") : formatRecovery(recovery),
  ]);
  return ["", ...formatTable([head.map((cell) => paint("bold", cell)), ...rows])];
}

/** `32 % [3, 57]` of a ratio. */
function formatRecovery({ estimate, low, high }: { estimate: number; low: number; high: number }): string {
  const ends = [low, high].map((end) => formatShare(end, 0).replace(" %", ""));
  return `${formatShare(estimate, 0)} [${ends.join(", ")}]`;
}

/** What the weights did from the SFT peak to its end, and from the base to it. */
function describeWeights({
  spectra,
  trajectory,
}: {
  readonly spectra: Summary["spectra"];
  readonly trajectory: TrajectoryRecord;
}): readonly string[] {
  const [peak, end] = [trajectory.peak.checkpoint, trajectory.sftEnd.checkpoint];
  const pairs = spectra?.pairs ?? [];
  const pair =
    pairs.find(({ before, after }) => before === peak && after === end) ??
    pairs.find(({ after }) => after === end);
  if (pair === undefined) return [];
  const said = [pair.coverage.incomplete, pair.reading].filter((part) => part !== undefined).join("; ");
  return [`Weights, ${pair.before} to ${pair.after}: ${said}`];
}

function formatLossValue(loss: number | null): string {
  return loss === null ? "–" : loss.toFixed(3);
}
