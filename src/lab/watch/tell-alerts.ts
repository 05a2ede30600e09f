/** Alerts told once each: on the terminal, and by the user's hooks, where one that failed is called again. */
import { describeError } from "../../base/core/index.ts";
import { writeFileIfChanged } from "../../base/file/index.ts";
import type { Effects } from "../../base/progress/index.ts";
import type { RunFolder } from "../../run/index.ts";
import type { DeclineLook } from "../../tasks/trajectory/index.ts";
import { type AlertHook, type AlertHooks, type AlertMessage, openHooks } from "./alert-hooks.ts";
import { describeState, type WatchRule, type WatchState } from "./watch-state.ts";

/** Finds how a watch stands, writes it down, and tells of alerts that were not told yet. */
export type TellAlerts = (folder: RunFolder) => Promise<WatchState>;

/** First wait until a later look calls a hook again that has failed. */
const leastPauseMs = 60_000;
/** Longest such wait. */
const mostPauseMs = 3_600_000;

interface Alert {
  readonly name: string;
  readonly text: string;
  readonly keepPath: string;
  readonly look: DeclineLook;
}

/** Throws `UsageError` for a webhook whose address cannot be called. */
export function createTeller(
  request: WatchRule & AlertHooks,
  { report, now, signal, machine }: Effects,
): TellAlerts {
  const hooks = openHooks(request, machine.variables);
  const pauses = new Map<string, { readonly untilMs: number; readonly lengthMs: number }>();
  const call = async (key: string, hook: AlertHook, message: AlertMessage): Promise<boolean> => {
    const pause = pauses.get(key);
    if (pause !== undefined && now() < pause.untilMs) return false;
    try {
      await hook.call(message, signal);
      return true;
    } catch (error) {
      const lengthMs = pause === undefined ? leastPauseMs : Math.min(mostPauseMs, 2 * pause.lengthMs);
      pauses.set(key, { untilMs: now() + lengthMs, lengthMs });
      const text = `The alert could not be passed on to ${hook.place}: ${describe(error)}; it is tried again later, and by the next watch`;
      report({ kind: "notice", text });
      return false;
    }
  };
  return async (folder) => {
    const state = await describeState(folder, request);
    const told = new Set(await readTold(folder));
    for (const alert of listAlerts(state)) {
      const keyOf = (way: string): string => `${way} ${alert.name} ${alert.look.point.checkpoint}`;
      if (!told.has(keyOf("terminal"))) report({ kind: "notice", text: `ALERT: ${alert.text}` });
      told.add(keyOf("terminal"));
      const open = hooks.filter(({ name }) => !told.has(keyOf(name)));
      const message = describeAlert(folder, alert);
      const isTold = await Promise.all(open.map((hook) => call(keyOf(hook.name), hook, message)));
      for (const [index, { name }] of open.entries()) if (isTold[index]) told.add(keyOf(name));
    }
    const { falseAlarmRate } = request;
    const text = `${JSON.stringify({ falseAlarmRate, ...state, told: [...told] }, null, 2)}\n`;
    await writeFileIfChanged(folder.locate("watch.json"), text);
    return state;
  };
}

/** What went wrong, with what is behind it: of a request that fails, only that says why. */
function describe(error: unknown): string {
  const text = describeError(error);
  return error instanceof Error && error.cause instanceof Error ? `${text} (${error.cause.message})` : text;
}

function listAlerts({ trainings }: WatchState): readonly Alert[] {
  return trainings.flatMap(({ name, alert, keepPath, watch }) =>
    alert === undefined || keepPath === undefined || watch.alert === undefined
      ? []
      : [{ name, text: alert, keepPath, look: watch.alert }],
  );
}

/** What `watch.json` says was told: the way, the training and the checkpoint of each alert. */
async function readTold(folder: RunFolder): Promise<readonly string[]> {
  const { told } = (await folder.readExtra("watch.json")) ?? {};
  return Array.isArray(told) ? told.map(String) : [];
}

function describeAlert(folder: RunFolder, { name, text, keepPath, look }: Alert): AlertMessage {
  return {
    text,
    run: folder.path,
    training: name,
    checkpoint: look.point.checkpoint,
    step: look.point.step,
    keep: look.peak.checkpoint,
    keepPath,
    pValue: look.pValue,
  };
}
