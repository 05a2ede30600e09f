/** A run's summary in text: the curves, the table of peak, end and recovery, and what it says in sentences. */
import type { CheckpointResult, Summary, TrajectoryRecord } from "../../run/index.ts";
import { drawCurves } from "./curve-chart.ts";
import { formatCount, formatPercent, formatPoints, formatPValue } from "./format.ts";
import type { Paint } from "./paint.ts";
import { formatTable } from "./table.ts";

/** How to show it. */
export interface ScreenOptions {
  readonly paint: Paint;
  /** Characters a line; absent means no chart (the output is no terminal). */
  readonly width?: number;
}

/** Lines that show a summary. */
export function formatSummary(summary: Summary, { paint, width }: ScreenOptions): readonly string[] {
  const { trajectory } = summary;
  const chart = width === undefined ? [] : [...formatChart(summary.checkpoints, { paint, width }), ""];
  if (trajectory === null) return [...chart, ...formatCheckpoints(summary.checkpoints, paint)];
  const sentences = trajectory.sentences.flatMap((sentence) =>
    wrap(sentence, width ?? Number.POSITIVE_INFINITY),
  );
  return [
    ...chart,
    ...formatCheckpoints(summary.checkpoints, paint),
    "",
    ...formatForgetting(trajectory, paint),
    ...formatBranches(trajectory, paint),
    "",
    ...sentences,
  ];
}

const share = ({ correct, total }: { correct: number; total: number }): number =>
  correct / Math.max(1, total);

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

/** As many branches as the screen has room for are drawn; the table has them all. */
const positionWidth = 4;

function formatChart(
  checkpoints: readonly CheckpointResult[],
  { paint, width }: { readonly paint: Paint; readonly width: number },
): readonly string[] {
  const groups: (readonly CheckpointResult[])[] = [];
  let numPositions = 0;
  for (const group of arrange(checkpoints)) {
    if (groups.length > 0 && (numPositions + group.length) * positionWidth > width) break;
    groups.push(group);
    numPositions += group.length;
  }
  const points = groups.flat();
  const breaks = groups.slice(1).map((_, index) => groups.slice(0, index + 1).flat().length);
  const chart = {
    labels: points.map(({ stage, step }) => (stage === "rl" ? `+${step}` : String(step))),
    curves: [
      { color: "id", marker: "●", values: points.map(({ accuracy }) => share(accuracy.id)) },
      { color: "ood", marker: "◆", values: points.map(({ accuracy }) => share(accuracy.ood)) },
    ] as const,
    breaks,
    width,
    height: 17,
  };
  const legend = `${paint("id", "● ID")}  ${paint("ood", "◆ OOD")}  ${paint("dim", "tasks solved, by SFT step; after ┊ an RL branch from that SFT step, +updates")}`;
  return [legend, "", ...drawCurves(chart, paint)];
}

function formatCheckpoints(checkpoints: readonly CheckpointResult[], paint: Paint): readonly string[] {
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
    formatPercent(share(values.ood)),
    loss.id.toFixed(3),
    loss.ood.toFixed(3),
  ]);
  return formatTable([head.map((cell) => paint("bold", cell)), ...rows]);
}

function formatForgetting({ peak, sftEnd, forgetting }: TrajectoryRecord, paint: Paint): readonly string[] {
  const head = ["SFT", "step", "ID", "OOD", "OOD, held-out half"];
  const row = (name: string, point: TrajectoryRecord["peak"]): string[] => [
    name,
    String(point.step),
    formatCount(point.id),
    formatCount(point.ood),
    formatCount(point.oodHeldOut),
  ];
  const lost = paint(
    forgetting.estimate > 0 && forgetting.pValue < 0.05 ? "bad" : "dim",
    `${formatPoints({ estimate: -forgetting.estimate, low: -forgetting.high, high: -forgetting.low })}, ${formatPValue(forgetting.pValue)}`,
  );
  return formatTable([
    head.map((cell) => paint("bold", cell)),
    row("peak", peak),
    row("end", sftEnd),
    ["forgotten", "", "", "", lost],
  ]);
}

function formatBranches({ branches }: TrajectoryRecord, paint: Paint): readonly string[] {
  if (branches.length === 0) return [];
  const head = ["RL branch", "ID", "OOD", "OOD gained", "recovered of what was lost"];
  const rows = branches.map(({ name, start, end, gain, recovery, reason }) => [
    name,
    `${formatPercent(share(start.id))} → ${formatPercent(share(end.id))}`,
    `${formatPercent(share(start.ood))} → ${formatPercent(share(end.ood))}`,
    paint(
      gain.pValue < 0.05 ? (gain.estimate > 0 ? "good" : "bad") : "dim",
      `${formatPoints(gain)}, ${formatPValue(gain.pValue)}`,
    ),
    recovery === null
      ? paint("dim", `undefined${reason === undefined ? "" : `: ${reason}`}`)
      : `${formatPercent(recovery.estimate)} [${(100 * recovery.low).toFixed(0)}, ${(100 * recovery.high).toFixed(0)}]`,
  ]);
  return ["", ...formatTable([head.map((cell) => paint("bold", cell)), ...rows])];
}

function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = "";
    }
    line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
