/** `untwist watch`: a training evaluated while it goes on, and an alert once OOD accuracy has fallen. */
import { Command } from "commander";
import { quoteForShell, UsageError } from "../../../base/core/index.ts";
import { type WatchState, watchRun } from "../../../lab/watch/index.ts";
import { withEffects } from "../flag/effects.ts";
import { requireNamed } from "../flag/out-folder.ts";
import { parseCount, parseNumber, parseSeconds } from "../flag/parse-flags.ts";
import { addSourceFlags, chooseSource, requireServer, type SourceFlags } from "../flag/request-flags.ts";
import { addTaskFlags, parseTasks, type TaskFlags } from "../flag/task-flags.ts";
import { createOutput, wantsColor } from "../output.ts";
import { colorPaint, plainPaint } from "../screen/paint.ts";
import { describeWatch, formatWatch, formatWatchLine } from "../screen/watch-screen.ts";

interface WatchFlags extends SourceFlags, TaskFlags {
  readonly out: string;
  readonly base?: string;
  readonly falseAlarmRate: string;
  readonly interval: string;
  readonly keepBest?: string;
  readonly until?: string;
  readonly idle?: string;
  readonly stopOnAlert?: boolean;
  readonly onAlert?: string;
  readonly webhook?: string;
  readonly json?: boolean;
}

const examples = `
Examples:
  untwist watch out/sft --out runs/mine --base models/base --environment general-points --serve 'vllm serve {path} --port {port}'
  untwist watch out/sft --out runs/mine --environment items:my-questions --stop-on-alert   exit code 3 once OOD has fallen
  untwist watch --out runs/mine --keep-best 3 --on-alert 'notify-send "$UNTWIST_TEXT"'    go on, as it was asked before
  untwist studio runs/mine      the same in the browser, as it grows
The command and the webhook (POST, JSON) receive: text, run, training, checkpoint, step, keep, keepPath, pValue.`;

/** `untwist watch`: its arguments, flags and help, and the action that carries it out. */
export function createWatchCommand(): Command {
  const command = new Command()
    .argument("[folders...]", "output folders of trainers; none to go on with a run that follows them")
    .requiredOption("--out <run>", "the folder of the run")
    .option("--base <folder>", "the model that is trained, where the checkpoints do not say")
    .option("--environment <name>", "what checkpoints are asked; needed once");
  return addSourceFlags(addTaskFlags(command))
    .option(
      "--false-alarm-rate <number>",
      "chance that a training which never declines raises any alert",
      "0.05",
    )
    .option("--interval <seconds>", "how often to look for checkpoints", "10")
    .option("--keep-best <number>", "mark all but that many of the best as deletable; nothing is deleted")
    .option("--until <step>", "end once a checkpoint of that step is evaluated")
    .option("--idle <seconds>", "exit after this many seconds without a new checkpoint")
    .option("--stop-on-alert", "end at an alert, with exit code 3")
    .option(
      "--on-alert <command>",
      "a shell command to run for an alert, with the variables UNTWIST_TEXT, UNTWIST_KEEP_PATH, …",
    )
    .option("--webhook <url>", "an address to which an alert is posted")
    .option("--json", "print the last state as JSON")
    .addHelpText("after", examples)
    .action(watch);
}

async function watch(folders: readonly string[], flags: WatchFlags, given: Command): Promise<void> {
  requireNamed(flags.out);
  requireServer(given, flags.serve ?? flags.loraEndpoint);
  const isPainted = wantsColor(process.stderr);
  const paint = isPainted ? colorPaint : plainPaint;
  const request = parseRequest(folders, flags);
  const state = await withEffects((effects) =>
    watchRun(request, {
      effects,
      onState: (now) => {
        for (const text of formatWatchLine(now, paint)) effects.report({ kind: "notice", text });
      },
    }),
  );
  const output = createOutput(flags);
  output.print(formatWatch(state, { ...output, path: quoteForShell(flags.out) }), describeWatch(state));
  if (flags.stopOnAlert === true) endWithAlert(state);
}

/** Ends with exit code 3 where there is an alert. */
function endWithAlert({ trainings }: WatchState): void {
  const kept = trainings.find((one) => one.alert !== undefined)?.watch.alert?.peak.checkpoint;
  if (kept !== undefined) throw new UsageError(`Ended at the alert: keep ${kept}`, { exitCode: 3 });
}

function parseRequest(folders: readonly string[], flags: WatchFlags): Parameters<typeof watchRun>[0] {
  const rate = parseNumber("--false-alarm-rate", flags.falseAlarmRate);
  if (!(rate > 0 && rate < 1))
    throw new UsageError(
      `Cannot read --false-alarm-rate "${flags.falseAlarmRate}": give a number between 0 and 1, as 0.05`,
    );
  const count = (flag: string, text: string | undefined, least: number): number | undefined =>
    text === undefined ? undefined : parseCount(flag, text, least);
  return {
    follow: { folders, out: flags.out, base: flags.base },
    tasks: parseTasks(flags, 2),
    source: chooseSource(flags),
    falseAlarmRate: rate,
    intervalMs: 1000 * parseSeconds("--interval", flags.interval),
    keepBest: count("--keep-best", flags.keepBest, 1),
    until: count("--until", flags.until, 1),
    idleMs: flags.idle === undefined ? undefined : 1000 * parseSeconds("--idle", flags.idle),
    stopOnAlert: flags.stopOnAlert === true,
    alertCommand: flags.onAlert,
    webhook: flags.webhook,
  };
}
