/** `untwist sweep`: repairs of a run's checkpoints, evaluated beside their controls. */

import { Command } from "commander";
import { UsageError } from "../../../base/core/index.ts";
import { readText } from "../../../base/file/index.ts";
import type { AnswerSource } from "../../../lab/answer/index.ts";
import { sweepRun } from "../../../lab/repair/index.ts";
import { openRunFolder, parseSweep, type SweepPlan } from "../../../run/index.ts";
import { withEffects } from "../flag/effects.ts";
import type { Invocation } from "../flag/invocation.ts";
import { addJobFlags, type JobFlags, parsePlace, unlessHandedOver } from "../flag/job-flags.ts";
import { addRequestFlags, parseRequests, type RequestFlags, requireServer } from "../flag/request-flags.ts";
import { createOutput } from "../output.ts";
import { formatSweep } from "../screen/sweep-screen.ts";

const examples = `
Examples:
  untwist sweep runs/general-points                 the sweeps of the run's recipe; what was evaluated is read
  untwist sweep runs/general-points my-sweep.yaml   your own grid
  untwist sweep runs/mine my-sweep.yaml --lora-endpoint http://127.0.0.1:8000
  untwist sweep runs/mine --on slurm                on a cluster: docs/cluster.md

A sweep:
  name: layers
  target: sft-end        # or base, peak, rl-end, or a checkpoint such as sft-80
  source: peak
  grid:
    - {what: [directions, vectors], top: [16, 0.5, all], layers: each}
    - {operation: truncate, keep: 0.5, matrices: "*.mlp.*"}
docs/surgery.md has all fields.`;

/** The command. */
export function createSweepCommand(invocation: Invocation): Command {
  const command = new Command()
    .argument("<run>", "the folder of a run")
    .argument("[sweep]", "a YAML file (default: the sweeps of the run's recipe)")
    .option("--lora-endpoint <url>", "load the repairs as LoRA adapters at this server, and ask it");
  return addJobFlags(addRequestFlags(command))
    .option("--json", "print the result as JSON")
    .addHelpText("after", examples)
    .action((path: string, file: string | undefined, flags: SweepFlags, given: Command) =>
      unlessHandedOver(flags, () => sweep(path, file, { flags, given, invocation })),
    );
}

interface SweepFlags extends RequestFlags, JobFlags {
  readonly loraEndpoint?: string;
  readonly json?: boolean;
}

async function sweep(
  path: string,
  file: string | undefined,
  {
    flags,
    given,
    invocation,
  }: { readonly flags: SweepFlags; readonly given: Command; readonly invocation: Invocation },
): Promise<void> {
  const { loraEndpoint: url, model } = flags;
  requireServer(given, url);
  const source: AnswerSource<"embedded" | "adapters"> =
    url === undefined
      ? { kind: "embedded" }
      : { kind: "adapters", url, model, requests: parseRequests(flags) };
  const plans = file === undefined ? undefined : [await readSweep(file, path)];
  const job = await parsePlace(flags, invocation);
  const records = await withEffects((effects) => sweepRun(path, plans, { effects, source, job }));
  const output = createOutput(flags);
  const lines = records.flatMap((record) => [...formatSweep(record, { ...output, folder: path }), ""]);
  const places = records.map(({ name }) => `${path}/repairs/${name}`);
  output.print([...lines, `Written to ${places.join(", ")}`], records);
}

/** A sweep from a file; it must not take the place of one of the recipe's that is another. */
async function readSweep(file: string, run: string): Promise<SweepPlan> {
  const plan = parseSweep(await readText(file), file);
  const { sweeps } = (await openRunFolder(run)).recipe;
  const own = sweeps === false ? undefined : sweeps.find(({ name }) => name === plan.name);
  if (own === undefined || JSON.stringify(own) === JSON.stringify(plan)) return plan;
  throw new UsageError(
    `Cannot sweep by "${file}": the run's recipe has another sweep named ${plan.name}; give yours another name`,
  );
}
