/** A training watched while it goes on: every checkpoint evaluated as it lands, and an alert once OOD accuracy has fallen. */

import { setTimeout as wait } from "node:timers/promises";
import { describeError } from "../../base/core/index.ts";
import { BusyError, isDiskProblem, requireWritable, takeLock } from "../../base/file/index.ts";
import { type Effects, StoppedError } from "../../base/progress/index.ts";
import { NothingToFollowError } from "../../bridge/trainer/index.ts";
import { isRunFolder, openRunFolder, type RunFolder, watchLockName } from "../../run/index.ts";
import { openEnvironment } from "../../tasks/environment/index.ts";
import type { RunSource, TaskChoice } from "../answer/index.ts";
import { evaluateRun } from "../evaluation/index.ts";
import type { FollowRequest } from "../follow/index.ts";
import { followTrainings } from "../follow/index.ts";
import { renewSummary } from "../outcome/index.ts";
import type { AlertHooks } from "./alert-hooks.ts";
import { createTeller, type TellAlerts } from "./tell-alerts.ts";
import { listChains, type WatchRule, type WatchState } from "./watch-state.ts";

/** What to watch, and what to do about it. */
export interface WatchRequest extends WatchRule, AlertHooks {
  readonly follow: FollowRequest;
  readonly tasks: TaskChoice;
  readonly source: RunSource;
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
 * Watches until it is told to end. Returns the last state. Throws `UsageError` and `StoppedError`; a watch that is started again
 * goes on where it was, and tells of no alert twice.
 */
export async function watchRun(
  request: WatchRequest,
  { effects, onState }: { readonly effects: Effects; readonly onState: OnState },
): Promise<WatchState> {
  const once = tellOnce(effects);
  const place: WatchContext = { request, effects: once, onState, tell: createTeller(request, once) };
  if (request.tasks.environment !== undefined) await openEnvironment(request.tasks.environment);
  await requireWritable(request.follow.out);
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

interface WatchContext {
  readonly request: WatchRequest;
  readonly effects: Effects;
  readonly onState: OnState;
  readonly tell: TellAlerts;
}

/** Waits until there is anything to follow. */
async function waitForRun(place: WatchContext): Promise<void> {
  const { request, effects } = place;
  const startMs = effects.now();
  for (;;)
    try {
      await followTrainings(request.follow);
      return;
    } catch (error) {
      if (!(error instanceof NothingToFollowError || isDiskProblem(error))) throw error;
      if (request.idleMs !== undefined && effects.now() - startMs >= request.idleMs) throw error;
      const places = request.follow.folders.join(", ");
      // Where there is nothing yet, that says all; where there is something that cannot be used, it must be said.
      const isEmpty = error instanceof NothingToFollowError && error.cause === undefined;
      const why = isEmpty ? "" : `, though: ${describeError(error)}`;
      effects.report({ kind: "notice", text: `Waiting for the first checkpoint in ${places}${why}` });
      await pause(place);
    }
}

async function keepWatching(place: WatchContext): Promise<WatchState> {
  const { request, effects, onState } = place;
  let changedAt = effects.now();
  let hasLooked = false;
  const onEvaluated = async (): Promise<void> => {
    changedAt = effects.now();
    hasLooked = true;
    const current = await openRunFolder(request.follow.out);
    await renewSummary(current);
    const state = await place.tell(current);
    onState(state, current);
    if (isOver(state, request)) throw new AlertedError(state);
  };
  const look = async (): Promise<void> => {
    const folder = await untilFree(place, async () => (await followTrainings(request.follow)).folder);
    const options = { effects, source: request.source, onEvaluated };
    await untilFree(place, () => evaluateRun(folder.path, request.tasks, options));
    hasLooked = true;
  };
  for (;;)
    try {
      await look().catch((error: unknown) => bear(error, { hasLooked, effects }));
      const isIdle = request.idleMs !== undefined && effects.now() - changedAt >= request.idleMs;
      const state = await describeNow(place, isIdle);
      if (state !== undefined) return state;
      await pause(place);
    } catch (error) {
      if (error instanceof AlertedError) return error.state;
      throw error;
    }
}

/** The state where the watch is at its end. Throws `UsageError` for a run that is broken. */
async function describeNow(place: WatchContext, isIdle: boolean): Promise<WatchState | undefined> {
  const { request, effects } = place;
  try {
    const current = await openRunFolder(request.follow.out);
    const state = await place.tell(current);
    const isAtEnd = isIdle || isOver(state, request) || (await isReached(current, request.until));
    return isAtEnd ? state : undefined;
  } catch (error) {
    if (isIdle || !isDiskProblem(error)) throw error;
    bear(error, { hasLooked: true, effects });
    return undefined;
  }
}

/**
 * Tells of what failed, and goes on: a disk that is full, a server that did not start or a checkpoint that was deleted just then
 * must not end a watch that nobody looks at. Only at the first look is it a mistake of the command, and thrown, unless the disk
 * is at fault.
 */
function bear(
  error: unknown,
  { hasLooked, effects }: { readonly hasLooked: boolean; readonly effects: Effects },
): void {
  if (error instanceof AlertedError || error instanceof StoppedError || !(error instanceof Error))
    throw error;
  if (!hasLooked && !isDiskProblem(error)) throw error;
  effects.report({ kind: "notice", text: `Going on, though: ${describeError(error)}` });
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
async function untilFree<Result>(place: WatchContext, work: () => Promise<Result>): Promise<Result> {
  for (;;)
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof BusyError)) throw error;
      place.effects.report({ kind: "notice", text: `Waiting: ${describeError(error)}` });
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

async function pause({ request, effects }: WatchContext): Promise<void> {
  try {
    await wait(request.intervalMs, undefined, { signal: effects.signal });
  } catch {
    throw new StoppedError();
  }
}
