/** Repairs as OOD gained against ID lost. */
import * as Plot from "@observablehq/plot";
import type { RepairRecord } from "../../../src/face/view/contract.ts";
import { formatInterval, formatPoints, formatShare, toShare } from "../format.ts";

type Repair = RepairRecord["repairs"][number];

const roleNames: Readonly<Record<string, string>> = {
  edit: "repair",
  identity: "control: rebuilt",
  rollback: "control: whole matrices",
  random: "control: random, same size",
  elsewhere: "control: other matrices",
  values: "control: values only",
};

const roleColors = {
  domain: Object.values(roleNames),
  range: ["var(--good)", "var(--quiet)", "var(--id)", "var(--bad)", "var(--rl-strong)", "var(--ood)"],
};

/** A repair or control in numbers. */
export interface RepairRow {
  readonly [key: string]: string | number | null;
  readonly repair: string;
  readonly role: string;
  readonly id: number;
  readonly ood: number;
  readonly gained: number;
  readonly low: number;
  readonly high: number;
  readonly pValue: number;
  readonly recovered: number | null;
  readonly moved: number;
}

/** The numbers of a repair. */
export function toRow({ name, role, id, ood, gain, recovered, moved }: Repair): RepairRow {
  return {
    repair: name,
    role: roleNames[role] ?? role,
    id: toShare(id),
    ood: toShare(ood),
    gained: gain.estimate,
    low: gain.low,
    high: gain.high,
    pValue: gain.pValue,
    recovered: recovered?.estimate ?? null,
    moved,
  };
}

/** The chart of repairs. */
export function drawScatter(rows: readonly RepairRow[], grid: RepairRecord, width: number): Element {
  const best = rows.filter(({ repair }) => repair === grid.best?.name);
  const word = (grid.best?.gain.estimate ?? 0) > 0 ? "best" : "least harmful";
  const present = roleColors.domain.filter((role) => rows.some((row) => row.role === role));
  const change = (row: RepairRow): number => row.id - toShare(grid.ends.target.id);
  const changes = rows.map(change);
  // Repairs lie above controls that fall on the same spot.
  const ordered = [...rows].sort(
    (a, b) => Number(a.role === roleNames.edit) - Number(b.role === roleNames.edit),
  );
  const place = { x: change, y: "gained" } as const;
  return Plot.plot({
    width,
    height: 460,
    marginLeft: 56,
    marginTop: 30,
    // Room for the legend, above all that is drawn.
    insetTop: 15 * present.length + 12,
    insetLeft: 14,
    insetRight: 14,
    // Most repairs cost next to nothing, a few nearly everything: small changes get more room.
    x: {
      label: "ID change, points →",
      type: "symlog",
      constant: 0.01,
      ticks: someChanges.filter((tick) => tick >= Math.min(...changes) && tick <= Math.max(...changes)),
      tickFormat: (value: number) => formatPoints(value).replace(/\.0$/, ""),
    },
    y: {
      label: "↑ OOD gained, points",
      tickFormat: (value: number) => formatPoints(value).replace(/\.0$/, ""),
      grid: true,
      nice: true,
    },
    color: roleColors,
    marks: [
      ...present.map((role, line) =>
        Plot.text([role], {
          frameAnchor: "top-left",
          text: () => `● ${role}`,
          fill: () => role,
          dx: 8,
          dy: 10 + 15 * line,
          textAnchor: "start",
        }),
      ),
      Plot.ruleY([0], { stroke: "var(--quiet)" }),
      Plot.ruleX(ordered, { x: change, y1: "low", y2: "high", stroke: "role", strokeOpacity: 0.35 }),
      Plot.dot(ordered, { ...place, fill: "role", r: 4.5, stroke: "var(--surface)" }),
      Plot.dot(best, { ...place, r: 10, stroke: "var(--good)", strokeWidth: 2 }),
      Plot.text(best, {
        ...place,
        text: () => word,
        dy: -18,
        dx: 14,
        textAnchor: "end",
        stroke: "var(--surface)",
        strokeWidth: 4,
        fill: "var(--good)",
        fontWeight: "bold",
      }),
      Plot.tip(ordered, Plot.pointer({ ...place, title: describe })),
    ],
  });
}

const someChanges = [-0.8, -0.4, -0.2, -0.1, -0.05, -0.02, -0.01, 0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4];

const describe = (row: RepairRow): string =>
  `${row.repair}\nID ${formatShare(row.id)}, OOD ${formatShare(row.ood)}\ngained ${formatPoints(row.gained)} ${formatInterval(row)}`;
