/** The command line: parses, calls the lab, prints. Errors a user can fix are one sentence and exit code 2. */
import { Command, CommanderError } from "commander";
import { describeError, findExitCode } from "../../base/core/index.ts";
import { listVersions } from "../../base/machine/index.ts";
import { StoppedError } from "../../base/progress/index.ts";
import type { Invocation } from "./flag/invocation.ts";
import { renameArguments } from "./old-names.ts";
import { showMessage } from "./wording.ts";

const exitCodes = `
Exit codes:
  0    done
  1    an error in untwist itself
  2    invalid input: flags, recipe, file, folder or server
  3    untwist watch --stop-on-alert found that OOD has fallen
  130  stopped by Ctrl-C; what was done is kept, and the last line says how to continue`;

/** A command as the help lists it, and its code, which is loaded when it is given: one command needs a fraction of all code. */
interface CommandEntry {
  readonly usage: string;
  readonly description: string;
  readonly load: (invocation: Invocation) => Promise<Command>;
}

/** The commands in the order of the help. */
export const commands: Readonly<Record<string, CommandEntry>> = {
  run: {
    usage: "[options] [recipe]",
    description:
      "carry out a recipe: train, keep checkpoints, evaluate each, say what was forgotten and recovered",
    load: async () => (await import("./command/run.ts")).createRunCommand(),
  },
  follow: {
    usage: "[options] [folders...]",
    description:
      "take over the checkpoints of another trainer as a run: found, ordered, referred to where they lie, with the trainer's own curves",
    load: async () => (await import("./command/follow.ts")).createFollowCommand(),
  },
  watch: {
    usage: "[options] [folders...]",
    description:
      "evaluate each checkpoint of a training as it lands, and raise an alert once OOD accuracy has fallen beyond noise",
    load: async () => (await import("./command/watch.ts")).createWatchCommand(),
  },
  ls: {
    usage: "[options] [folder]",
    description: "list runs",
    load: async () => (await import("./command/ls.ts")).createLsCommand(),
  },
  show: {
    usage: "[options] <run>",
    description: "show a run: ID and OOD curves, peak, forgetting and recovery with intervals",
    load: async () => (await import("./command/show.ts")).createShowCommand(),
  },
  spectra: {
    usage: "[options] <before> [after]",
    description:
      "say what changed in the weights: singular values, directions, updates, sparsity, beside what chance would give",
    load: async (given) => (await import("./command/spectra.ts")).createSpectraCommand(given),
  },
  restore: {
    usage: "[options]",
    description: "put singular vectors or values of an earlier checkpoint back, without training",
    load: async () => (await import("./command/restore.ts")).createRestoreCommand(),
  },
  apply: {
    usage: "[options] <plan>",
    description: "carry out a plan of edits: restore, rollback, rescale, truncate, damp",
    load: async () => (await import("./command/apply.ts")).createApplyCommand(),
  },
  repair: {
    usage: "[options] <run> [grid]",
    description: "try repairs of a run's checkpoints on the run's own tasks, with controls and statistics",
    load: async (given) => (await import("./command/repair.ts")).createRepairCommand(given),
  },
  studio: {
    usage: "[options] [folder]",
    description: "show runs in a browser: curves, weights, repairs, answers; read-only, on this machine",
    load: async () => (await import("./command/studio.ts")).createStudioCommand(),
  },
  report: {
    usage: "[options] <run>",
    description: "write a run as one HTML file that opens without a server",
    load: async () => (await import("./command/report.ts")).createReportCommand(),
  },
  signals: {
    usage: "[options] <run>",
    description:
      "rank stopping signals that need no OOD labels by the OOD accuracy lost had SFT stopped where each one says",
    load: async () => (await import("./command/signals.ts")).createSignalsCommand(),
  },
  eval: {
    usage: "[options] [target]",
    description: "evaluate a checkpoint, a model behind a server, or all checkpoints of a run on fixed tasks",
    load: async (given) => (await import("./command/eval.ts")).createEvalCommand(given),
  },
  serve: {
    usage: "[options] <checkpoint>",
    description: "serve a checkpoint of the embedded engine through the routes of OpenAI's HTTP interface",
    load: async () => (await import("./command/serve.ts")).createServeCommand(),
  },
  import: {
    usage: "[options] <run>",
    description:
      "take over answers question by question from lm-evaluation-harness, lighteval or Inspect as evaluations of a followed run",
    load: async () => (await import("./command/import.ts")).createImportCommand(),
  },
  export: {
    usage: "[options] <run>",
    description:
      "write a run's evaluations for other tools: curves for TensorBoard or as a table, results as lm-evaluation-harness has them",
    load: async () => (await import("./command/export.ts")).createExportCommand(),
  },
  power: {
    usage: "[options]",
    description: "say how many items it takes to notice a loss, and which loss so many items can show",
    load: async () => (await import("./command/power.ts")).createPowerCommand(),
  },
  grade: {
    usage: "[options] <environment>",
    description: "grade one answer, given as in the chat prompt format: reward, outcome, feedback",
    load: async () => (await import("./command/grade.ts")).createGradeCommand(),
  },
  jobs: {
    usage: "[options]",
    description: "list jobs and their status",
    load: async () => (await import("./command/jobs.ts")).createJobsCommand(),
  },
  attach: {
    usage: "[options] <job>",
    description: "wait for a job's result, as the command that made it would",
    load: async () => (await import("./command/jobs.ts")).createAttachCommand(runCommand),
  },
  cancel: {
    usage: "[options] <job>",
    description: "cancel a job; what is done is kept",
    load: async () => (await import("./command/jobs.ts")).createCancelCommand(),
  },
  retry: {
    usage: "[options] <job>",
    description: "submit what is missing of a job that failed or was cancelled, and wait for its result",
    load: async () => (await import("./command/jobs.ts")).createRetryCommand(runCommand),
  },
  cache: {
    usage: "[options]",
    description: "show what the cache holds, and delete what has not been used for a long time",
    load: async () => (await import("./command/cache.ts")).createCacheCommand(),
  },
  doctor: {
    usage: "[options]",
    description: "say what was found: engine, threads, optional libraries",
    load: async () => (await import("./command/doctor.ts")).createDoctorCommand(),
  },
};

/** What executors start: not for people, so it is not listed. */
const hidden: Readonly<Record<string, CommandEntry>> = {
  work: {
    usage: "[options] <job> <submission> <pack>",
    description: "carry out one pack of a job; executors start it",
    load: async () => (await import("./command/work.ts")).createWorkCommand(),
  },
};

/** The `untwist` command with the subcommand that is given; the others are there by name, for help and to say what a wrong name may have meant. */
export async function createProgram(invocation: Invocation): Promise<Command> {
  const program = configure(new Command("untwist"))
    .description(
      "see when a fine-tune starts to forget, and what comes back: base → SFT → RL, measured at every checkpoint",
    )
    .version(listVersions().untwist)
    .configureHelp({ subcommandTerm: (command) => `${command.name()} ${command.usage()}` });
  const [first, second] = invocation.args;
  const wanted = first === "help" ? second : first;
  for (const [name, { usage, description, load }] of Object.entries({ ...commands, ...hidden })) {
    const command = name === wanted ? await load(invocation) : new Command().usage(usage);
    const isHidden = name in hidden;
    program.addCommand(configure(command.name(name).description(description)), { hidden: isHidden });
  }
  return program;
}

/** Errors are thrown, in our words; the help ends with the exit codes. */
function configure(command: Command): Command {
  return command.exitOverride().configureOutput({ outputError: writeError }).addHelpText("after", exitCodes);
}

/** Runs the command line with the arguments that follow its name. */
async function runCommand({ args, ...others }: Invocation): Promise<void> {
  const now = renameArguments(args);
  const [first, second, ...rest] = now;
  // As `COMMAND --help`; a wrong name alone says what it may have meant.
  const isHelp = first === "help" && second !== undefined;
  const asked = second !== undefined && Object.hasOwn(commands, second) ? [second, "--help"] : [second ?? ""];
  const invocation = { ...others, args: isHelp ? [...asked, ...rest] : now };
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

/** Whoever reads our output may stop reading, as `head` does: that is not an error. A disk that takes no output is one. */
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
  // Commander has printed its own message; asking for help is not a mistake.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  const code = error instanceof StoppedError ? 130 : findExitCode(error);
  if (code !== undefined) {
    stderr.write(toSentence(showMessage(describeError(error), args)));
    return code;
  }
  stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  return 1;
}
