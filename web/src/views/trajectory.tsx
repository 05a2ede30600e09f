/** When it peaked, what it forgot, what came back: the curves of a run, and the figure of the study. */
import * as Plot from "@observablehq/plot";
import { type ReactNode, useCallback, useMemo, useState } from "react";
import type { Summary } from "../../../src/view/contract.ts";
import { Figure } from "../figure.tsx";
import { formatPoints, formatPValue, formatShare, wilson } from "../format.ts";
import { type PageProps, Scroll } from "../page.tsx";
import { formatRoute } from "../route.ts";

type Checkpoint = Summary["checkpoints"][number];

/** What the curves show of each checkpoint. */
const parts = {
  accuracy: "solved",
  format: "format right",
  values: "values right",
  loss: "loss",
} as const;

type Part = keyof typeof parts;

interface CurvePoint {
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

function listPoints(checkpoints: readonly Checkpoint[], part: Part, run: string): readonly CurvePoint[] {
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
    const value = checkpoint.loss[split];
    return { value, low: value, high: value };
  }
  const count = checkpoint[part][split];
  return { value: count.total === 0 ? 0 : count.correct / count.total, ...wilson(count) };
}

/** The page. */
export function TrajectoryPage({ run, route }: PageProps): ReactNode {
  const { summary } = run;
  const [part, setPart] = useState<Part>("accuracy");
  return (
    <>
      <Tiles summary={summary} />
      <fieldset className="choices">
        <legend>Show</legend>
        {(Object.keys(parts) as Part[]).map((one) => (
          <label key={one}>
            <input type="radio" name="part" checked={one === part} onChange={() => setPart(one)} />
            {parts[one]}
          </label>
        ))}
      </fieldset>
      <Curves summary={summary} part={part} run={route.run} />
      <Sentences summary={summary} />
      <Window summary={summary} />
      <CheckpointTable summary={summary} run={route.run} />
    </>
  );
}

/** The answer in a few numbers. */
function Tiles({ summary }: { readonly summary: Summary }): ReactNode {
  const { trajectory } = summary;
  if (trajectory === null)
    return <p>This run has no SFT stage, so there is no peak and nothing to forget.</p>;
  const { peak, sftEnd, forgetting } = trajectory;
  const best = summary.repairs?.find(({ name }) => name === "repair")?.best;
  const share = ({ correct, total }: { correct: number; total: number }): string =>
    formatShare(correct / Math.max(1, total));
  return (
    <section aria-label="Outcome">
      <ul className="tiles">
        <li>
          <b>{share(peak.ood)}</b>
          <span>OOD at the peak, {peak.checkpoint}</span>
        </li>
        <li>
          <b>{share(sftEnd.ood)}</b>
          <span>OOD at the end of SFT, {sftEnd.checkpoint}</span>
        </li>
        <li>
          <b>{formatPoints(-forgetting.estimate)}</b>
          <span>
            points forgotten on held-out tasks, {formatPValue(forgetting.pValue)}, n = {forgetting.numItems}
          </span>
        </li>
        {best === undefined || best === null ? null : (
          <li>
            <b>{formatPoints(best.gain.estimate)}</b>
            <span>points back without training: {best.name}</span>
          </li>
        )}
      </ul>
    </section>
  );
}

function Sentences({ summary }: { readonly summary: Summary }): ReactNode {
  const sweeps = summary.repairs ?? [];
  const sentences = [
    ...(summary.trajectory?.sentences ?? []),
    ...sweeps.flatMap((sweep) => sweep.sentences.slice(0, 1)),
  ];
  return (
    <ul className="sentences">
      {sentences.map((sentence) => (
        <li key={sentence}>{sentence}</li>
      ))}
    </ul>
  );
}

const colors = { domain: ["ID", "OOD"], range: ["var(--id)", "var(--ood)"] };

function Curves({
  summary,
  part,
  run,
}: {
  readonly summary: Summary;
  readonly part: Part;
  readonly run: string;
}): ReactNode {
  const points = useMemo(() => listPoints(summary.checkpoints, part, run), [summary, part, run]);
  const draw = useCallback(
    (width: number) => drawCurves(points, { width, part, summary }),
    [points, part, summary],
  );
  return (
    <Figure
      title={part === "loss" ? "Loss by checkpoint" : `Tasks ${parts[part]} by checkpoint`}
      name={`trajectory-${part}`}
      description="ID and OOD by SFT step, then by update of each RL branch; the numbers are in the table below."
      draw={draw}
      rows={points.map(({ position: _, address: __, ...row }) => row)}
    >
      <p className="quiet">
        SFT by step on the left, then each RL branch, beginning with the SFT step it started from, by
        +updates. Bars are 95 % intervals.
        {part === "loss" ? " The loss of ID falls while OOD is forgotten: it does not tell." : ""}
      </p>
    </Figure>
  );
}

function drawCurves(
  points: readonly CurvePoint[],
  { width, part, summary }: { readonly width: number; readonly part: Part; readonly summary: Summary },
): Element {
  const ticks = new Map(points.map(({ position, label }) => [position, label]));
  const starts = [...new Set(points.map(({ line }) => line))].map((line) => {
    const own = points.filter((point) => point.line === line);
    return {
      line,
      from: Math.min(...own.map((p) => p.position)),
      to: Math.max(...own.map((p) => p.position)),
    };
  });
  const peak = summary.trajectory?.peak.checkpoint;
  const marked = points.filter(({ checkpoint, split }) => checkpoint === peak && split === "OOD");
  const isLoss = part === "loss";
  const [bottom, top] = [0, isLoss ? Math.max(...points.map(({ value }) => value)) : 1];
  return Plot.plot({
    width,
    height: width < 600 ? 300 : 380,
    marginLeft: 46,
    marginBottom: 44,
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
    color: { ...colors, legend: true },
    marks: [
      Plot.rect(starts, {
        x1: (d) => d.from - 0.45,
        x2: (d) => d.to + 0.45,
        y1: () => bottom,
        y2: () => top,
        fill: (d) => (d.line === "sft" ? "var(--sft)" : "var(--rl)"),
      }),
      Plot.text(starts, {
        x: (d) => d.from - 0.4,
        frameAnchor: "bottom-left",
        text: (d) => (d.line === "sft" ? "SFT" : width > 700 ? d.line : ""),
        textAnchor: "start",
        dy: -6,
        fill: "var(--quiet)",
      }),
      ...(isLoss
        ? []
        : [
            Plot.ruleX(points, {
              x: "position",
              y1: "low",
              y2: "high",
              stroke: "split",
              strokeOpacity: 0.45,
              strokeWidth: 3,
            }),
          ]),
      Plot.line(points, {
        x: "position",
        y: "value",
        z: (d: CurvePoint) => `${d.split} ${d.line}`,
        stroke: "split",
        strokeWidth: 2,
      }),
      Plot.dot(points, { x: "position", y: "value", fill: "split", symbol: "split", r: 4, href: "address" }),
      Plot.dot(marked, { x: "position", y: "value", r: 9, stroke: "var(--ood)", strokeWidth: 2 }),
      Plot.text(marked, {
        x: "position",
        y: "value",
        text: () => "peak",
        dy: -16,
        fill: "var(--ood)",
        fontWeight: "bold",
      }),
      Plot.tip(
        points,
        Plot.pointer({
          x: "position",
          y: "value",
          title: (d: CurvePoint) =>
            `${d.checkpoint}\n${d.split} ${isLoss ? d.value.toFixed(3) : `${formatShare(d.value)} [${formatShare(d.low)}, ${formatShare(d.high)}]`}`,
        }),
      ),
    ],
  });
}

/** The study's main figure: OOD after RL, by the SFT checkpoint that RL started from. */
function Window({ summary }: { readonly summary: Summary }): ReactNode {
  const rows = useMemo(() => listBranches(summary), [summary]);
  const draw = useCallback((width: number) => drawWindow(rows, width), [rows]);
  if (rows.length === 0) return null;
  return (
    <Figure
      title="OOD before and after RL, by the SFT step that RL started from"
      name="recovery-window"
      description="Each branch as an arrow from the OOD accuracy of its start to that of its end."
      draw={draw}
      rows={rows}
    >
      <p className="quiet">
        Shaded: branches that clearly recovered some of what SFT had forgotten since the peak. Starts before
        the peak had nothing to recover.
      </p>
    </Figure>
  );
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

function listBranches({ trajectory }: Summary): readonly BranchRow[] {
  return (trajectory?.branches ?? [])
    .map(({ name, start, end, recovery }) => ({
      branch: name,
      from: start.step,
      before: start.ood.correct / start.ood.total,
      after: end.ood.correct / end.ood.total,
      recovery: recovery?.estimate ?? null,
      low: recovery?.low ?? null,
      high: recovery?.high ?? null,
    }))
    .sort((a, b) => a.from - b.from);
}

function drawWindow(rows: readonly BranchRow[], width: number): Element {
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

function CheckpointTable({ summary, run }: { readonly summary: Summary; readonly run: string }): ReactNode {
  const { checkpoints, trajectory } = summary;
  const count = ({ correct, total }: { correct: number; total: number }): string => `${correct}/${total}`;
  const notes = new Map([
    [trajectory?.peak.checkpoint, "peak"],
    [trajectory?.sftEnd.checkpoint, "end of SFT"],
  ]);
  return (
    <section aria-label="Checkpoints">
      <h3>Checkpoints</h3>
      <Scroll label="Table of checkpoints">
        <table>
          <thead>
            <tr>
              <th scope="col">checkpoint</th>
              <th scope="col">ID solved</th>
              <th scope="col">OOD solved</th>
              <th scope="col">OOD values right</th>
              <th scope="col">loss ID</th>
              <th scope="col">loss OOD</th>
              <th scope="col">see</th>
            </tr>
          </thead>
          <tbody>
            {checkpoints.map(({ id, accuracy, values, loss }) => (
              <tr key={id} data-checkpoint={id}>
                <th scope="row">
                  {id} {notes.has(id) ? <em>{notes.get(id)}</em> : null}
                </th>
                <td>{count(accuracy.id)}</td>
                <td>{count(accuracy.ood)}</td>
                <td>{count(values.ood)}</td>
                <td>{loss.id.toFixed(3)}</td>
                <td>{loss.ood.toFixed(3)}</td>
                <td>
                  <a href={formatRoute({ run, view: "weights", choices: { after: id } })}>weights</a>{" "}
                  <a href={formatRoute({ run, view: "answers", choices: { checkpoint: id } })}>answers</a>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </section>
  );
}
