/** Runs beside each other, drawn: what each forgot, and several curves on one chart. */
import * as Plot from "@observablehq/plot";
import type { RunListing, RunView } from "../../../src/face/view/contract.ts";
import type { DataRow } from "../csv.ts";
import { toShare } from "../format.ts";

/** Most runs that a chart of names can show. */
const mostShown = 40;

/** OOD accuracy of a run at its peak and at the end of SFT, as shares. */
export interface ForgottenRow extends DataRow {
  readonly run: string;
  readonly peak: number;
  readonly end: number;
}

/** One row per run that has an end of SFT, the first ones. */
export function listForgotten(runs: readonly RunListing[]): readonly ForgottenRow[] {
  return runs
    .flatMap(({ id, ood }) =>
      ood === undefined ? [] : [{ run: id, peak: ood.peak / ood.numTasks, end: ood.end / ood.numTasks }],
    )
    .slice(0, mostShown);
}

/** One arrow per run, from its peak to the end of SFT. */
export function drawForgotten(rows: readonly ForgottenRow[], width: number): Element {
  return Plot.plot({
    width,
    height: 70 + 22 * rows.length,
    marginLeft: Math.min(240, 20 + 7 * Math.max(...rows.map(({ run }) => run.length))),
    x: { domain: [0, 1], tickFormat: "%", grid: true, label: "OOD tasks solved" },
    y: { label: null },
    marks: [
      Plot.arrow(rows, { x1: "peak", x2: "end", y1: "run", y2: "run", stroke: "var(--ood)", strokeWidth: 2 }),
      Plot.dot(rows, { x: "peak", y: "run", fill: "var(--surface)", stroke: "var(--ood)", r: 4 }),
    ],
  });
}

/** Accuracy of a run at an SFT step, as shares. */
export interface ComparedRow extends DataRow {
  readonly run: string;
  readonly step: number;
  readonly ood: number;
  readonly idAccuracy: number;
}

/** One row per run and SFT checkpoint. */
export function listCompared(runs: readonly RunView[]): readonly ComparedRow[] {
  return runs.flatMap(({ id, summary }) =>
    summary.checkpoints
      .filter(({ stage }) => stage === "sft")
      .map(({ step, accuracy }) => ({
        run: id,
        step,
        ood: toShare(accuracy.ood),
        idAccuracy: toShare(accuracy.id),
      })),
  );
}

/** OOD accuracy by SFT step, one line per run. */
export function drawCompared(rows: readonly ComparedRow[], width: number): Element {
  return Plot.plot({
    width,
    height: 320,
    marginLeft: 46,
    x: { type: "log", label: "SFT step", tickFormat: (step: number) => String(step), ticks: 6 },
    y: { domain: [0, 1], tickFormat: "%", grid: true, label: "OOD tasks solved" },
    color: { legend: true, scheme: "Tableau10" },
    marks: [
      Plot.line(rows, { x: "step", y: "ood", stroke: "run", strokeWidth: 2, marker: "circle", tip: true }),
    ],
  });
}
