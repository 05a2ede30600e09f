/** The frame of all views: which run, which view, and what to show while there is nothing yet. */
import { type ReactNode, useEffect } from "react";
import type { RunView } from "../../src/face/view/contract.ts";
import { isReport, type Loaded, prefetch, useData } from "./data.ts";
import { type PageProps, Ready } from "./page.tsx";
import { formatRoute, type Route, useRoute, type ViewName, views } from "./route.ts";
import { AnswersPage } from "./views/answers.tsx";
import { MatrixPage } from "./views/matrix.tsx";
import { RepairsPage } from "./views/repairs.tsx";
import { RunsPage } from "./views/runs.tsx";
import { TrainingPage } from "./views/training.tsx";
import { TrajectoryPage } from "./views/trajectory.tsx";
import { WeightsPage } from "./views/weights.tsx";

const titles: Readonly<Record<ViewName, string>> = {
  trajectory: "Trajectory",
  repairs: "Repairs",
  weights: "Weights",
  matrix: "Matrix",
  answers: "Answers",
  training: "Training",
};

const pages: Readonly<Record<ViewName, (props: PageProps) => ReactNode>> = {
  trajectory: TrajectoryPage,
  repairs: RepairsPage,
  weights: WeightsPage,
  matrix: MatrixPage,
  answers: AnswersPage,
  training: TrainingPage,
};

/** The page. A report goes straight to its only run. */
export function App(): ReactNode {
  const route = useRoute();
  const run = route.run ?? (isReport ? "run" : undefined);
  return (
    <>
      {/* biome-ignore lint/a11y/useValidAnchor: a link to a place of this page, whose address after the # is taken by the view */}
      <a
        className="skip"
        href="#content"
        onClick={(event) => {
          event.preventDefault();
          document.getElementById("content")?.focus();
        }}
      >
        Skip to content
      </a>
      {run === undefined ? <RunsPage /> : <Run route={{ ...route, run }} />}
    </>
  );
}

function Run({ route }: { readonly route: Route & { readonly run: string } }): ReactNode {
  const loaded = useData<RunView>(route.run, "run", true, isFinishedRun);
  useEffect(() => {
    document.title = `${titles[route.view]} · ${isReport ? "Untwist" : route.run}`;
  }, [route]);
  const isFinished = loaded.state === "ready" && loaded.value.isFinished;
  const main = loaded.state === "ready" ? mainPair(loaded.value) : undefined;
  useEffect(() => {
    if (!isFinished) return;
    const pair = main === undefined ? [] : [`pair/${main}`, `overlaps/${main}`];
    void prefetch(route.run, ["weights", ...pair, "answers", "curves"]);
  }, [route.run, isFinished, main]);
  const Page = pages[route.view];
  return (
    <>
      <header>
        <div className="bar">
          {isReport ? null : (
            <a href="#/" className="home">
              Runs
            </a>
          )}
          <RunTitle loaded={loaded} />
        </div>
        <nav aria-label="Views">
          {views.map((view) => (
            <a
              key={view}
              href={formatRoute({ run: route.run, view, choices: {} })}
              aria-current={view === route.view ? "page" : undefined}
              ref={view === route.view ? showTab : undefined}
            >
              {titles[view]}
            </a>
          ))}
        </nav>
      </header>
      <main id="content" tabIndex={-1}>
        <Ready loaded={loaded}>{(value) => <Page run={value} route={route} />}</Ready>
      </main>
    </>
  );
}

/** On a narrow screen the tabs scroll: the current one comes into sight. */
function showTab(tab: HTMLAnchorElement | null): void {
  tab?.scrollIntoView({ block: "nearest", inline: "center" });
}

const isFinishedRun = ({ isFinished }: RunView): boolean => isFinished;

/** The pair of checkpoints that views begin with. */
function mainPair({ summary: { trajectory } }: RunView): string | undefined {
  return trajectory === null ? undefined : `${trajectory.peak.checkpoint}/${trajectory.sftEnd.checkpoint}`;
}

function RunTitle({ loaded }: { readonly loaded: Loaded<RunView> }): ReactNode {
  if (loaded.state !== "ready") return <h1>Untwist</h1>;
  const { summary, isFinished } = loaded.value;
  return (
    <>
      <h1>{summary.recipe}</h1>
      <span className="quiet">seed {summary.seed}</span>
      {isFinished ? null : (
        <span className="live" role="status">
          running, {summary.checkpoints.length} checkpoints so far
        </span>
      )}
    </>
  );
}
