/** The command line: parses, calls the lab, prints. Errors a user can fix are one sentence and exit code 2. */
import { Command, CommanderError } from "commander";
import { describeError, UsageError } from "../../base/core/index.ts";
import { listVersions } from "../../base/machine/index.ts";
import { StoppedError } from "../../base/progress/index.ts";
import { CheckpointError } from "../../weights/checkpoint/index.ts";
import type { Invocation } from "./flag/invocation.ts";
import { showMessage } from "./wording.ts";

const exitCodes = `
Exit codes:
  0    done
  1    an error in untwist itself
  2    something to put right: flags, a recipe, a file, a folder, a server
  3    untwist watch --stop-on-alert found that OOD has fallen
  130  stopped by Ctrl-C; what was done is kept, and the same command goes on`;

type CommandTable = Readonly<Record<string, (invocation: Invocation) => Promise<Command>>>;

/** The commands in the order of the help, each loaded when it is wanted: one of them needs a fraction of the code. */
const commands = {
  run: async () => (await import("./command/run.ts")).createRunCommand(),
  follow: async () => (await import("./command/follow.ts")).createFollowCommand(),
  watch: async () => (await import("./command/watch.ts")).createWatchCommand(),
  ls: async () => (await import("./command/ls.ts")).createLsCommand(),
  show: async () => (await import("./command/show.ts")).createShowCommand(),
  spectra: async (given) => (await import("./command/spectra.ts")).createSpectraCommand(given),
  restore: async () => (await import("./command/restore.ts")).createRestoreCommand(),
  apply: async () => (await import("./command/apply.ts")).createApplyCommand(),
  sweep: async (given) => (await import("./command/sweep.ts")).createSweepCommand(given),
  studio: async () => (await import("./command/studio.ts")).createStudioCommand(),
  report: async () => (await import("./command/report.ts")).createReportCommand(),
  signals: async () => (await import("./command/signals.ts")).createSignalsCommand(),
  eval: async (given) => (await import("./command/eval.ts")).createEvalCommand(given),
  serve: async () => (await import("./command/serve.ts")).createServeCommand(),
  import: async () => (await import("./command/import.ts")).createImportCommand(),
  export: async () => (await import("./command/export.ts")).createExportCommand(),
  grade: async () => (await import("./command/grade.ts")).createGradeCommand(),
  jobs: async () => (await import("./command/jobs.ts")).createJobsCommand(),
  attach: async () => (await import("./command/jobs.ts")).createAttachCommand(runCommand),
  cancel: async () => (await import("./command/jobs.ts")).createCancelCommand(),
  retry: async () => (await import("./command/jobs.ts")).createRetryCommand(runCommand),
  cache: async () => (await import("./command/cache.ts")).createCacheCommand(),
  doctor: async () => (await import("./command/doctor.ts")).createDoctorCommand(),
} satisfies CommandTable;

/** What executors start: not for people, so it is not listed. */
const hidden = {
  work: async () => (await import("./command/work.ts")).createWorkCommand(),
} satisfies CommandTable;

/** The `untwist` command with the subcommand that is named, or with all: for help, and to say what a wrong name may have meant. */
export async function createProgram(invocation: Invocation = { args: [] }): Promise<Command> {
  const [name] = invocation.args;
  const program = configure(new Command("untwist"))
    .description(
      "see when a fine-tune starts to forget, and what comes back: base → SFT → RL, measured at every checkpoint",
    )
    .version(listVersions().untwist);
  const load = new Map(Object.entries({ ...commands, ...hidden })).get(name ?? "");
  const isVersion = name === "--version" || name === "-V";
  const wanted = load === undefined ? Object.values(isVersion ? {} : commands) : [load];
  for (const one of wanted)
    program.addCommand(configure(await one(invocation)), { hidden: one === hidden.work });
  return program;
}

/** Errors are thrown, in our words; the help ends with the exit codes. */
function configure(command: Command): Command {
  return command.exitOverride().configureOutput({ outputError: writeError }).addHelpText("after", exitCodes);
}

/** Runs the command line with the arguments that follow its name. */
async function runCommand(invocation: Invocation): Promise<void> {
  const program = await createProgram(invocation);
  await program.parseAsync([...invocation.args], { from: "user" });
}

/** Errors are one line, whatever is quoted in them. */
function toSentence(message: string): string {
  return `${message.trim().replaceAll(/\s*\n\s*/g, " ")}\n`;
}

function writeError(text: string, write: (text: string) => void): void {
  const message = text.replace(/^error: /, "").replace(". Expected", ": expected");
  write(toSentence(message.charAt(0).toUpperCase() + message.slice(1)));
}

/** Runs the command line and gives the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  endWithReader();
  const args = argv.slice(2);
  try {
    await runCommand({ args });
    return 0;
  } catch (error) {
    return explain(error, args);
  }
}

/** Whoever reads our output may stop reading, as `head` does: that is no error. A disk that takes no output is one. */
function endWithReader(): void {
  const { stdout, stderr } = process;
  // Progress that nobody reads any more ends no work: not that of days.
  stderr.on("error", () => undefined);
  stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    stderr.write(toSentence(`Cannot print the result: ${error.message}; send the output elsewhere`), () =>
      process.exit(2),
    );
  });
}

function explain(error: unknown, args: readonly string[]): number {
  const { stderr } = process;
  // Commander has printed its own message; asking for help is no mistake.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (error instanceof UsageError || error instanceof CheckpointError) {
    stderr.write(toSentence(showMessage(describeError(error), args)));
    return error.exitCode;
  }
  if (error instanceof StoppedError) {
    stderr.write(toSentence(showMessage(describeError(error), args)));
    return 130;
  }
  stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  return 1;
}
