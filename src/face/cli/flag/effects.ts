/** The outside of long work at a command: progress on standard error, stopping by Ctrl-C or a termination signal. */
import type { Effects } from "../../../base/progress/index.ts";
import { wantsColor } from "../output.ts";
import { colorPaint, plainPaint } from "../screen/paint.ts";
import { createProgress } from "../screen/progress.ts";
import { thisMachine } from "../this-machine.ts";

/** What ends work: Ctrl-C, a termination signal, a terminal that is closed. */
const stopSignals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Does the work with progress shown; the display is cleared when it ends, however it ends. */
export async function withEffects<Result>(work: (effects: Effects) => Promise<Result>): Promise<Result> {
  const { stderr } = process;
  const isTerminal = stderr.isTTY === true;
  const paint = wantsColor(stderr) ? colorPaint : plainPaint;
  const progress = createProgress({ stream: stderr, paint, isTerminal });
  const stop = new AbortController();
  const onInterrupt = (): void => {
    // Who asks again does not want to wait.
    if (stop.signal.aborted) process.exit(130);
    // A person at a terminal wants to see that the key was heard.
    if (isTerminal) progress.report({ kind: "notice", text: "Stopping as soon as nothing would be lost …" });
    stop.abort();
  };
  for (const signal of stopSignals) process.on(signal, onInterrupt);
  try {
    return await work({
      report: progress.report,
      now: () => performance.now(),
      signal: stop.signal,
      machine: thisMachine(),
    });
  } finally {
    progress.stop();
    for (const signal of stopSignals) process.off(signal, onInterrupt);
  }
}
