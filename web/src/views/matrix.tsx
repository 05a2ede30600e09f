/** One matrix in one pair of checkpoints: values, angles beside chance, where the update lies, what guards say. */
import * as Plot from "@observablehq/plot";
import { type ReactNode, useCallback, useMemo } from "react";
import type { MatrixView, OverlapView, WeightsView } from "../../../src/face/view/contract.ts";
import { useData } from "../data.ts";
import { Figure } from "../figure.tsx";
import { formatShare, toDegrees } from "../format.ts";
import { NoSpectra, type PageProps, Ready } from "../page.tsx";
import { go } from "../route.ts";
import { choosePair } from "./weights.tsx";

/** The page. */
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
  const rows = useMemo(
    () =>
      matrix.values.before.map((before, index) => ({
        rank: index + 1,
        before,
        after: matrix.values.after[index] ?? 0,
        update: matrix.update[index] ?? null,
        change: ((matrix.values.after[index] ?? 0) - before) / (matrix.values.before[0] || 1),
      })),
    [matrix],
  );
  const draw = useCallback(
    (width: number) => {
      const lines = rows.flatMap(({ rank, before, after, update }) => [
        { rank, which: matrix.before, value: before },
        { rank, which: matrix.after, value: after },
        ...(update === null ? [] : [{ rank, which: "update", value: update }]),
      ]);
      const holder = document.createElement("div");
      holder.append(
        Plot.plot({
          width,
          height: 280,
          marginLeft: 50,
          x: { label: "rank" },
          y: { label: "singular value", grid: true },
          color: {
            domain: [matrix.before, matrix.after, "update"],
            range: ["var(--id)", "var(--ood)", "var(--quiet)"],
            legend: true,
          },
          marks: [
            Plot.line(lines, { x: "rank", y: "value", stroke: "which", strokeWidth: 1.8 }),
            Plot.tip(
              lines,
              Plot.pointerX({
                x: "rank",
                y: "value",
                title: (d) => `${d.which}, rank ${d.rank}\n${d.value}`,
              }),
            ),
          ],
        }),
        Plot.plot({
          width,
          height: 130,
          marginLeft: 50,
          x: { label: "rank" },
          y: { label: "Δσ / σ₁", grid: true, tickFormat: "%" },
          marks: [
            Plot.ruleY([0]),
            Plot.ruleX(rows, {
              x: "rank",
              y: "change",
              stroke: "var(--ood)",
              strokeWidth: Math.max(1, width / rows.length / 2),
            }),
          ],
        }),
      );
      return holder;
    },
    [rows, matrix],
  );
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

const nameSubspace = ({ side, rank }: { readonly side: string; readonly rank: number }): string =>
  `${side}, rank ${rank}`;

function Angles({ matrix }: { readonly matrix: MatrixView }): ReactNode {
  const rows = useMemo(
    () =>
      matrix.subspaces.flatMap(({ side, rank, angles }) =>
        angles.map((angle, index) => ({
          subspace: nameSubspace({ side, rank }),
          number: index + 1,
          degrees: toDegrees(angle),
        })),
      ),
    [matrix],
  );
  const draw = useCallback(
    (width: number) => {
      const order = [...matrix.subspaces].sort((a, b) => a.rank - b.rank);
      const chance = matrix.subspaces.map(({ side, rank, chance: mean, unrelated }) => ({
        subspace: nameSubspace({ side, rank }),
        chance: mean === null ? null : toDegrees(Math.asin(Math.min(1, mean))),
        unrelated: unrelated === null ? null : toDegrees(Math.asin(Math.min(1, unrelated))),
      }));
      return Plot.plot({
        width,
        height: 300,
        marginLeft: 50,
        fx: { label: null, domain: order.map(nameSubspace) },
        x: { label: "angle, smallest first", ticks: 4 },
        y: { label: "degrees", grid: true, domain: [0, 90] },
        marks: [
          Plot.ruleY(chance, {
            fx: "subspace",
            y: "unrelated",
            stroke: "var(--bad)",
            strokeDasharray: "2 4",
          }),
          Plot.ruleY(chance, {
            fx: "subspace",
            y: "chance",
            stroke: "var(--text)",
            strokeDasharray: "5 4",
            strokeWidth: 1.5,
          }),
          Plot.dot(rows, {
            fx: "subspace",
            x: "number",
            y: "degrees",
            fill: "var(--ood)",
            r: 2.5,
            tip: true,
          }),
        ],
      });
    },
    [rows, matrix],
  );
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

function OverlapFigure({
  matrix,
  overlap,
}: {
  readonly matrix: MatrixView;
  readonly overlap: OverlapView;
}): ReactNode {
  const rows = useMemo(
    () =>
      (["left", "right"] as const).flatMap((side) =>
        overlap[side].map((percent, index) => ({
          side,
          before: 1 + Math.floor(index / overlap.size),
          after: 1 + (index % overlap.size),
          cosine: percent / 100,
        })),
      ),
    [overlap],
  );
  const draw = useCallback(
    (width: number) =>
      Plot.plot({
        width: Math.min(width, 860),
        height: Math.min(width, 860) / 2,
        marginLeft: 40,
        fx: { label: null },
        x: { type: "band", label: `vector of ${matrix.after}`, ticks: [1, 8, 16, 24] },
        y: { type: "band", label: `vector of ${matrix.before}`, ticks: [1, 8, 16, 24] },
        color: { scheme: "Oranges", domain: [0, 1], legend: true, label: "|cosine|" },
        marks: [
          Plot.cell(rows, {
            fx: "side",
            x: "after",
            y: "before",
            fill: "cosine",
            title: (row) => `${row.side} ${row.before} → ${row.after}: ${row.cosine}`,
          }),
        ],
      }),
    [rows, matrix],
  );
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
  const rows = useMemo(
    () =>
      matrix.energy.flatMap(({ rank, stretch, rotation, outside }) => [
        { rank, part: "stretches values", share: stretch },
        { rank, part: "rotates within", share: rotation },
        { rank, part: "leaves the span", share: outside },
      ]),
    [matrix],
  );
  const draw = useCallback(
    (width: number) =>
      Plot.plot({
        width,
        height: 70 + 46 * matrix.energy.length,
        marginLeft: 76,
        x: { tickFormat: "%", label: "share of ‖Δ‖²" },
        y: { type: "band", tickFormat: (rank: number) => `rank ${rank}`, label: null },
        color: {
          domain: ["stretches values", "rotates within", "leaves the span"],
          range: ["var(--id)", "var(--ood)", "var(--line)"],
          legend: true,
        },
        marks: [
          Plot.barX(rows, { x: "share", y: "rank", fill: "part", inset: 2, tip: true }),
          Plot.tickX(matrix.energy, {
            x: "insideChance",
            y: "rank",
            stroke: "var(--text)",
            strokeWidth: 2,
            strokeDasharray: "3 2",
          }),
        ],
      }),
    [rows, matrix],
  );
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
