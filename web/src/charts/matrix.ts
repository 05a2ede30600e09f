/** One matrix in one pair of checkpoints, drawn: values, angles, overlaps, and where the update lies. */
import * as Plot from "@observablehq/plot";
import type { MatrixView, OverlapView } from "../../../src/face/view/contract.ts";
import { toDegrees } from "../format.ts";

/** The singular values of one rank, before and after, and that of the update. */
export interface ValueRow {
  readonly [key: string]: number | null;
  readonly rank: number;
  readonly before: number;
  readonly after: number;
  /** Absent beyond the update's own rank. */
  readonly update: number | null;
  /** (after − before) / the largest before. */
  readonly change: number;
}

/** One row per rank. */
export function listValues({ values, update }: MatrixView): readonly ValueRow[] {
  return values.before.map((before, index) => {
    const after = values.after[index] ?? 0;
    const change = (after - before) / (values.before[0] || 1);
    return { rank: index + 1, before, after, update: update[index] ?? null, change };
  });
}

/** Singular values by rank, and below them their differences. */
export function drawValues(
  rows: readonly ValueRow[],
  { before, after }: Pick<MatrixView, "before" | "after">,
  width: number,
): Element {
  const lines = rows.flatMap((row) => [
    { rank: row.rank, which: before, value: row.before },
    { rank: row.rank, which: after, value: row.after },
    ...(row.update === null ? [] : [{ rank: row.rank, which: "update", value: row.update }]),
  ]);
  const values = Plot.plot({
    width,
    height: 280,
    marginLeft: 50,
    x: { label: "rank" },
    y: { label: "singular value", grid: true },
    color: {
      domain: [before, after, "update"],
      range: ["var(--id)", "var(--ood)", "var(--quiet)"],
      legend: true,
    },
    marks: [
      Plot.line(lines, { x: "rank", y: "value", stroke: "which", strokeWidth: 1.8 }),
      Plot.tip(
        lines,
        Plot.pointerX({ x: "rank", y: "value", title: (d) => `${d.which}, rank ${d.rank}\n${d.value}` }),
      ),
    ],
  });
  const holder = document.createElement("div");
  holder.append(values, drawChanges(rows, width));
  return holder;
}

function drawChanges(rows: readonly ValueRow[], width: number): Element {
  const strokeWidth = Math.max(1, width / rows.length / 2);
  return Plot.plot({
    width,
    height: 130,
    marginLeft: 50,
    x: { label: "rank" },
    y: { label: "Δσ / σ₁", grid: true, tickFormat: "%" },
    marks: [Plot.ruleY([0]), Plot.ruleX(rows, { x: "rank", y: "change", stroke: "var(--ood)", strokeWidth })],
  });
}

/** A principal angle of one pair of subspaces. */
export interface AngleRow {
  readonly [key: string]: string | number;
  readonly subspace: string;
  /** Its place in the ascending order, from 1. */
  readonly number: number;
  readonly degrees: number;
}

const nameSubspace = ({ side, rank }: { readonly side: string; readonly rank: number }): string =>
  `${side}, rank ${rank}`;

/** One row per angle. */
export function listAngles({ subspaces }: MatrixView): readonly AngleRow[] {
  return subspaces.flatMap(({ side, rank, angles }) =>
    angles.map((angle, index) => ({
      subspace: nameSubspace({ side, rank }),
      number: index + 1,
      degrees: toDegrees(angle),
    })),
  );
}

/** Angles in ascending order, one panel per side and rank, beside those of a random update and of unrelated subspaces. */
export function drawAngles(
  rows: readonly AngleRow[],
  { subspaces }: Pick<MatrixView, "subspaces">,
  width: number,
): Element {
  const order = [...subspaces].sort((a, b) => a.rank - b.rank);
  const angleOf = (sine: number | null): number | null =>
    sine === null ? null : toDegrees(Math.asin(Math.min(1, sine)));
  const chance = subspaces.map((subspace) => ({
    subspace: nameSubspace(subspace),
    chance: angleOf(subspace.chance),
    unrelated: angleOf(subspace.unrelated),
  }));
  const [unrelated, random] = [
    { stroke: "var(--bad)", strokeDasharray: "2 4" },
    { stroke: "var(--text)", strokeDasharray: "5 4", strokeWidth: 1.5 },
  ];
  return Plot.plot({
    width,
    height: 300,
    marginLeft: 50,
    fx: { label: null, domain: order.map(nameSubspace) },
    x: { label: "angle, smallest first", ticks: 4 },
    y: { label: "degrees", grid: true, domain: [0, 90] },
    marks: [
      Plot.ruleY(chance, { fx: "subspace", y: "unrelated", ...unrelated }),
      Plot.ruleY(chance, { fx: "subspace", y: "chance", ...random }),
      Plot.dot(rows, { fx: "subspace", x: "number", y: "degrees", fill: "var(--ood)", r: 2.5, tip: true }),
    ],
  });
}

/** The cosine of two singular vectors. */
export interface OverlapRow {
  readonly [key: string]: string | number;
  readonly side: string;
  /** Ranks from 1. */
  readonly before: number;
  readonly after: number;
  /** Absolute, 0 to 1. */
  readonly cosine: number;
}

/** One row per side and pair of vectors. */
export function listOverlaps(overlap: OverlapView): readonly OverlapRow[] {
  return (["left", "right"] as const).flatMap((side) =>
    overlap[side].map((percent, index) => ({
      side,
      before: 1 + Math.floor(index / overlap.size),
      after: 1 + (index % overlap.size),
      cosine: percent / 100,
    })),
  );
}

/** Cosines of the leading vectors before (rows) and after (columns), left and right. */
export function drawOverlaps(
  rows: readonly OverlapRow[],
  { before, after }: Pick<MatrixView, "before" | "after">,
  width: number,
): Element {
  const ticks = [1, 8, 16, 24];
  return Plot.plot({
    width: Math.min(width, 860),
    height: Math.min(width, 860) / 2,
    marginLeft: 40,
    fx: { label: null },
    x: { type: "band", label: `vector of ${after}`, ticks },
    y: { type: "band", label: `vector of ${before}`, ticks },
    color: { scheme: "Oranges", domain: [0, 1], legend: true, label: "|cosine|" },
    marks: [
      Plot.cell(rows, {
        fx: "side",
        x: "after",
        y: "before",
        fill: "cosine",
        title: (row) => `${row.side} ${row.before} → ${row.after}: ${row.cosine}`,
      }),
    ],
  });
}

/** A part of the update's energy in the basis of some leading directions. */
export interface EnergyRow {
  readonly [key: string]: string | number;
  readonly rank: number;
  readonly part: string;
  readonly share: number;
}

const energyParts = {
  stretch: "stretches values",
  rotation: "rotates within",
  outside: "leaves the span",
} as const;

/** One row per rank and part. */
export function listEnergy({ energy }: MatrixView): readonly EnergyRow[] {
  return energy.flatMap(({ rank, stretch, rotation, outside }) => [
    { rank, part: energyParts.stretch, share: stretch },
    { rank, part: energyParts.rotation, share: rotation },
    { rank, part: energyParts.outside, share: outside },
  ]);
}

/** Shares of the update's energy, one bar per rank, with a tick at what a random update has inside. */
export function drawEnergy(
  rows: readonly EnergyRow[],
  { energy }: Pick<MatrixView, "energy">,
  width: number,
): Element {
  return Plot.plot({
    width,
    height: 70 + 46 * energy.length,
    marginLeft: 76,
    x: { tickFormat: "%", label: "share of ‖Δ‖²" },
    y: { type: "band", tickFormat: (rank: number) => `rank ${rank}`, label: null },
    color: {
      domain: Object.values(energyParts),
      range: ["var(--id)", "var(--ood)", "var(--line)"],
      legend: true,
    },
    marks: [
      Plot.barX(rows, { x: "share", y: "rank", fill: "part", inset: 2, tip: true }),
      Plot.tickX(energy, {
        x: "insideChance",
        y: "rank",
        stroke: "var(--text)",
        strokeWidth: 2,
        strokeDasharray: "3 2",
      }),
    ],
  });
}
