/** What brings it back: every repair of a sweep as OOD gained against ID, with its controls. */
import { type ReactNode, useCallback, useMemo } from "react";
import type { SweepRecord } from "../../../src/face/view/contract.ts";
import { drawScatter, toRow } from "../charts/repairs.ts";
import { Figure } from "../figure.tsx";
import { formatPoints, formatPValue, formatShare, toShare } from "../format.ts";
import { type PageProps, Scroll } from "../page.tsx";
import { go } from "../route.ts";

type Repair = SweepRecord["repairs"][number];

/** The page. */
export function RepairsPage({ run, route }: PageProps): ReactNode {
  const sweeps = run.summary.repairs ?? [];
  const chosen = sweeps.find(({ name }) => name === route.choices.sweep) ?? sweeps[0];
  if (chosen === undefined)
    return (
      <p className="state">
        {run.isFinished
          ? `This run has no sweep; try repairs with: untwist sweep ${run.path}`
          : "Sweeps come at the end of a run."}
      </p>
    );
  return (
    <>
      {sweeps.length < 2 ? null : (
        <fieldset className="choices">
          <legend>Sweep</legend>
          {sweeps.map(({ name, source, target }) => (
            <label key={name}>
              <input
                type="radio"
                name="sweep"
                checked={name === chosen.name}
                onChange={() => go({ ...route, choices: { sweep: name } })}
              />
              {name}: {source} into {target}
            </label>
          ))}
        </fieldset>
      )}
      <ul className="sentences">
        {chosen.sentences.map((sentence) => (
          <li key={sentence}>{sentence}</li>
        ))}
      </ul>
      <Keep sweep={chosen} run={run.path} />
      <Scatter sweep={chosen} />
      <RepairTable sweep={chosen} />
    </>
  );
}

/** The command that writes the best repair, to be copied. */
function Keep({ sweep, run }: { readonly sweep: SweepRecord; readonly run: string }): ReactNode {
  const { best, repairs, source, target, paths } = sweep;
  const operation = repairs.find(({ name }) => name === best?.name)?.operation;
  if (best === null || best.gain.estimate <= 0 || operation?.operation !== "restore") return null;
  const into = paths?.target ?? `${run}/checkpoints/${target}`;
  const from = paths?.source ?? `${run}/checkpoints/${source}`;
  const choice = [
    operation.tail === 0 ? "" : ` --tail ${operation.tail}`,
    operation.strength === 1 ? "" : ` --strength ${operation.strength}`,
    operation.layers === undefined ? "" : ` --layers ${operation.layers}`,
    operation.matrices === undefined ? "" : ` --matrices '${operation.matrices}'`,
  ].join("");
  const command = `untwist restore --into ${into} --from ${from} --what ${operation.what} --top ${operation.top}${choice} --out repaired`;
  return (
    <div className="command">
      <code>{command}</code>
      <button type="button" onClick={() => void navigator.clipboard.writeText(command)}>
        Copy
      </button>
    </div>
  );
}

function Scatter({ sweep }: { readonly sweep: SweepRecord }): ReactNode {
  const rows = useMemo(() => sweep.repairs.map(toRow), [sweep]);
  const draw = useCallback((width: number) => drawScatter(rows, sweep, width), [rows, sweep]);
  return (
    <Figure
      title={`OOD gained in ${sweep.target}, beside what it costs in ID`}
      name={`repairs-${sweep.name}`}
      description="Each dot is a repair or control; the table below has all numbers."
      draw={draw}
      rows={rows}
    >
      <p className="quiet">
        Up is better, left costs ID. Gains are on the tasks that did not choose the peak, with 95 % intervals.
      </p>
    </Figure>
  );
}

function RepairTable({ sweep }: { readonly sweep: SweepRecord }): ReactNode {
  return (
    <Scroll label="Table of repairs">
      <table>
        <thead>
          <tr>
            <th scope="col">repair</th>
            <th scope="col">ID</th>
            <th scope="col">OOD</th>
            <th scope="col">OOD gained, points</th>
            <th scope="col">p, corrected</th>
            <th scope="col">of the loss</th>
            <th scope="col">moved</th>
          </tr>
        </thead>
        <tbody>
          {(["source", "target"] as const).map((side) => (
            <tr key={side}>
              <th scope="row">
                {sweep[side]} <em>{side}</em>
              </th>
              <td>{formatShare(toShare(sweep.ends[side].id))}</td>
              <td>{formatShare(toShare(sweep.ends[side].ood))}</td>
              <td colSpan={4} />
            </tr>
          ))}
          {[...sweep.repairs]
            .sort((a, b) => Number(a.role !== "edit") - Number(b.role !== "edit"))
            .map((repair) => (
              <RepairRow
                key={`${repair.role} ${repair.name}`}
                repair={repair}
                isBest={repair.name === sweep.best?.name}
              />
            ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function RepairRow({ repair, isBest }: { readonly repair: Repair; readonly isBest: boolean }): ReactNode {
  const { repair: name, id, ood, gained, low, high, pCorrected, recovered, moved } = toRow(repair);
  const tone = pCorrected >= 0.05 ? "quiet" : gained > 0 ? "good" : "bad";
  return (
    <tr data-repair={name} className={isBest && repair.gain.estimate > 0 ? "best" : undefined}>
      <th scope="row">
        {name} {repair.role === "edit" ? null : <em>control</em>}
        {isBest ? <em>{repair.gain.estimate > 0 ? "best" : "least harmful"}</em> : null}
      </th>
      <td>{formatShare(id)}</td>
      <td>{formatShare(ood)}</td>
      <td className={tone}>
        {formatPoints(gained)} [{formatPoints(low)}, {formatPoints(high)}]
      </td>
      <td>{formatPValue(pCorrected)}</td>
      <td>{recovered === null ? "" : formatShare(recovered, 0)}</td>
      <td>{formatShare(moved)}</td>
    </tr>
  );
}
