/** When it peaked, what it forgot, what came back: the curves of a run, and the figure of the study. */
import { type ReactNode, useCallback, useMemo } from "react";
import type { Summary } from "../../../src/face/view/contract.ts";
import { drawCurves, drawWindow, listBranches, listPoints, type Part, parts } from "../charts/trajectory.ts";
import { Figure } from "../figure.tsx";
import { formatPoints, formatPValue, formatShare, toShare } from "../format.ts";
import { type PageProps, Scroll } from "../page.tsx";
import { formatRoute, go } from "../route.ts";

/** Accuracy over the checkpoints: peak, forgetting and recovery. */
export function TrajectoryPage({ run, route }: PageProps): ReactNode {
  const { summary } = run;
  const names = Object.keys(parts) as Part[];
  const part = names.find((one) => one === route.choices.show) ?? "accuracy";
  if (run.isFinished && summary.checkpoints.length === 0)
    return (
      <p className="state">
        No checkpoint is evaluated yet; do it with: untwist eval {run.path} --environment general-points
      </p>
    );
  return (
    <>
      {run.alerts.map((alert) => (
        <p key={alert} className="alert" role="status">
          {alert}
        </p>
      ))}
      <Tiles summary={summary} isFinished={run.isFinished} />
      <fieldset className="choices">
        <legend>Show</legend>
        {names.map((one) => (
          <label key={one}>
            <input
              type="radio"
              name="part"
              checked={one === part}
              onChange={() => go({ ...route, choices: { show: one } })}
            />
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
function Tiles({
  summary,
  isFinished,
}: {
  readonly summary: Summary;
  readonly isFinished: boolean;
}): ReactNode {
  const { trajectory } = summary;
  if (trajectory === null)
    return (
      <p>
        {isFinished
          ? "No SFT checkpoint of this run is evaluated, so there is no peak and nothing to forget."
          : "No SFT checkpoint is evaluated so far, so the peak is not known yet."}
      </p>
    );
  const { peak, otherPeak, peakAccuracy, sftEnd, forgetting, unjudgedBecause } = trajectory;
  const best = summary.repairs?.find(({ name }) => name === "repair")?.best;
  return (
    <section aria-label="Outcome">
      <ul className="tiles">
        <Tile value={formatShare(toShare(peakAccuracy))}>
          OOD at the peak, {peak.checkpoint}
          {otherPeak === undefined ? "" : ` and ${otherPeak.checkpoint}`}, of {peakAccuracy.total} tasks
        </Tile>
        <Tile value={formatShare(toShare(sftEnd.ood))}>
          OOD at the end of SFT, {sftEnd.checkpoint}, of {sftEnd.ood.total} tasks
        </Tile>
        {unjudgedBecause === undefined ? (
          <Tile value={formatPoints(-forgetting.estimate)}>
            points from the peak to the end, {formatPValue(forgetting.pValue)}, n = {forgetting.numItems}
          </Tile>
        ) : (
          <Tile value="?">forgetting cannot be judged: {unjudgedBecause}</Tile>
        )}
        {best === undefined || best === null ? null : (
          <Tile value={formatPoints(best.gain.estimate)}>points back without training: {best.name}</Tile>
        )}
      </ul>
    </section>
  );
}

/** A number, and under it what it is of. */
function Tile({ value, children }: { readonly value: string; readonly children: ReactNode }): ReactNode {
  return (
    <li>
      <b>{value}</b>
      <span>{children}</span>
    </li>
  );
}

function Sentences({ summary }: { readonly summary: Summary }): ReactNode {
  const grids = summary.repairs ?? [];
  const sentences = [
    ...(summary.trajectory?.sentences ?? []),
    ...grids.flatMap((grid) => grid.sentences.slice(0, 1)),
  ];
  return (
    <ul className="sentences">
      {sentences.map((sentence) => (
        <li key={sentence}>{sentence}</li>
      ))}
    </ul>
  );
}

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
      </p>
    </Figure>
  );
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

function CheckpointTable({ summary, run }: { readonly summary: Summary; readonly run: string }): ReactNode {
  const { checkpoints, trajectory } = summary;
  const count = ({ correct, total }: { correct: number; total: number }): string =>
    total === 0 ? "–" : `${Number(correct.toFixed(2))}/${total}`;
  const noteOf = (id: string): string =>
    [
      ...(id === trajectory?.peak.checkpoint ? ["peak"] : []),
      ...(id === trajectory?.sftEnd.checkpoint ? ["end of SFT"] : []),
    ].join(", ");
  return (
    <section aria-label="Checkpoints">
      <h2>Checkpoints</h2>
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
                  {id} {noteOf(id) === "" ? null : <em>{noteOf(id)}</em>}
                </th>
                <td>{count(accuracy.id)}</td>
                <td>{count(accuracy.ood)}</td>
                <td>{count(values.ood)}</td>
                <td>{loss.id?.toFixed(3) ?? "–"}</td>
                <td>{loss.ood?.toFixed(3) ?? "–"}</td>
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
