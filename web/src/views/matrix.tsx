/** One matrix in one pair of checkpoints: values, angles beside chance, where the update lies, what guards say. */
import { type ReactNode, useCallback, useMemo } from "react";
import type { MatrixView, OverlapView, WeightsView } from "../../../src/face/view/contract.ts";
import {
  drawAngles,
  drawEnergy,
  drawOverlaps,
  drawValues,
  listAngles,
  listEnergy,
  listOverlaps,
  listValues,
} from "../charts/matrix.ts";
import { useData } from "../data.ts";
import { Figure } from "../figure.tsx";
import { formatShare } from "../format.ts";
import { NoSpectra, type PageProps, Ready } from "../page.tsx";
import { go } from "../route.ts";
import { choosePair } from "./weights.tsx";

/** One matrix over the checkpoints: values, angles, energy and the update, beside chance. */
export function MatrixPage({ run, route }: PageProps): ReactNode {
  const weights = useData<WeightsView>(route.run, "weights", !run.isFinished);
  return (
    <Ready loaded={weights}>
      {(value) =>
        value.pairs.length === 0 ? <NoSpectra run={run} /> : <Pair weights={value} run={run} route={route} />
      }
    </Ready>
  );
}

function Pair({ weights, run, route }: PageProps & { readonly weights: WeightsView }): ReactNode {
  const pair = choosePair(weights, run, route.choices);
  const loaded = useData<readonly MatrixView[]>(route.run, `pair/${pair.before}/${pair.after}`);
  const name = route.choices.name ?? mostRotated(weights, pair);
  const choose = (choices: Readonly<Record<string, string>>): void =>
    go({ ...route, choices: { ...pair, name, ...choices } });
  return (
    <>
      <div className="controls">
        <label>
          matrix{" "}
          <select value={name} onChange={({ target }) => choose({ name: target.value })}>
            {weights.matrices.map((matrix) => (
              <option key={matrix.name}>{matrix.name}</option>
            ))}
          </select>
        </label>
        <label>
          from … to{" "}
          <select
            value={`${pair.before} ${pair.after}`}
            onChange={({ target }) => {
              const [before = "", after = ""] = target.value.split(" ");
              choose({ before, after });
            }}
          >
            {weights.pairs.map(({ before, after }) => (
              <option key={`${before} ${after}`} value={`${before} ${after}`}>
                {before} → {after}
              </option>
            ))}
          </select>
        </label>
      </div>
      <Ready loaded={loaded}>
        {(matrices) => {
          const matrix = matrices.find((one) => one.name === name) ?? matrices[0];
          return matrix === undefined ? (
            <p className="state">There is no such matrix in this pair.</p>
          ) : (
            <Matrix matrix={matrix} run={route.run} />
          );
        }}
      </Ready>
    </>
  );
}

/** The matrix to begin with: the one that rotated most beyond chance. */
function mostRotated(
  { pairs, matrices, measures }: WeightsView,
  pair: { readonly before: string; readonly after: string },
): string {
  const index = pairs.findIndex(({ before, after }) => before === pair.before && after === pair.after);
  const values = measures.beyondChance[index] ?? [];
  const order = matrices.map((matrix, position) => ({ matrix, value: values[position] ?? 0 }));
  return order.sort((a, b) => b.value - a.value)[0]?.matrix.name ?? "";
}

function Matrix({ matrix, run }: { readonly matrix: MatrixView; readonly run: string }): ReactNode {
  const { name, rows, columns, flags } = matrix;
  return (
    <>
      <h2>{name}</h2>
      <p className="quiet">
        {rows} × {columns}
      </p>
      {flags.length === 0 ? null : (
        <ul className="flags">
          {flags.map(({ flag, meaning }) => (
            <li key={flag}>
              <b>{flag}</b>: {meaning}
            </li>
          ))}
        </ul>
      )}
      <Values matrix={matrix} />
      <Angles matrix={matrix} />
      <Overlaps matrix={matrix} run={run} />
      <Energy matrix={matrix} />
    </>
  );
}

function Values({ matrix }: { readonly matrix: MatrixView }): ReactNode {
  const rows = useMemo(() => listValues(matrix), [matrix]);
  const draw = useCallback((width: number) => drawValues(rows, matrix, width), [rows, matrix]);
  return (
    <Figure
      title="Singular values before and after, and their difference"
      name={`values-${matrix.name}`}
      description="Singular values by rank of both checkpoints and of the update."
      draw={draw}
      rows={rows}
    />
  );
}

function Angles({ matrix }: { readonly matrix: MatrixView }): ReactNode {
  const rows = useMemo(() => listAngles(matrix), [matrix]);
  const draw = useCallback((width: number) => drawAngles(rows, matrix, width), [rows, matrix]);
  return (
    <Figure
      title="Principal angles of the leading directions"
      name={`angles-${matrix.name}`}
      description="Angles between the leading singular subspaces before and after, for each side and rank."
      draw={draw}
      rows={rows}
    >
      <p className="quiet">
        Dashed: what a random update of the same size would do (rms). Dotted: unrelated subspaces.
      </p>
    </Figure>
  );
}

function Overlaps({ matrix, run }: { readonly matrix: MatrixView; readonly run: string }): ReactNode {
  const { before, after, name } = matrix;
  const loaded = useData<Readonly<Record<string, OverlapView>>>(run, `overlaps/${before}/${after}`);
  if (loaded.state === "failed") return null;
  return (
    <Ready loaded={loaded}>
      {({ [name]: overlap }) =>
        overlap === undefined ? null : <OverlapFigure matrix={matrix} overlap={overlap} />
      }
    </Ready>
  );
}

interface OverlapProps {
  readonly matrix: MatrixView;
  readonly overlap: OverlapView;
}

function OverlapFigure({ matrix, overlap }: OverlapProps): ReactNode {
  const rows = useMemo(() => listOverlaps(overlap), [overlap]);
  const draw = useCallback((width: number) => drawOverlaps(rows, matrix, width), [rows, matrix]);
  return (
    <Figure
      title="Which vector became which: |UᵀU′| of the leading vectors"
      name={`overlap-${matrix.name}`}
      description="Absolute cosines between singular vectors before (rows) and after (columns), left and right."
      draw={draw}
      rows={rows}
    >
      <p className="quiet">
        A bright diagonal: vectors stayed. Bright dots beside it: they changed places, as they do where values
        lie close.
      </p>
    </Figure>
  );
}

function Energy({ matrix }: { readonly matrix: MatrixView }): ReactNode {
  const rows = useMemo(() => listEnergy(matrix), [matrix]);
  const draw = useCallback((width: number) => drawEnergy(rows, matrix, width), [rows, matrix]);
  if (matrix.energy.length === 0) return null;
  return (
    <Figure
      title="Where the update lies"
      name={`energy-${matrix.name}`}
      description="Shares of the update's energy inside and outside the leading directions."
      draw={draw}
      rows={rows}
    >
      <p className="quiet">
        In the basis of the leading directions before; the dashed tick is how much a random update has inside
        (
        {matrix.energy
          .map(({ rank, insideChance }) => `rank ${rank}: ${formatShare(insideChance)}`)
          .join(", ")}
        ).
      </p>
    </Figure>
  );
}
