/** The outside of long work at a command: progress on standard error, stopping by Ctrl-C or a termination signal. */
import type { Effects } from "../../lab/index.ts";
import { wantsColor } from "../output.ts";
import { colorPaint, plainPaint } from "../screen/paint.ts";
import { createProgress } from "../screen/progress.ts";

/** Does the work with progress shown; the display is cleared when it ends, however it ends. */
export async function withEffects<Result>(work: (effects: Effects) => Promise<Result>): Promise<Result> {
  const { stderr } = process;
  const isTerminal = stderr.isTTY === true;
  const paint = wantsColor(stderr) ? colorPaint : plainPaint;
  const progress = createProgress({ stream: stderr, paint, isTerminal });
  const stop = new AbortController();
  const onInterrupt = (): void => {
    // A person at a terminal wants to see that the key was heard.
    if (isTerminal) progress.report({ kind: "notice", text: "Stopping as soon as nothing would be lost …" });
    stop.abort();
  };
  process.once("SIGINT", onInterrupt);
  process.once("SIGTERM", onInterrupt);
  try {
    return await work({ report: progress.report, now: () => performance.now(), signal: stop.signal });
  } finally {
    progress.stop();
    process.off("SIGINT", onInterrupt);
    process.off("SIGTERM", onInterrupt);
  }
}
