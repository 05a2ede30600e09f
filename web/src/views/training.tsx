/** What training logged: curves of every stage, and how advantages shrink as RL goes on. */
import * as Plot from "@observablehq/plot";
import { type ReactNode, useCallback, useMemo } from "react";
import type { CurvesView, StageCurves } from "../../../src/face/view/contract.ts";
import type { DataRow } from "../csv.ts";
import { useData } from "../data.ts";
import { Figure } from "../figure.tsx";
import { type PageProps, Ready } from "../page.tsx";
import { go } from "../route.ts";

/** The page. */
export function TrainingPage({ run, route }: PageProps): ReactNode {
  const loaded = useData<CurvesView>(route.run, "curves", !run.isFinished);
  return (
    <Ready loaded={loaded}>
      {({ stages }) =>
        stages.length === 0 ? (
          <p className="state">Nothing was logged yet.</p>
        ) : (
          <Stages stages={stages} route={route} />
        )
      }
    </Ready>
  );
}

function Stages({
  stages,
  route,
}: {
  readonly stages: readonly StageCurves[];
  readonly route: PageProps["route"];
}): ReactNode {
  const names = [...new Set(stages.flatMap(({ series }) => Object.keys(series)))];
  const name =
    names.find((one) => one === route.choices.curve) ??
    (names.includes("reward") ? "reward" : names[0]) ??
    "";
  const rows = useMemo(
    () =>
      stages.flatMap(({ stage, steps, series }) =>
        (series[name] ?? []).flatMap((value, index) =>
          value === null ? [] : [{ stage, step: steps[index] ?? 0, value }],
        ),
      ),
    [stages, name],
  );
  const draw = useCallback(
    (width: number) =>
      Plot.plot({
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
      }),
    [rows, name, stages],
  );
  return (
    <>
      <fieldset className="choices">
        <legend>Curve</legend>
        {names.map((one) => (
          <label key={one}>
            <input
              type="radio"
              name="curve"
              checked={one === name}
              onChange={() => go({ ...route, choices: { curve: one } })}
            />
            {one}
          </label>
        ))}
      </fieldset>
      <Figure
        title={name}
        name={`training-${name}`}
        description={`${name} by step of every stage.`}
        draw={draw}
        rows={rows}
      />
      <Advantages stages={stages} />
    </>
  );
}

interface Bin extends DataRow {
  readonly stage: string;
  readonly step: number;
  readonly low: number;
  readonly high: number;
  readonly share: number;
}

function Advantages({ stages }: { readonly stages: readonly StageCurves[] }): ReactNode {
  const bins = useMemo(() => stages.flatMap(listBins), [stages]);
  const draw = useCallback(
    (width: number) =>
      Plot.plot({
        width,
        height: 120 + 110 * new Set(bins.map(({ stage }) => stage)).size,
        marginLeft: 50,
        marginRight: 100,
        fy: { label: null, domain: stages.map(({ stage }) => stage) },
        x: { type: "band", label: "update", ticks: width < 600 ? 4 : 12 },
        y: { label: "advantage", grid: true },
        marks: [
          Plot.rect(bins, {
            fy: "stage",
            x: "step",
            y1: "low",
            y2: "high",
            fill: "var(--id)",
            // By area: a tenth of the answers is to be seen beside nine tenths.
            fillOpacity: (bin: Bin) => Math.sqrt(bin.share),
            inset: 0.5,
            tip: true,
          }),
        ],
      }),
    [bins, stages],
  );
  if (bins.length === 0) return null;
  return (
    <Figure
      title="Advantages over updates, by the checkpoint that RL started from"
      name="advantages"
      description="Histograms of raw advantages, darker where more answers lie."
      draw={draw}
      rows={bins}
    >
      <p className="quiet">
        Where nearly all advantages are 0, rewards are equal and there is next to no signal to learn from.
      </p>
    </Figure>
  );
}

function listBins({ stage, advantages }: StageCurves): readonly Bin[] {
  return advantages.flatMap(({ step, low, high, counts }) => {
    const total = counts.reduce((sum, count) => sum + count, 0);
    const width = (high - low) / counts.length;
    return counts.flatMap((count, index) =>
      count === 0
        ? []
        : [{ stage, step, low: low + index * width, high: low + (index + 1) * width, share: count / total }],
    );
  });
}
