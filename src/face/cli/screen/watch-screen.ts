/** How a watch stands: the peak so far with its uncertainty, alerts, and what may be deleted. */
import type { WatchedTraining, WatchState } from "../../../lab/watch/index.ts";
import type { Output } from "../output.ts";
import { formatCount } from "./format.ts";
import type { Paint } from "./paint.ts";
import { formatTable } from "./table.ts";

/** After a checkpoint: a line a training about its peak. */
export function formatWatchLine({ trainings }: WatchState, paint: Paint): readonly string[] {
  return trainings.flatMap(({ name, watch }) => {
    const { peak } = watch;
    return peak === undefined
      ? []
      : [
          paint(
            "dim",
            `  ${name}: peak so far ${peak.checkpoint}, ${formatCount(peak.oodHeldOut).trim()} of held-out OOD tasks${describeCandidates(watch)}`,
          ),
        ];
  });
}

function describeCandidates({ peakCandidates, peak }: WatchedTraining["watch"]): string {
  const others = peakCandidates.filter(({ checkpoint }) => checkpoint !== peak?.checkpoint);
  if (others.length === 0) return "";
  const shown = others.slice(0, 6).map(({ checkpoint }) => checkpoint);
  return `; as good within noise: ${shown.join(", ")}${others.length > 6 ? ", …" : ""}`;
}

/** The last state. */
export function formatWatch(
  { trainings, mayDelete }: WatchState,
  { paint, path }: Pick<Output, "paint"> & { readonly path: string },
): readonly string[] {
  const rows = trainings.map(({ name, watch: { peak, looks } }) => {
    const last = looks.at(-1);
    return [
      paint("bold", name),
      peak === undefined ? "" : `${peak.checkpoint}  ${formatCount(peak.oodHeldOut).trim()}`,
      last === undefined ? "" : `${last.point.checkpoint}  ${formatCount(last.point.oodHeldOut).trim()}`,
      last === undefined ? "" : describeTest(last),
    ];
  });
  const head = ["training", "peak, held-out OOD", "newest, held-out OOD", "p, alert from"].map((cell) =>
    paint("bold", cell),
  );
  return [
    ...formatTable([head, ...rows]),
    "",
    ...trainings.map(({ name, alert, watch }) =>
      alert === undefined ? describeNone(name, watch) : paint("bad", `ALERT: ${alert}`),
    ),
    ...(mayDelete.length === 0
      ? []
      : ["", "May be deleted (nothing is deleted here):", ...mayDelete.map((one) => `  ${one}`)]),
    "",
    `All of it: untwist show ${path}, or in the browser: untwist studio ${path}`,
  ];
}

/** How the newest was tested; not where the selection half gives no reason to. */
function describeTest({ pValue, threshold }: WatchedTraining["watch"]["looks"][number]): string {
  return threshold === 0
    ? "no decline to test"
    : `${pValue.toPrecision(2)} against ${threshold.toPrecision(2)}`;
}

/** Fewer held-out tasks can hardly tell a decline from noise. */
const fewTasks = 50;

function describeNone(name: string, { peak, looks }: WatchedTraining["watch"]): string {
  const { correct = 0, total = 0 } = peak?.oodHeldOut ?? {};
  if (looks.at(-1)?.isBlind === true)
    return (
      `No alert for ${name}, and none could come: ${correct} of ${total} held-out tasks solved are too few for any loss to show; ` +
      "ask what the base model can answer, or more (--count)"
    );
  const few = total < fewTasks ? ": these are few, ask more (--count)" : "";
  return `No alert for ${name}: no decline that ${total} held-out tasks could tell from noise${few}`;
}

/** The same for programs. */
export function describeWatch({ trainings, mayDelete }: WatchState): unknown {
  return {
    trainings: trainings.map(({ name, watch, alert }) => ({ name, ...watch, alert: alert ?? null })),
    mayDelete,
  };
}
