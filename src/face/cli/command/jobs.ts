/** `untwist jobs`, `attach`, `cancel` and `retry`: work that was handed to an executor. */
import { Command } from "commander";
import { UsageError } from "../../../base/core/index.ts";
import {
  cancelJob,
  type JobStatus,
  listJobStatus,
  readJobOrigin,
  retryJob,
} from "../../../cluster/dispatch/index.ts";
import type { JobOrigin } from "../../../cluster/job/index.ts";
import type { Invocation } from "../flag/invocation.ts";
import { createOutput } from "../output.ts";
import { formatTable } from "../screen/table.ts";
import { thisMachine } from "../this-machine.ts";
import { showMessage } from "../wording.ts";

const jobsExamples = `
Examples:
  untwist jobs    all jobs, the newest first
The commands spectra, eval and repair make a job for work on a cluster; docs/cluster.md has how.`;

const showExample = (name: string, what: string): string => `
Examples:
  untwist ${name} 0691a78e2f8b    ${what}`;

/** Runs the command line again, as given. */
export type RunAgain = (invocation: Invocation) => Promise<void>;

/** `untwist jobs`. */
export function createJobsCommand(): Command {
  return new Command()
    .option("--json", "print the list as JSON")
    .addHelpText("after", jobsExamples)
    .action(list);
}

/** `untwist attach`. */
export function createAttachCommand(runAgain: RunAgain): Command {
  return new Command()
    .argument("<job>", "job id (12 hex digits, see untwist jobs)")
    .option("--json", "print the result as JSON")
    .addHelpText("after", showExample("attach", "Ctrl-C leaves it again"))
    .action(async (id: string, flags: Json) => {
      await again(id, await readJobOrigin(id, thisMachine()), flags, runAgain);
    });
}

/** `untwist cancel`. */
export function createCancelCommand(): Command {
  return new Command()
    .argument("<job>", "job id (12 hex digits, see untwist jobs)")
    .option("--json", "print what was done as JSON")
    .addHelpText("after", showExample("cancel", "untwist retry continues it"))
    .action(cancel);
}

/** `untwist retry`. */
export function createRetryCommand(runAgain: RunAgain): Command {
  return new Command()
    .argument("<job>", "job id (12 hex digits, see untwist jobs)")
    .option("--json", "print the result as JSON")
    .addHelpText("after", showExample("retry", "after the cause has been fixed"))
    .action(async (id: string, flags: Json) => {
      await again(id, await retryJob(id, thisMachine()), flags, runAgain);
    });
}

/** Gives the command that made the job once more, where it was given. */
async function again(job: string, origin: JobOrigin, { json }: Json, runAgain: RunAgain): Promise<void> {
  const { folder } = origin;
  const args = json === true ? [...origin.args, "--json"] : origin.args;
  try {
    process.chdir(folder);
  } catch (cause) {
    throw new UsageError(`Cannot attach to job ${job}: the folder "${folder}", where it was made, is gone`, {
      cause,
    });
  }
  await runAgain({ args, job });
}

interface Json {
  readonly json?: boolean;
}

async function cancel(id: string, flags: Json): Promise<void> {
  const byHand = await cancelJob(id, thisMachine());
  const lines =
    byHand === undefined
      ? [`Job ${id} is done: there is nothing to cancel`]
      : [
          ...byHand.map((command) => `End what runs by: ${command}`),
          `Job ${id} is cancelled; go on with: untwist retry ${id}`,
        ];
  createOutput(flags).print(lines, { job: id, isCancelled: byHand !== undefined, byHand: byHand ?? [] });
}

async function list(flags: Json): Promise<void> {
  const jobs = await listJobStatus({
    machine: thisMachine(),
    report: (event) => {
      if (event.kind === "notice") process.stderr.write(`${showMessage(event.text)}\n`);
    },
  });
  createOutput(flags).print(
    jobs.length === 0 ? ["No job was handed to an executor yet"] : formatJobs(jobs),
    jobs,
  );
}

function formatJobs(jobs: readonly JobStatus[]): readonly string[] {
  const rows = jobs.map(({ id, state, numDone, numPieces, numRunning, numWaiting, at, command }) => [
    id,
    state,
    `${numDone}/${numPieces}`,
    numRunning + numWaiting === 0 ? "" : `${numRunning} + ${numWaiting}`,
    at.slice(0, 16).replace("T", " "),
    command,
  ]);
  return formatTable([["job", "state", "pieces", "running + waiting", "since (UTC)", "command"], ...rows]);
}
