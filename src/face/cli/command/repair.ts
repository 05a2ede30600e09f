/** `untwist repair`: repairs of a run's checkpoints, evaluated beside their controls. */

import { Command } from "commander";
import { quoteForShell, UsageError } from "../../../base/core/index.ts";
import { readText } from "../../../base/file/index.ts";
import type { AnswerSource } from "../../../lab/answer/index.ts";
import { repairRun } from "../../../lab/repair/index.ts";
import { openRunFolder, parseRepairGrid, type RepairGrid } from "../../../run/index.ts";
import { withEffects } from "../flag/effects.ts";
import type { Invocation } from "../flag/invocation.ts";
import { addJobFlags, type JobFlags, parseJob, unlessHandedOver } from "../flag/job-flags.ts";
import { addRequestFlags, parseRequests, type RequestFlags, requireServer } from "../flag/request-flags.ts";
import { createOutput } from "../output.ts";
import { formatRepairs } from "../screen/repair-screen.ts";

const examples = `
Examples:
  untwist repair runs/general-points                 the repair grids of the run's recipe; what was evaluated is read
  untwist repair runs/general-points my-grid.yaml    your own grid
  untwist repair runs/mine my-grid.yaml --lora-endpoint http://127.0.0.1:8000
  untwist repair runs/mine --on slurm                on a cluster: docs/cluster.md

A grid:
  name: layers
  target: sft-end        # or base, peak, rl-end, or a checkpoint such as sft-80
  source: peak
  grid:
    - {what: [directions, vectors], top: [16, 0.5, all], layers: each}
    - {operation: truncate, keep: 0.5, matrices: "*.mlp.*"}
docs/surgery.md has all fields.`;

/** `untwist repair`: its arguments, flags and help, and the action that carries it out. */
export function createRepairCommand(invocation: Invocation): Command {
  const command = new Command()
    .argument("<run>", "the folder of a run")
    .argument("[grid]", "a YAML file (default: the repair grids of the run's recipe)")
    .option("--lora-endpoint <url>", "load the repairs as LoRA adapters at this server, and ask it");
  return addJobFlags(addRequestFlags(command))
    .option("--json", "print the result as JSON")
    .addHelpText("after", examples)
    .action((path: string, file: string | undefined, flags: RepairFlags, given: Command) =>
      unlessHandedOver(flags, () => tryRepairs(path, file, { flags, given, invocation })),
    );
}

interface RepairFlags extends RequestFlags, JobFlags {
  readonly loraEndpoint?: string;
  readonly json?: boolean;
}

async function tryRepairs(
  path: string,
  file: string | undefined,
  {
    flags,
    given,
    invocation,
  }: { readonly flags: RepairFlags; readonly given: Command; readonly invocation: Invocation },
): Promise<void> {
  const { loraEndpoint: url, model } = flags;
  requireServer(given, url);
  const source: AnswerSource<"embedded" | "adapters"> =
    url === undefined
      ? { kind: "embedded" }
      : { kind: "adapters", url, model, requests: parseRequests(flags) };
  const plans = file === undefined ? undefined : [await readGrid(file, path)];
  const job = await parseJob(flags, invocation);
  const records = await withEffects((effects) => repairRun(path, plans, { effects, source, job }));
  if (records.length === 0)
    throw new UsageError(
      `Cannot try repairs on "${path}": its recipe asks for none that it has checkpoints for; give a repair grid, as in: untwist repair ${quoteForShell(path)} grid.yaml`,
    );
  const output = createOutput(flags);
  const lines = records.flatMap((record) => [...formatRepairs(record, { ...output, folder: path }), ""]);
  const places = records.map(({ name }) => `${path}/repairs/${name}`);
  output.print([...lines, `Written to ${places.join(", ")}`], records);
}

/** A repair grid from a file; it must not take the place of one of the recipe's that is another. */
async function readGrid(file: string, run: string): Promise<RepairGrid> {
  const plan = parseRepairGrid(await readText(file), file);
  const { repairs } = (await openRunFolder(run)).recipe;
  const own = repairs === false ? undefined : repairs.find(({ name }) => name === plan.name);
  if (own === undefined || JSON.stringify(own) === JSON.stringify(plan)) return plan;
  throw new UsageError(
    `Cannot try repairs by "${file}": the run's recipe has another repair grid named ${plan.name}; give yours another name`,
  );
}
