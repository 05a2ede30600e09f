/** All runs of a folder: what each forgot, several on one chart. */
import { type ReactNode, useCallback, useEffect, useMemo, useState } from "react";
import type { RunListing, RunView } from "../../../src/face/view/contract.ts";
import {
  drawCompared,
  drawForgotten,
  type ForgottenRow,
  listCompared,
  listForgotten,
} from "../charts/runs.ts";
import { useAll, useData } from "../data.ts";
import { Figure } from "../figure.tsx";
import { formatShare } from "../format.ts";
import { Ready, Scroll } from "../page.tsx";
import { formatRoute } from "../route.ts";

/** The list of runs, and chosen ones on one chart. */
export function RunsPage(): ReactNode {
  const loaded = useData<readonly RunListing[]>("", "runs", true);
  useEffect(() => {
    document.title = "Runs · Untwist";
  }, []);
  return (
    <>
      <header>
        <div className="bar">
          <h1>Runs</h1>
        </div>
      </header>
      <main id="content" tabIndex={-1}>
        <Ready loaded={loaded}>
          {(runs) =>
            runs.length === 0 ? (
              <p className="state">There is no run in this folder yet; start one with: untwist run</p>
            ) : (
              <RunList runs={runs} />
            )
          }
        </Ready>
      </main>
    </>
  );
}

/** Runs compared on one chart at most: more lines cannot be told apart. */
const mostCompared = 8;

function RunList({ runs }: { readonly runs: readonly RunListing[] }): ReactNode {
  const [text, setText] = useState("");
  const [compared, setCompared] = useState<readonly string[]>([]);
  const toggle = (id: string): void =>
    setCompared((before) =>
      before.includes(id) ? before.filter((one) => one !== id) : [...before, id].slice(-mostCompared),
    );
  const shown = runs.filter(({ id, recipe }) => `${id} ${recipe}`.includes(text));
  return (
    <>
      <div className="controls">
        <label>
          find <input type="search" value={text} onChange={({ target }) => setText(target.value)} />
        </label>
        <span className="quiet" role="status">
          {shown.length} of {runs.length} runs
        </span>
      </div>
      {compared.length > 0 ? <Compare runs={compared} /> : <Forgotten runs={shown} />}
      <Scroll label="Table of runs">
        <table>
          <thead>
            <tr>
              <th scope="col">compare</th>
              <th scope="col" className="text">
                run
              </th>
              <th scope="col" className="text">
                recipe
              </th>
              <th scope="col">seed</th>
              <th scope="col" className="text">
                state
              </th>
              <th scope="col">OOD at the peak</th>
              <th scope="col">at the end of SFT</th>
            </tr>
          </thead>
          <tbody>
            {shown.map(({ id, recipe, seed, isFinished, numCheckpoints, ood }) => (
              <tr key={id}>
                <td className="text">
                  <input
                    type="checkbox"
                    aria-label={`compare ${id}`}
                    checked={compared.includes(id)}
                    onChange={() => toggle(id)}
                  />
                </td>
                <th scope="row">
                  <a href={formatRoute({ run: id, view: "trajectory", choices: {} })}>{id}</a>
                </th>
                <td className="text">{recipe}</td>
                <td>{seed}</td>
                <td className="text">{isFinished ? "finished" : `${numCheckpoints} checkpoints so far`}</td>
                <td>{ood === undefined ? "" : formatShare(ood.peak / ood.numTasks)}</td>
                <td>{ood === undefined ? "" : formatShare(ood.end / ood.numTasks)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </>
  );
}

function Forgotten({ runs }: { readonly runs: readonly RunListing[] }): ReactNode {
  // The list comes anew every few seconds; the chart is drawn anew only where its rows are others.
  const key = JSON.stringify(listForgotten(runs));
  const rows = useMemo((): readonly ForgottenRow[] => JSON.parse(key), [key]);
  const draw = useCallback((width: number) => drawForgotten(rows, width), [rows]);
  if (rows.length === 0) return null;
  return (
    <Figure
      title="From the OOD peak to the end of SFT"
      name="runs"
      description="One arrow per run, from its OOD accuracy at the peak to that at the end of SFT."
      draw={draw}
      rows={rows}
    />
  );
}

/** OOD over SFT of several runs on one chart. */
function Compare({ runs }: { readonly runs: readonly string[] }): ReactNode {
  const loaded = useAll<RunView>(runs, "run");
  const rows = useMemo(() => listCompared(loaded), [loaded]);
  const draw = useCallback((width: number) => drawCompared(rows, width), [rows]);
  return (
    <Figure
      title="OOD over SFT, compared"
      name="compared"
      description="OOD accuracy by SFT step, one line per run."
      draw={draw}
      rows={rows}
    />
  );
}
