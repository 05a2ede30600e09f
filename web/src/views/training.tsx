/** What training logged: curves of every stage, and how advantages shrink as RL goes on. */
import { type ReactNode, useCallback, useMemo } from "react";
import type { CurvesView, StageCurves } from "../../../src/face/view/contract.ts";
import { drawAdvantages, drawLogged, listAdvantages, listLogged } from "../charts/training.ts";
import { useData } from "../data.ts";
import { Figure } from "../figure.tsx";
import { type PageProps, Ready } from "../page.tsx";
import { go } from "../route.ts";

/** What training logged, one chart per measure. */
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
  const rows = useMemo(() => listLogged(stages, name), [stages, name]);
  const draw = useCallback(
    (width: number) => drawLogged(rows, { name, stages, width }),
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

function Advantages({ stages }: { readonly stages: readonly StageCurves[] }): ReactNode {
  const rows = useMemo(() => listAdvantages(stages), [stages]);
  const draw = useCallback((width: number) => drawAdvantages(rows, stages, width), [rows, stages]);
  if (rows.length === 0) return null;
  return (
    <Figure
      title="Advantages over updates, by the checkpoint that RL started from"
      name="advantages"
      description="Histograms of raw advantages, darker where more answers lie."
      draw={draw}
      rows={rows}
    >
      <p className="quiet">
        Where nearly all advantages are 0, rewards are equal and there is next to no signal to learn from.
      </p>
    </Figure>
  );
}
