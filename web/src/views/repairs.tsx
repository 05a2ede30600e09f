/** What brings it back: every repair of a repair grid as OOD gained against ID, with its controls. */
import { type ReactNode, useCallback, useMemo } from "react";
import type { RepairRecord } from "../../../src/face/view/contract.ts";
import { drawScatter, toRow } from "../charts/repairs.ts";
import { Figure } from "../figure.tsx";
import { formatInterval, formatPoints, formatPValue, formatShare, toShare } from "../format.ts";
import { type PageProps, Scroll } from "../page.tsx";
import { go } from "../route.ts";

type Repair = RepairRecord["repairs"][number];

/** The repairs of each grid with their controls, gains and intervals. */
export function RepairsPage({ run, route }: PageProps): ReactNode {
  const grids = run.summary.repairs ?? [];
  const chosen = grids.find(({ name }) => name === route.choices.grid) ?? grids[0];
  if (chosen === undefined)
    return (
      <p className="state">
        {run.isFinished
          ? `This run has no repair grid; try repairs with: untwist repair ${run.path}`
          : "Repair grids come at the end of a run."}
      </p>
    );
  return (
    <>
      {grids.length < 2 ? null : (
        <fieldset className="choices">
          <legend>Repair grid</legend>
          {grids.map(({ name, source, target }) => (
            <label key={name}>
              <input
                type="radio"
                name="repair grid"
                checked={name === chosen.name}
                onChange={() => go({ ...route, choices: { grid: name } })}
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
      <Keep grid={chosen} run={run.path} />
      <Scatter grid={chosen} />
      <RepairTable grid={chosen} />
    </>
  );
}

/** The command that writes the best repair, to be copied. */
function Keep({ grid, run }: { readonly grid: RepairRecord; readonly run: string }): ReactNode {
  const { best, repairs, source, target, paths } = grid;
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

function Scatter({ grid }: { readonly grid: RepairRecord }): ReactNode {
  const rows = useMemo(() => grid.repairs.map(toRow), [grid]);
  const draw = useCallback((width: number) => drawScatter(rows, grid, width), [rows, grid]);
  return (
    <Figure
      title={`OOD gained in ${grid.target}, beside what it costs in ID`}
      name={`repairs-${grid.name}`}
      description="Each dot is a repair or control; the table below has all numbers."
      draw={draw}
      rows={rows}
    >
      <p className="quiet">
        Up is better, left costs ID. Gains are on the half of the tasks that had no say in the choice. The
        repairs are one family: their 95 % intervals hold all at once. A control stands alone.
      </p>
    </Figure>
  );
}

function RepairTable({ grid }: { readonly grid: RepairRecord }): ReactNode {
  return (
    <Scroll label="Table of repairs">
      <table>
        <thead>
          <tr>
            <th scope="col">repair</th>
            <th scope="col">ID</th>
            <th scope="col">OOD</th>
            <th scope="col">OOD gained, points</th>
            <th scope="col">p, of family</th>
            <th scope="col">of the loss</th>
            <th scope="col">moved</th>
          </tr>
        </thead>
        <tbody>
          {(["source", "target"] as const).map((side) => (
            <tr key={side}>
              <th scope="row">
                {grid[side]} <em>{side}</em>
              </th>
              <td>{formatShare(toShare(grid.ends[side].id))}</td>
              <td>{formatShare(toShare(grid.ends[side].ood))}</td>
              <td colSpan={4} />
            </tr>
          ))}
          {[...grid.repairs]
            .sort((a, b) => Number(a.role !== "edit") - Number(b.role !== "edit"))
            .map((repair) => (
              <RepairRow
                key={`${repair.role} ${repair.name}`}
                repair={repair}
                isBest={repair.name === grid.best?.name}
              />
            ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function RepairRow({ repair, isBest }: { readonly repair: Repair; readonly isBest: boolean }): ReactNode {
  const { repair: name, id, ood, gained, low, high, pValue, recovered, moved } = toRow(repair);
  const tone = pValue >= 0.05 ? "quiet" : gained > 0 ? "good" : "bad";
  return (
    <tr data-repair={name} className={isBest && repair.gain.estimate > 0 ? "best" : undefined}>
      <th scope="row">
        {name} {repair.role === "edit" ? null : <em>control</em>}
        {isBest ? <em>{repair.gain.estimate > 0 ? "best" : "least harmful"}</em> : null}
      </th>
      <td>{formatShare(id)}</td>
      <td>{formatShare(ood)}</td>
      <td className={tone}>
        {formatPoints(gained)} {formatInterval({ low, high })}
      </td>
      <td>{formatPValue(pValue)}</td>
      <td>{recovered === null ? "" : formatShare(recovered, 0)}</td>
      <td>{formatShare(moved)}</td>
    </tr>
  );
}
