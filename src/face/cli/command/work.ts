/** `untwist work`: what executors start for each pack. Not for people, so it is not listed. */
import { Command } from "commander";
import { workOnPack } from "../../../lab/work/index.ts";
import { parseCount } from "../flag/parse-flags.ts";
import { thisMachine } from "../this-machine.ts";
import { showMessage } from "../wording.ts";

/** `untwist work`: its arguments, flags and help, and the action that carries it out. */
export function createWorkCommand(): Command {
  return new Command()
    .argument("<job>", "the folder of the job")
    .argument("<submission>", "the number of the submission")
    .argument("<pack>", "the position of the pack")
    .action(work);
}

async function work(folder: string, submission: string, pack: string): Promise<void> {
  // Of a local executor: nobody is left who counts this process's memory.
  process.on("disconnect", () => process.exit(1));
  // By way of an exit, so that a server which was started for a checkpoint ends, too.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(143));
  const place = {
    submission: parseCount("submission", submission, 0),
    pack: parseCount("pack", pack, 0),
  };
  const numFailures = await workOnPack(folder, place, {
    report: (event) => {
      if (event.kind === "notice") process.stdout.write(`${showMessage(event.text)}\n`);
    },
    now: () => performance.now(),
    signal: new AbortController().signal,
    machine: thisMachine(),
  });
  if (process.connected) process.disconnect();
  process.exitCode = numFailures === 0 ? 0 : 1;
}
