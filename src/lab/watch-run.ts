/** A training watched while it goes on: every checkpoint evaluated as it lands, and an alert once OOD accuracy has fallen. */
import { setTimeout as wait } from "node:timers/promises";
import { UsageError } from "../base/index.ts";
import { CheckpointError } from "../checkpoint/index.ts";
import { openEnvironment } from "../environment/index.ts";
import { BusyError, takeLock, writeFileIfChanged } from "../file/index.ts";
import { NothingToFollowError } from "../follow/index.ts";
import { isRunFolder, openRunFolder, type RunFolder, watchLockName } from "../run/index.ts";
import type { DeclineLook } from "../trajectory/index.ts";
import { type AlertHooks, callAlertHooks } from "./alert-hooks.ts";
import { type Effects, StoppedError } from "./effects.ts";
import { type EvaluationPlace, evaluateRun, type TaskChoice } from "./evaluate-run.ts";
import type { FollowRequest } from "./follow-look.ts";
import { followTrainings, renewSummary } from "./follow-run.ts";
import { describeState, listChains, type WatchRule, type WatchState } from "./watch-state.ts";

/** What to watch, and what to do about it. */
export interface WatchRequest extends WatchRule, AlertHooks {
  readonly follow: FollowRequest;
  readonly tasks: TaskChoice;
  readonly way: EvaluationPlace["way"];
  readonly intervalMs: number;
  /** Ends once a checkpoint of that step, or a later one, is evaluated. */
  readonly until?: number | undefined;
  /** Ends once nothing new has come for so long. */
  readonly idleMs?: number | undefined;
  readonly stopOnAlert: boolean;
}

/** Hears of what a watch finds. */
export type OnState = (state: WatchState, folder: RunFolder) => void;

/**
 * Watches until it is told to end. Gives the last state. Throws `UsageError` and `StoppedError`; a watch that is started again
 * goes on where it was, and tells of no alert twice.
 */
export async function watchRun(
  request: WatchRequest,
  {
    command,
    effects,
    onState,
  }: { readonly command: string; readonly effects: Effects; readonly onState: OnState },
): Promise<WatchState> {
  const place: WatchPlace = { request, command, effects: tellOnce(effects), onState };
  if (request.tasks.environment !== undefined) await openEnvironment(request.tasks.environment);
  if (!(await isRunFolder(request.follow.out))) await waitForRun(place);
  const opened = await openRunFolder(request.follow.out);
  const lock = await takeLock(opened.locate(watchLockName), `the watch of "${opened.path}"`);
  try {
    return await keepWatching(place);
  } finally {
    await lock.release();
  }
}

/** Effects that tell the same thing once: each look finds what the one before found. */
function tellOnce(effects: Effects): Effects {
  const told = new Set<string>();
  return {
    ...effects,
    report: (event) => {
      if (event.kind === "notice" && told.has(event.text)) return;
      if (event.kind === "notice") told.add(event.text);
      effects.report(event);
    },
  };
}

interface WatchPlace {
  readonly request: WatchRequest;
  readonly command: string;
  readonly effects: Effects;
  readonly onState: OnState;
}

/** Waits until there is anything to follow. */
async function waitForRun(place: WatchPlace): Promise<void> {
  const { request, effects } = place;
  const startMs = effects.now();
  for (;;)
    try {
      await followTrainings(request.follow);
      return;
    } catch (error) {
      if (!(error instanceof NothingToFollowError)) throw error;
      if (request.idleMs !== undefined && effects.now() - startMs >= request.idleMs) throw error;
      const places = request.follow.folders.join(", ");
      effects.report({ kind: "notice", text: `Waiting for the first checkpoint in ${places}` });
      await pause(place);
    }
}

async function keepWatching(place: WatchPlace): Promise<WatchState> {
  const { request, command, effects, onState } = place;
  let changedAt = effects.now();
  let [numFailures, hasLooked] = [0, false];
  const onEvaluated = async (): Promise<void> => {
    changedAt = effects.now();
    [numFailures, hasLooked] = [0, true];
    const current = await openRunFolder(request.follow.out);
    await renewSummary(current);
    const state = await tell(current, place);
    onState(state, current);
    if (isOver(state, request)) throw new AlertedError(state);
  };
  for (;;) {
    try {
      const folder = await untilFree(place, async () => (await followTrainings(request.follow)).folder);
      await untilFree(place, () =>
        evaluateRun(folder.path, request.tasks, { command, effects, way: request.way, onEvaluated }),
      );
      [numFailures, hasLooked] = [0, true];
    } catch (error) {
      if (error instanceof AlertedError) return error.state;
      numFailures += 1;
      if (!hasLooked) throw error;
      bear(error, numFailures, effects);
    }
    const current = await openRunFolder(request.follow.out);
    const state = await tell(current, place);
    const isIdle = request.idleMs !== undefined && effects.now() - changedAt >= request.idleMs;
    if (isIdle || isOver(state, request) || (await isReached(current, request.until))) return state;
    await pause(place);
  }
}

/** Failures in a row after which a watch ends. */
const mostFailures = 20;

/**
 * Tells of what failed, and goes on: a server that did not start or a checkpoint that was deleted just then must not end a
 * watch that nobody looks at. What fails too often is no accident, and thrown again.
 */
function bear(error: unknown, numFailures: number, { report }: Effects): void {
  const isExpected = error instanceof UsageError || error instanceof CheckpointError;
  if (!isExpected || numFailures >= mostFailures) throw error;
  report({ kind: "notice", text: `Going on, though: ${error.message}` });
}

/** Leaves an evaluation of several checkpoints as soon as one of them has raised an alert. */
class AlertedError extends Error {
  readonly state: WatchState;
  constructor(state: WatchState) {
    super("OOD accuracy has fallen");
    this.name = "AlertedError";
    this.state = state;
  }
}

function isOver({ trainings }: WatchState, { stopOnAlert }: WatchRequest): boolean {
  return stopOnAlert && trainings.some(({ alert }) => alert !== undefined);
}

/** Does the work once no other process works on the run: somebody may be looking at its spectra. */
async function untilFree<Result>(place: WatchPlace, work: () => Promise<Result>): Promise<Result> {
  for (;;)
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof BusyError)) throw error;
      await pause(place);
    }
}

/** Whether the training that comes last in the lineage has an evaluated checkpoint of that step or a later one. */
async function isReached(folder: RunFolder, until: number | undefined): Promise<boolean> {
  if (until === undefined) return false;
  const chain = listChains(await folder.readLineage()).at(-1)?.chain ?? [];
  for (const { id, stage, step } of chain)
    if (stage !== "base" && step >= until && (await folder.hasEvaluation(id))) return true;
  return false;
}

async function pause({ request, command, effects }: WatchPlace): Promise<void> {
  try {
    await wait(request.intervalMs, undefined, { signal: effects.signal });
  } catch {
    throw new StoppedError(command);
  }
}

/** What `watch.json` says: the state, and which alerts were told. */
interface WatchFile {
  readonly told: readonly string[];
}

/** Finds how the watch stands, writes it down, and tells of an alert that was not told before. */
async function tell(folder: RunFolder, { request, effects }: WatchPlace): Promise<WatchState> {
  const state = await describeState(folder, request);
  const file = folder.locate("watch.json");
  const told = new Set(await readTold(folder));
  const alerts = state.trainings.flatMap(({ name, alert, watch }) =>
    alert === undefined || watch.alert === undefined ? [] : [{ name, alert, look: watch.alert }],
  );
  const fresh = alerts.filter(({ name, look }) => !told.has(`${name} ${look.point.checkpoint}`));
  for (const one of fresh) {
    effects.report({ kind: "notice", text: `ALERT: ${one.alert}` });
    await notify(folder, one, { request, effects });
    told.add(`${one.name} ${one.look.point.checkpoint}`);
  }
  const { falseAlarmRate } = request;
  const text = `${JSON.stringify({ falseAlarmRate, ...state, told: [...told] }, null, 2)}\n`;
  await writeFileIfChanged(file, text);
  return state;
}

async function readTold(folder: RunFolder): Promise<readonly string[]> {
  const kept: Partial<WatchFile> = (await folder.readExtra("watch.json")) ?? {};
  return Array.isArray(kept.told) ? kept.told.map(String) : [];
}

/** Tells the user's command and webhook of an alert. */
async function notify(
  folder: RunFolder,
  { name, alert, look }: { readonly name: string; readonly alert: string; readonly look: DeclineLook },
  { request, effects }: Pick<WatchPlace, "request" | "effects">,
): Promise<void> {
  const keep = (await folder.readLineage()).find(({ id }) => id === look.peak.checkpoint);
  const message = {
    text: alert,
    run: folder.path,
    training: name,
    checkpoint: look.point.checkpoint,
    step: look.point.step,
    keep: look.peak.checkpoint,
    keepPath: folder.locate(keep?.path ?? ""),
    pValue: look.pValue,
  };
  await callAlertHooks(request, message, effects);
}
