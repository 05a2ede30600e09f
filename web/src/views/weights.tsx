/** What changed in the weights: layers × kinds of matrices as a map, for every pair of checkpoints. */
import { type ReactNode, useCallback, useEffect, useMemo, useRef, useState } from "react";
import type { RunView, WeightMeasure, WeightsView } from "../../../src/face/view/contract.ts";
import { drawMap, listCells, measureNames, measures } from "../charts/weights.ts";
import { useData } from "../data.ts";
import { Figure } from "../figure.tsx";
import { NoSpectra, type PageProps, Ready } from "../page.tsx";
import { go } from "../route.ts";

/** All matrices between two checkpoints, as a map by layer and kind. */
export function WeightsPage({ run, route }: PageProps): ReactNode {
  const loaded = useData<WeightsView>(route.run, "weights", !run.isFinished);
  return (
    <Ready loaded={loaded}>
      {(weights) =>
        weights.pairs.length === 0 ? (
          <NoSpectra run={run} />
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
        <Play
          onStep={() => {
            const next = series[position + 1];
            if (next === undefined) return false;
            choose({ after: next });
            return true;
          }}
          onStart={() => {
            if (position === series.length - 1) choose({ after: series[0] ?? pair.after });
          }}
        />
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

/** Milliseconds that each checkpoint is shown while the training plays. */
const frameMs = 700;

/** Goes through the checkpoints by itself, from the first one where it stands at the last. */
function Play({
  onStart,
  onStep,
}: {
  readonly onStart: () => void;
  /** Shows the next one; false where there is none. */
  readonly onStep: () => boolean;
}): ReactNode {
  const [isPlaying, setIsPlaying] = useState(false);
  const step = useRef(onStep);
  useEffect(() => {
    step.current = onStep;
  });
  useEffect(() => {
    if (!isPlaying) return;
    const timer = setInterval(() => {
      if (!step.current()) setIsPlaying(false);
    }, frameMs);
    return () => clearInterval(timer);
  }, [isPlaying]);
  return (
    <button
      type="button"
      onClick={() => {
        if (!isPlaying) onStart();
        setIsPlaying(!isPlaying);
      }}
    >
      {isPlaying ? "pause" : "play"}
    </button>
  );
}

/** What a pair says in words: how much of it was compared first, then its numbers, then what else is different. */
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
  const { coverage, config = [] } = found;
  const notes = [...(coverage.notes ?? []), ...config.map(({ text }) => text)];
  return (
    <>
      {coverage.incomplete === undefined ? null : (
        <p>
          <b>{toSentence(coverage.incomplete)}</b>
        </p>
      )}
      <p>{toSentence(found.reading)}</p>
      {notes.length === 0 ? null : (
        <ul className="quiet">
          {notes.map((note) => (
            <li key={note}>{toSentence(note)}</li>
          ))}
        </ul>
      )}
    </>
  );
}

function toSentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
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
