/** The command line: parses, calls the lab, prints. Errors a user can fix are one sentence and exit code 2. */
import { Command, CommanderError } from "commander";
import { UsageError } from "../base/index.ts";
import { CheckpointError } from "../checkpoint/index.ts";
import { listVersions, StoppedError } from "../lab/index.ts";
import { createApplyCommand } from "./command/apply.ts";
import { createCacheCommand } from "./command/cache.ts";
import { createDoctorCommand } from "./command/doctor.ts";
import { createEvalCommand } from "./command/eval.ts";
import { createExportCommand } from "./command/export.ts";
import { createFollowCommand } from "./command/follow.ts";
import { createGradeCommand } from "./command/grade.ts";
import { createImportCommand } from "./command/import.ts";
import { createJobCommands } from "./command/jobs.ts";
import { createLsCommand } from "./command/ls.ts";
import { createReportCommand } from "./command/report.ts";
import { createRestoreCommand } from "./command/restore.ts";
import { createRunCommand } from "./command/run.ts";
import { createServeCommand } from "./command/serve.ts";
import { createShowCommand } from "./command/show.ts";
import { createSignalsCommand } from "./command/signals.ts";
import { createSpectraCommand } from "./command/spectra.ts";
import { createStudioCommand } from "./command/studio.ts";
import { createSweepCommand } from "./command/sweep.ts";
import { createWatchCommand } from "./command/watch.ts";
import { createWorkCommand } from "./command/work.ts";

const exitCodes = `
Exit codes:
  0    done
  1    an error in untwist itself
  2    something to put right: flags, a recipe, a file, a folder, a server
  3    untwist watch --stop-on-alert found that OOD has fallen
  130  stopped by Ctrl-C; what was done is kept, and the same command goes on`;

/** The `untwist` command with all its subcommands. */
export function createProgram(): Command {
  const program = new Command("untwist")
    .description(
      "see when a fine-tune starts to forget, and what comes back: base → SFT → RL, measured at every checkpoint",
    )
    .version(listVersions().untwist ?? "")
    .addHelpText("after", exitCodes);
  const commands = [
    createRunCommand(),
    createFollowCommand(),
    createWatchCommand(),
    createLsCommand(),
    createShowCommand(),
    createSpectraCommand(),
    createRestoreCommand(),
    createApplyCommand(),
    createSweepCommand(),
    createStudioCommand(),
    createReportCommand(),
    createSignalsCommand(),
    createEvalCommand(),
    createServeCommand(),
    createImportCommand(),
    createExportCommand(),
    createGradeCommand(),
    ...createJobCommands(async (args) => {
      await createProgram().parseAsync(["node", "untwist", ...args]);
    }),
    createCacheCommand(),
    createDoctorCommand(),
  ];
  for (const command of [program, ...commands])
    command.exitOverride().configureOutput({ outputError: writeError });
  for (const command of commands) program.addCommand(command.addHelpText("after", exitCodes));
  program.addCommand(createWorkCommand().exitOverride(), { hidden: true });
  return program;
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
  bearClosedOutput();
  try {
    await createProgram().parseAsync([...argv]);
    return 0;
  } catch (error) {
    return explain(error);
  }
}

/** Whoever reads our output may stop reading, as `head` does: that is no error. A disk that takes no output is one. */
function bearClosedOutput(): void {
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

function explain(error: unknown): number {
  const { stderr } = process;
  // Commander has printed its own message; asking for help is no mistake.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (error instanceof UsageError || error instanceof CheckpointError) {
    stderr.write(toSentence(error.message));
    return error.exitCode;
  }
  if (error instanceof StoppedError) {
    stderr.write(toSentence(error.message));
    return 130;
  }
  stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  return 1;
}
