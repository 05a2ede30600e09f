/** The curves of a run, and the figure of the study. */
import * as Plot from "@observablehq/plot";
import type { Summary } from "../../../src/face/view/contract.ts";
import { formatInterval, formatShare, toShare, wilson } from "../format.ts";
import { formatRoute } from "../route.ts";

type Checkpoint = Summary["checkpoints"][number];

/** What the curves show of each checkpoint. */
export const parts = {
  accuracy: "solved",
  format: "format right",
  values: "values right",
  loss: "loss",
} as const;

/** What one chart of the curves shows. */
export type Part = keyof typeof parts;

/** A point of a curve. */
export interface CurvePoint {
  readonly checkpoint: string;
  readonly split: "ID" | "OOD";
  /** `sft`, or an RL branch. */
  readonly line: string;
  readonly position: number;
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly label: string;
  /** Where its answers are. */
  readonly address: string;
}

interface Group {
  /** `sft`, or an RL branch. */
  readonly line: string;
  readonly checkpoints: readonly Checkpoint[];
}

/** Checkpoints as positions from left to right: SFT, then every branch from its start. */
function arrange(checkpoints: readonly Checkpoint[]): readonly Group[] {
  const trunk = checkpoints.filter(({ stage }) => stage !== "rl");
  const branches = [...new Set(checkpoints.flatMap(({ branch }) => branch ?? []))];
  return [
    { line: "sft", checkpoints: trunk },
    ...branches.map((line) => {
      const own = checkpoints.filter(({ branch }) => branch === line);
      const start = checkpoints.find(({ id }) => id === own[0]?.parent);
      return { line, checkpoints: start === undefined ? own : [start, ...own] };
    }),
  ];
}

/** Every checkpoint twice, ID and OOD, at its place in the chart. */
export function listPoints(
  checkpoints: readonly Checkpoint[],
  part: Part,
  run: string,
): readonly CurvePoint[] {
  let position = 0;
  return arrange(checkpoints).flatMap(({ line, checkpoints: group }, index) => {
    if (index > 0) position += 0.6;
    return group.flatMap((checkpoint) => {
      position += 1;
      return (["id", "ood"] as const).map((split) => ({
        checkpoint: checkpoint.id,
        split: split === "id" ? ("ID" as const) : ("OOD" as const),
        line,
        position,
        ...measure(checkpoint, split, part),
        label: checkpoint.stage === "rl" ? `+${checkpoint.step}` : String(checkpoint.step),
        address: formatRoute({ run, view: "answers", choices: { checkpoint: checkpoint.id } }),
      }));
    });
  });
}

function measure(
  checkpoint: Checkpoint,
  split: "id" | "ood",
  part: Part,
): Pick<CurvePoint, "value" | "low" | "high"> {
  if (part === "loss") {
    // Answers from an endpoint come without one: nothing is drawn.
    const value = checkpoint.loss[split] ?? Number.NaN;
    return { value, low: value, high: value };
  }
  const count = checkpoint[part][split];
  return { value: toShare(count), ...wilson(count) };
}

const colors = { domain: ["ID", "OOD"], range: ["var(--id)", "var(--ood)"] };

/** The chart of curves. */
export function drawCurves(
  points: readonly CurvePoint[],
  { width, part, summary }: { readonly width: number; readonly part: Part; readonly summary: Summary },
): Element {
  const ticks = new Map(points.map(({ position, label }) => [position, label]));
  const isLoss = part === "loss";
  const top = isLoss ? Math.max(0, ...points.map(({ value }) => value).filter(Number.isFinite)) : 1;
  const describe = ({ checkpoint, split, value, low, high }: CurvePoint): string =>
    `${checkpoint}\n${split} ${isLoss ? value.toFixed(3) : `${formatShare(value)} ${formatInterval({ low, high }, " %")}`}`;
  return Plot.plot({
    width,
    height: width < 600 ? 300 : 380,
    marginLeft: 46,
    marginTop: 32,
    marginBottom: 30,
    x: {
      label: null,
      ticks: [...ticks.keys()].filter((_, index) => width > 700 || index % 3 === 0),
      tickFormat: (position: number) => ticks.get(position) ?? "",
      domain: [0.3, Math.max(...ticks.keys()) + 0.7],
    },
    y: {
      label: isLoss ? "nats a token" : "share of tasks",
      grid: true,
      ...(isLoss ? {} : { domain: [0, 1], tickFormat: "%" }),
    },
    color: colors,
    marks: [
      ...markStages(points, { top, isWide: width > 700 }),
      ...(isLoss ? [] : [Plot.ruleX(points, intervals)]),
      Plot.line(points, {
        x: "position",
        y: "value",
        z: (d: CurvePoint) => `${d.split} ${d.line}`,
        stroke: "split",
        strokeWidth: 2,
      }),
      Plot.dot(points, {
        x: "position",
        y: "value",
        fill: "split",
        symbol: "split",
        r: 4,
        href: "address",
        ariaLabel: (d: CurvePoint) =>
          `${d.checkpoint}, ${d.split} ${isLoss ? d.value.toFixed(3) : formatShare(d.value)}`,
      }),
      ...markNames(points),
      ...markPeak(points, summary.trajectory?.peak.checkpoint),
      Plot.tip(points, Plot.pointer({ x: "position", y: "value", title: describe })),
    ],
  });
}

const intervals = {
  x: "position",
  y1: "low",
  y2: "high",
  stroke: "split",
  strokeOpacity: 0.45,
  strokeWidth: 3,
} as const;

/** A shade and a name for SFT and for every branch. */
function markStages(
  points: readonly CurvePoint[],
  { top, isWide }: { readonly top: number; readonly isWide: boolean },
): readonly Plot.Markish[] {
  const stages = [...new Set(points.map(({ line }) => line))].map((line) => {
    const positions = points.filter((point) => point.line === line).map(({ position }) => position);
    return { line, from: Math.min(...positions), to: Math.max(...positions) };
  });
  return [
    Plot.rect(stages, {
      x1: (d) => d.from - 0.45,
      x2: (d) => d.to + 0.45,
      y1: () => 0,
      y2: () => top,
      fill: (d) => (d.line === "sft" ? "var(--sft)" : "var(--rl)"),
    }),
    Plot.text(stages, {
      x: (d) => d.from - 0.4,
      frameAnchor: "bottom-left",
      text: (d) => (d.line === "sft" ? "SFT" : isWide ? d.line : ""),
      textAnchor: "start",
      dy: -6,
      fill: "var(--quiet)",
    }),
  ];
}

/** The names of the curves, at the end of SFT. */
function markNames(points: readonly CurvePoint[]): readonly Plot.Markish[] {
  const last = Math.max(...points.filter(({ line }) => line === "sft").map(({ position }) => position));
  const named = points.filter(({ position }) => position === last);
  const place = { x: "position", y: "value", dx: 9, textAnchor: "start" } as const;
  return [Plot.text(named, { ...place, text: "split", fill: "split", fontWeight: "bold" })];
}

function markPeak(points: readonly CurvePoint[], peak: string | undefined): readonly Plot.Markish[] {
  const marked = points.filter(
    ({ checkpoint, split, line }) => checkpoint === peak && split === "OOD" && line === "sft",
  );
  const place = { x: "position", y: "value" } as const;
  return [
    Plot.dot(marked, { ...place, r: 9, stroke: "var(--ood)", strokeWidth: 2 }),
    Plot.text(marked, { ...place, text: () => "peak", dy: -16, fill: "var(--ood)", fontWeight: "bold" }),
  ];
}

interface BranchRow {
  readonly [key: string]: string | number | null;
  readonly branch: string;
  readonly from: number;
  readonly before: number;
  readonly after: number;
  readonly recovery: number | null;
  readonly low: number | null;
  readonly high: number | null;
}

/** Every RL branch, by the SFT step that it started from. */
export function listBranches({ trajectory }: Summary): readonly BranchRow[] {
  return (trajectory?.branches ?? [])
    .map(({ name, start, end, recovery }) => ({
      branch: name,
      from: start.step,
      before: toShare(start.ood),
      after: toShare(end.ood),
      recovery: recovery?.estimate ?? null,
      low: recovery?.low ?? null,
      high: recovery?.high ?? null,
    }))
    .sort((a, b) => a.from - b.from);
}

/** The chart of recovery. */
export function drawWindow(rows: readonly BranchRow[], width: number): Element {
  const steps = [...new Set(rows.map(({ from }) => from))];
  const healed = rows.filter(({ low }) => low !== null && low > 0);
  return Plot.plot({
    width,
    height: 300,
    marginLeft: 46,
    x: { type: "point", domain: steps, label: "SFT step", padding: 0.6 },
    y: { domain: [0, 1], tickFormat: "%", grid: true, label: "OOD tasks solved" },
    marks: [
      Plot.rect(healed, {
        x1: "from",
        x2: "from",
        y1: () => 0,
        y2: () => 1,
        fill: "var(--good-soft)",
        insetLeft: -26,
        insetRight: -26,
      }),
      Plot.arrow(rows, {
        x1: "from",
        x2: "from",
        y1: "before",
        y2: "after",
        stroke: "var(--ood)",
        strokeWidth: 2,
      }),
      Plot.dot(rows, { x: "from", y: "before", stroke: "var(--quiet)", fill: "var(--surface)", r: 5 }),
      Plot.dot(rows, { x: "from", y: "after", fill: "var(--ood)", r: 5 }),
      Plot.text(rows, {
        x: "from",
        y: "after",
        dx: 12,
        textAnchor: "start",
        fill: "var(--text)",
        text: (d: BranchRow) => (d.recovery === null ? "" : `${formatShare(d.recovery, 0)} back`),
      }),
    ],
  });
}
