/** The data of a run that its pages ask for, by the path that they ask under. How a run is found and answers are sent is the server's. */
import type { Machine } from "../../base/machine/index.ts";
import { readOverlaps } from "../../lab/factor/index.ts";
import { type RunFolder, watchLockName } from "../../run/index.ts";
import { type RunView, readAnswers, readCurves, readPair, readRun, readWeights } from "../view/index.ts";
import type { Memo } from "./memo.ts";

/** A run, and what the pages call it. */
export interface OpenedRun {
  readonly id: string;
  readonly folder: RunFolder;
}

/** What the data are read with. */
export interface DataTools {
  readonly machine: Machine;
  readonly memo: Memo;
}

/** What is asked of a run. */
interface Question extends OpenedRun, DataTools {
  /** What the memo knows the answer by. */
  readonly key: string;
}

/** What is asked of two checkpoints of a run. */
interface PairQuestion extends Question {
  readonly pair: { readonly before: string; readonly after: string };
}

/** Data of a run under a name alone. */
type RunKind = "run" | "curves" | "answers" | "weights";
/** Data of two checkpoints, whose names follow: `pair/sft-3/sft-200`. */
type PairKind = "pair" | "overlaps";

const runKinds: { readonly [Kind in RunKind]: (question: Question) => Promise<unknown> } = {
  run: readWhole,
  curves: ({ folder }) => readCurves(folder),
  answers: ({ folder, key, memo }) => memo.get(key, locateState(folder), () => readAnswers(folder)),
  weights: ({ folder, key, memo }) => memo.get(key, locateUpdates(folder), () => readWeights(folder)),
};

const pairKinds: { readonly [Kind in PairKind]: (question: PairQuestion) => Promise<unknown> } = {
  pair: ({ folder, key, memo, pair }) => memo.get(key, locateUpdates(folder), () => readPair(folder, pair)),
  // Not kept: it depends on the cache of factors, which may fill.
  overlaps: ({ folder, machine, pair }) => readOverlaps(folder, pair, machine),
};

/** The data under a path such as `weights` or `pair/sft-3/sft-200`; `undefined` where no data have that path. */
export async function readRunData(
  run: OpenedRun,
  what: string,
  tools: DataTools,
): Promise<{ readonly value: unknown } | undefined> {
  const question = { ...run, ...tools, key: `${run.folder.path} ${what}` };
  if (isOneOf(runKinds, what)) return { value: await runKinds[what](question) };
  const [kind = "", before = "", after = "", ...rest] = what.split("/");
  if (!isOneOf(pairKinds, kind) || after === "" || rest.length > 0) return undefined;
  return { value: await pairKinds[kind]({ ...question, pair: { before, after } }) };
}

function isOneOf<Name extends string>(
  table: { readonly [Kind in Name]: unknown },
  name: string,
): name is Name {
  return Object.hasOwn(table, name);
}

/** Files that change while a run goes on. */
function locateState(folder: RunFolder): readonly string[] {
  return ["lineage.json", "summary.json", "watch.json", watchLockName].map((name) => folder.locate(name));
}

function locateUpdates(folder: RunFolder): readonly string[] {
  return [folder.locate("spectra/updates.parquet")];
}

async function readWhole({ id, folder, key, machine, memo }: Question): Promise<RunView> {
  const run = await memo.get(key, locateState(folder), () => readRun(id, folder));
  // What its pages show first is read while the run itself is looked at.
  if (run.isFinished) void warm(run, (next) => readRunData({ id, folder }, next, { machine, memo }));
  return run;
}

/** Asks for what the pages of a run show first; what fails here fails again, and is reported, where it is asked for. */
async function warm(
  { summary: { trajectory } }: RunView,
  ask: (what: string) => Promise<unknown>,
): Promise<void> {
  const pair =
    trajectory === null ? [] : [`pair/${trajectory.peak.checkpoint}/${trajectory.sftEnd.checkpoint}`];
  await Promise.allSettled([...pair, "weights"].map(ask));
}
