/** Progress of a run: a bar with an estimate on a terminal, one plain line per checkpoint elsewhere. */
import { MultiBar } from "cli-progress";
import { createEstimator, type LabEvent } from "../../../base/progress/index.ts";
import { formatShare } from "../../../base/statistics/index.ts";
import { showMessage } from "../wording.ts";
import { formatDuration } from "./format.ts";
import type { Paint } from "./paint.ts";

/** Shows what happens. */
export interface Progress {
  report(event: LabEvent): void;
  /** Clears the bar, so that other text may follow. */
  stop(): void;
}

/** Where progress goes. */
export interface ProgressOptions {
  readonly stream: NodeJS.WriteStream;
  readonly paint: Paint;
  readonly isTerminal: boolean;
}

type Evaluated = Extract<LabEvent, { kind: "evaluated" }>;
type WorkProgress = Extract<LabEvent, { kind: "progress" }>;

/** In a log, a tenth of the work is worth a line when there is more than that to wait for. */
const worthReportingMs = 10_000;

function formatEvaluated({ checkpoint, id, ood, ms }: Evaluated, paint: Paint): string {
  const show = ({ correct, total }: Evaluated["id"]): string =>
    `${`${correct}/${total}`.padStart(9)} ${formatShare(correct / total).padStart(7)}`;
  return `${checkpoint.padEnd(26)} ${paint("id", `ID ${show(id)}`)}   ${paint("ood", `OOD ${show(ood)}`)}   ${paint("dim", formatDuration(ms))}`;
}

/** Creates the progress display that suits the stream. */
export function createProgress(options: ProgressOptions): Progress {
  return options.isTerminal ? createBar(options) : createLines(options);
}

function createLines({ stream, paint }: ProgressOptions): Progress {
  let numTenths = 0;
  const reportWork = ({ work, doneFraction, remainingMs = 0 }: WorkProgress): void => {
    // The next work begins where the last one ended.
    if (10 * doneFraction < numTenths - 1) numTenths = 0;
    const isNew = Math.floor(10 * doneFraction) > numTenths;
    if (!isNew || remainingMs < worthReportingMs) return;
    numTenths = Math.floor(10 * doneFraction);
    stream.write(`${work}: ${10 * numTenths} %, about ${formatDuration(remainingMs)} left\n`);
  };
  return {
    report: (event) => {
      if (event.kind === "evaluated") stream.write(`${formatEvaluated(event, paint)}\n`);
      if (event.kind === "progress") reportWork(event);
      if (event.kind === "notice") stream.write(`${showMessage(event.text)}\n`);
    },
    stop: () => undefined,
  };
}

function createBar({ stream, paint }: ProgressOptions): Progress {
  const estimator = createEstimator();
  // A MultiBar, though of one bar: it alone can print lines that stay above the bar.
  const bars = new MultiBar({
    stream,
    format: `${paint("dim", "{bar}")} {percentage} %  {what}  ${paint("dim", "{remaining}")}`,
    barCompleteChar: "━",
    barIncompleteChar: "╌",
    barsize: 24,
    hideCursor: true,
    clearOnComplete: true,
  });
  const bar = bars.create(100, 0, { what: "starting", remaining: "" });
  const numSteps = new Map<string, number>();
  const update = (what: string): void => {
    const remaining = `about ${formatDuration(estimator.remainingMs())} left`;
    bar.update(Math.floor(100 * estimator.doneFraction()), { what, remaining });
  };
  return {
    report: (event) => {
      estimator.observe(event);
      switch (event.kind) {
        case "planned":
          for (const { id, numSteps: total } of event.stages) numSteps.set(id, total);
          break;
        case "step":
          update(`${event.stage} ${event.step}/${numSteps.get(event.stage) ?? "?"}`);
          break;
        case "evaluated":
          bars.log(`${formatEvaluated(event, paint)}\n`);
          update(`evaluated ${event.checkpoint}`);
          break;
        case "progress":
          bar.update(Math.floor(100 * event.doneFraction), {
            what: `${event.work}: ${event.what}`,
            remaining:
              event.remainingMs === undefined ? "" : `about ${formatDuration(event.remainingMs)} left`,
          });
          break;
        case "notice":
          bars.log(`${showMessage(event.text)}\n`);
          break;
        case "finished":
          bars.stop();
          break;
      }
    },
    stop: () => bars.stop(),
  };
}
