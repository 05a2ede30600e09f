/** What changed in the weights: layers × kinds of matrices as a map, for every pair of checkpoints. */
import * as Plot from "@observablehq/plot";
import { type ReactNode, useCallback, useMemo } from "react";
import type { RunView, WeightMeasure, WeightsView } from "../../../src/view/contract.ts";
import { useData } from "../data.ts";
import { Figure } from "../figure.tsx";
import { formatShare, toDegrees } from "../format.ts";
import { type PageProps, Ready } from "../page.tsx";
import { formatRoute, go } from "../route.ts";

/** What a measure is, how its numbers are written, and its colours. */
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

const measureNames = Object.keys(measures) as WeightMeasure[];

/** The page. */
export function WeightsPage({ run, route }: PageProps): ReactNode {
  const loaded = useData<WeightsView>(route.run, "weights");
  return (
    <Ready loaded={loaded}>
      {(weights) =>
        weights.pairs.length === 0 ? (
          <p className="state">
            {run.isFinished
              ? `This run has no spectra; compute them with: untwist spectra ${run.id}`
              : "Spectra come at the end of a run."}
          </p>
        ) : (
          <WeightsMap weights={weights} run={run} route={route} />
        )
      }
    </Ready>
  );
}

/** The pairs that share a checkpoint before, in the order of the run. */
function listSeries(weights: WeightsView, before: string): readonly string[] {
  return weights.pairs.filter((pair) => pair.before === before).map(({ after }) => after);
}

/** The pair that a place names, or the one that matters most: from the peak to the end of SFT. */
export function choosePair(
  weights: WeightsView,
  { summary }: RunView,
  choices: Readonly<Record<string, string>>,
): { readonly before: string; readonly after: string } {
  const [peak, end] = [summary.trajectory?.peak.checkpoint, summary.trajectory?.sftEnd.checkpoint];
  const fits = (
    pair: { readonly before: string; readonly after: string },
    before?: string,
    after?: string,
  ): boolean =>
    (before === undefined || pair.before === before) && (after === undefined || pair.after === after);
  const { before, after } = choices;
  const { pairs } = weights;
  const found =
    (before !== undefined || after !== undefined
      ? (pairs.find((pair) => fits(pair, before ?? peak, after)) ??
        pairs.find((pair) => fits(pair, before, after)))
      : undefined) ??
    pairs.find((pair) => fits(pair, peak, end)) ??
    pairs[0];
  return found ?? { before: "", after: "" };
}

function WeightsMap({ weights, run, route }: PageProps & { readonly weights: WeightsView }): ReactNode {
  const pair = choosePair(weights, run, route.choices);
  const measure = measureNames.find((name) => name === route.choices.measure) ?? "beyondChance";
  const choose = (choices: Readonly<Record<string, string>>): void =>
    go({ ...route, choices: { ...pair, measure, ...choices } });
  const befores = [...new Set(weights.pairs.map(({ before }) => before))];
  const series = listSeries(weights, pair.before);
  const position = series.indexOf(pair.after);
  return (
    <>
      <div className="controls">
        <label>
          show{" "}
          <select value={measure} onChange={({ target }) => choose({ measure: target.value })}>
            {measureNames.map((name) => (
              <option key={name} value={name}>
                {measures[name].title}
              </option>
            ))}
          </select>
        </label>
        <label>
          from{" "}
          <select
            value={pair.before}
            onChange={({ target }) =>
              choose({ before: target.value, after: listSeries(weights, target.value).at(-1) ?? pair.after })
            }
          >
            {befores.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <label className="slider">
          to <output>{pair.after}</output>
          <input
            type="range"
            min={0}
            max={Math.max(0, series.length - 1)}
            value={position}
            aria-label="checkpoint"
            aria-valuetext={pair.after}
            onChange={({ target }) => choose({ after: series[Number(target.value)] ?? pair.after })}
          />
        </label>
      </div>
      <p className="quiet">{measures[measure].explained}</p>
      <Reading run={run} pair={pair} />
      <HeatMap weights={weights} pair={pair} measure={measure} route={route} />
    </>
  );
}

function Reading({
  run,
  pair,
}: {
  readonly run: RunView;
  readonly pair: { readonly before: string; readonly after: string };
}): ReactNode {
  const found = run.summary.spectra?.pairs.find(
    ({ before, after }) => before === pair.before && after === pair.after,
  );
  if (found === undefined) return null;
  return <p>{`${found.reading.charAt(0).toUpperCase()}${found.reading.slice(1)}.`}</p>;
}

/** The column of what lies in no layer. */
const outside = "outside";

interface Cell {
  readonly [key: string]: string | number | null;
  readonly matrix: string;
  readonly layer: string;
  readonly kind: string;
  readonly value: number | null;
}

interface HeatMapProps {
  readonly weights: WeightsView;
  readonly pair: { readonly before: string; readonly after: string };
  readonly measure: WeightMeasure;
  readonly route: PageProps["route"];
}

function HeatMap({ weights, pair, measure, route }: HeatMapProps): ReactNode {
  const cells = useMemo(() => listCells(weights, pair, measure), [weights, pair, measure]);
  const everything = useMemo(
    () => weights.measures[measure].flat().flatMap((value) => value ?? []),
    [weights, measure],
  );
  const draw = useCallback(
    (width: number) => drawMap(cells, { width, measure, everything, pair, run: route.run }),
    [cells, measure, everything, pair, route.run],
  );
  return (
    <Figure
      title={`${measures[measure].title}, ${pair.before} → ${pair.after}`}
      name={`weights-${measure}-${pair.before}-${pair.after}`}
      description="Layers from left to right, kinds of matrices from top to bottom; each cell links to its matrix."
      draw={draw}
      rows={cells}
    />
  );
}

function listCells(
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

function drawMap(
  cells: readonly Cell[],
  {
    width,
    measure,
    everything,
    pair,
    run,
  }: {
    readonly width: number;
    readonly measure: WeightMeasure;
    readonly everything: readonly number[];
    readonly pair: { readonly before: string; readonly after: string };
    readonly run: string;
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
          legend: true,
          label: "× chance",
          ticks: [0.25, 0.5, 1, 2, 4],
          tickFormat: (value: number) => String(value),
        }
      : {
          scheme: "Oranges",
          domain: [0, largest],
          legend: true,
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
