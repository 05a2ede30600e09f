/** Layers × kinds of matrices as a map. */
import * as Plot from "@observablehq/plot";
import type { WeightMeasure, WeightsView } from "../../../src/face/view/contract.ts";
import { formatShare, toDegrees } from "../format.ts";
import { formatRoute } from "../route.ts";

/** What a measure is, how its numbers are written, and its colors. */
export const measures: Readonly<
  Record<
    WeightMeasure,
    { readonly title: string; readonly explained: string; readonly format: (value: number) => string }
  >
> = {
  beyondChance: {
    title: "rotation beyond chance",
    explained:
      "How far the leading directions rotated, over what a random update of the same size would do. 1 is chance.",
    format: (value) => `${value.toFixed(2)} ×`,
  },
  rotation: {
    title: "rotation",
    explained: "Root mean square angle between the leading directions before and after.",
    format: (value) => `${toDegrees(value).toFixed(1)}°`,
  },
  spectralShift: {
    title: "spectral shift",
    explained: "How far the singular values moved, ‖Δσ‖ / ‖σ‖.",
    format: (value) => formatShare(value, 2),
  },
  relativeUpdate: {
    title: "size of the update",
    explained: "‖Δ‖ / ‖W‖ in the Frobenius norm.",
    format: (value) => formatShare(value, 1),
  },
  unchanged: {
    title: "unchanged numbers",
    explained: "Share of numbers that are the same to the last bit.",
    format: (value) => formatShare(value, 1),
  },
};

/** Their names. */
export const measureNames = Object.keys(measures) as WeightMeasure[];

/** The column of what lies in no layer. */
const outside = "outside";

/** A matrix on the map. */
export interface Cell {
  readonly [key: string]: string | number | null;
  readonly matrix: string;
  readonly layer: string;
  readonly kind: string;
  readonly value: number | null;
}

/** Every matrix with its number. */
export function listCells(
  weights: WeightsView,
  pair: { readonly before: string; readonly after: string },
  measure: WeightMeasure,
): readonly Cell[] {
  const index = weights.pairs.findIndex(
    ({ before, after }) => before === pair.before && after === pair.after,
  );
  return weights.matrices.map(({ name, layer, kind }, matrix) => ({
    matrix: name,
    layer: layer === null ? outside : String(layer),
    kind,
    value: weights.measures[measure][index]?.[matrix] ?? null,
  }));
}

/** The map. */
export function drawMap(
  cells: readonly Cell[],
  {
    width,
    measure,
    everything,
    pair,
    run,
    hasLegend = true,
  }: {
    readonly width: number;
    readonly measure: WeightMeasure;
    readonly everything: readonly number[];
    readonly pair: { readonly before: string; readonly after: string };
    readonly run: string;
    /** Files do without the ramp of colors, which takes a canvas: every cell has its number. */
    readonly hasLegend?: boolean;
  },
): Element {
  const kinds = [...new Set(cells.map(({ kind }) => kind))];
  const layers = [...new Set(cells.map(({ layer }) => layer))].sort(
    (a, b) => Number(a === outside) - Number(b === outside) || Number(a) - Number(b),
  );
  const { format } = measures[measure];
  const largest = everything.reduce((most, value) => Math.max(most, value), 0);
  const isDiverging = measure === "beyondChance";
  const known = cells.filter(({ value }) => value !== null);
  const isRoomy = width / layers.length > 64;
  return Plot.plot({
    width,
    height: 60 + 34 * kinds.length,
    marginLeft: 100,
    x: { domain: layers, label: "layer", axis: "top" },
    y: { domain: kinds, label: null },
    color: isDiverging
      ? {
          type: "diverging-log",
          scheme: "PuOr",
          pivot: 1,
          reverse: true,
          domain: [1 / 4, 4],
          clamp: true,
          legend: hasLegend,
          label: "× chance",
          ticks: [0.25, 0.5, 1, 2, 4],
          tickFormat: (value: number) => String(value),
        }
      : {
          scheme: "Oranges",
          domain: [0, largest],
          legend: hasLegend,
          tickFormat: format,
          label: measures[measure].title,
        },
    marks: [
      Plot.cell(known, {
        x: "layer",
        y: "kind",
        fill: "value",
        inset: 1,
        rx: 3,
        href: ({ matrix }: Cell) => formatRoute({ run, view: "matrix", choices: { ...pair, name: matrix } }),
        title: ({ matrix, value }: Cell) => `${matrix}\n${value === null ? "" : format(value)}`,
      }),
      ...(isRoomy
        ? [
            Plot.text(known, {
              x: "layer",
              y: "kind",
              text: ({ value }: Cell) => (value === null ? "" : format(value)),
              fill: "#111",
              stroke: "#fff",
              strokeWidth: 3,
              strokeOpacity: 0.7,
              pointerEvents: "none",
            }),
          ]
        : []),
    ],
  });
}
