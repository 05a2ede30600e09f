/** `untwist studio`: runs in a browser, following those that are still going on. */

import { spawn } from "node:child_process";
import { Command } from "commander";
import { UsageError } from "../../../base/core/index.ts";
import { folderExists } from "../../../base/file/index.ts";
import { runsFolder } from "../flag/run-location.ts";
import { parsePort, untilStopped } from "../flag/serving.ts";
import { thisMachine } from "../this-machine.ts";
import { showMessage } from "../wording.ts";

interface StudioFlags {
  readonly host: string;
  readonly port: string;
  readonly open?: boolean;
}

const examples = `
Examples:
  untwist studio                             the runs in ./runs
  untwist studio runs/general-points --open  one run, in the browser at once`;

/** `untwist studio`: its arguments, flags and help, and the action that carries it out. */
export function createStudioCommand(): Command {
  return new Command()
    .argument("[folder]", "a folder of runs, or a run", runsFolder)
    .option("--host <name>", "the address to serve on", "127.0.0.1")
    .option("--port <number>", "the port to serve on; 0 for any that is free", "0")
    .option("--open", "open it in the browser")
    .addHelpText("after", examples)
    .action(serve);
}

async function serve(folder: string, { host, port, open }: StudioFlags): Promise<void> {
  if (!(await folderExists(folder)))
    throw new UsageError(
      `Cannot show "${folder}": there is no such folder; start a run with untwist run, or name a folder of runs`,
    );
  // What only one command needs is loaded by that one.
  const { startStudio } = await import("../../studio/index.ts");
  const studio = await startStudio({
    folder,
    host,
    port: parsePort(port),
    machine: thisMachine(),
    onProblem: (problem) => process.stderr.write(`Left out: ${showMessage(problem)}\n`),
  });
  process.stdout.write(`Showing ${folder} at ${studio.address}   (stop with Ctrl-C)\n`);
  if (open === true) openBrowser(studio.address);
  await untilStopped();
  await studio.close();
}

/** Asks the system for its browser; a machine without one just shows the address. */
function openBrowser(address: string): void {
  const command =
    process.platform === "darwin" ? "open" : process.platform === "win32" ? "explorer" : "xdg-open";
  spawn(command, [address], { stdio: "ignore", detached: true })
    .on("error", () => undefined)
    .unref();
}
