/** What training logged, drawn: curves of every stage, and histograms of advantages. */
import * as Plot from "@observablehq/plot";
import type { StageCurves } from "../../../src/face/view/contract.ts";
import type { DataRow } from "../csv.ts";

/** A logged value at a step of a stage. */
export interface LoggedRow extends DataRow {
  readonly stage: string;
  readonly step: number;
  readonly value: number;
}

/** One row per logged value of a curve. */
export function listLogged(stages: readonly StageCurves[], name: string): readonly LoggedRow[] {
  return stages.flatMap(({ stage, steps, series }) =>
    (series[name] ?? []).flatMap((value, index) =>
      value === null ? [] : [{ stage, step: steps[index] ?? 0, value }],
    ),
  );
}

interface CurveOptions {
  readonly name: string;
  readonly stages: readonly StageCurves[];
  readonly width: number;
}

/** A curve of all stages by step. */
export function drawLogged(rows: readonly LoggedRow[], { name, stages, width }: CurveOptions): Element {
  return Plot.plot({
    width,
    height: 320,
    marginLeft: 56,
    x: {
      label: "step or update",
      tickFormat: (step: number) => (Number.isInteger(step) ? String(step) : ""),
    },
    y: { grid: true, label: name },
    color: { legend: true, scheme: "Tableau10", domain: stages.map(({ stage }) => stage) },
    marks: [
      Plot.line(rows, { x: "step", y: "value", stroke: "stage", strokeWidth: 1.6 }),
      Plot.tip(
        rows,
        Plot.pointer({ x: "step", y: "value", title: (d) => `${d.stage}, ${d.step}\n${d.value}` }),
      ),
    ],
  });
}

/** A bin of the advantages of one update. */
export interface AdvantageRow extends DataRow {
  readonly stage: string;
  readonly step: number;
  readonly low: number;
  readonly high: number;
  /** Of the update's answers. */
  readonly share: number;
}

/** One row per bin that holds an answer. */
export function listAdvantages(stages: readonly StageCurves[]): readonly AdvantageRow[] {
  return stages.flatMap(({ stage, advantages }) =>
    advantages.flatMap(({ step, low, high, counts }) => {
      const total = counts.reduce((sum, count) => sum + count, 0);
      const width = (high - low) / counts.length;
      return counts.flatMap((count, index) =>
        count === 0
          ? []
          : [
              {
                stage,
                step,
                low: low + index * width,
                high: low + (index + 1) * width,
                share: count / total,
              },
            ],
      );
    }),
  );
}

/** Histograms of advantages, one panel per stage, darker where more answers lie. */
export function drawAdvantages(
  rows: readonly AdvantageRow[],
  stages: readonly StageCurves[],
  width: number,
): Element {
  return Plot.plot({
    width,
    height: 120 + 110 * new Set(rows.map(({ stage }) => stage)).size,
    marginLeft: 50,
    marginRight: 100,
    fy: { label: null, domain: stages.map(({ stage }) => stage) },
    x: { type: "band", label: "update", ticks: width < 600 ? 4 : 12 },
    y: { label: "advantage", grid: true },
    marks: [
      Plot.rect(rows, {
        fy: "stage",
        x: "step",
        y1: "low",
        y2: "high",
        fill: "var(--id)",
        // By area: a tenth of the answers is to be seen beside nine tenths.
        fillOpacity: ({ share }: AdvantageRow) => Math.sqrt(share),
        inset: 0.5,
        tip: true,
      }),
    ],
  });
}
