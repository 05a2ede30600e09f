/** `untwist apply`: a plan of edits from a YAML file, carried out. */
import { Command } from "commander";
import { readText } from "../../../base/file/index.ts";
import { parsePlan } from "../../../run/index.ts";
import { carryOutPlan, type EditFlags } from "./edit.ts";

const examples = `
Examples:
  untwist apply plan.yaml --dry-run
  untwist apply plan.yaml --out repaired

A plan:
  target: runs/general-points/checkpoints/sft-200
  source: runs/general-points/checkpoints/sft-3
  operations:
    - {operation: restore, what: directions, top: 0.6, layers: 0-1}
    - {operation: rollback, layers: 2, strength: 0.5}
docs/surgery.md has all operations.`;

/** `untwist apply`: its arguments, flags and help, and the action that carries it out. */
export function createApplyCommand(): Command {
  return new Command()
    .argument("<plan>", "a YAML file")
    .option("--out <folder>", "where the edited checkpoint goes")
    .option("--as <form>", "checkpoint, or lora for a PEFT adapter to the target")
    .option("--dry-run", "say what would be done, and write nothing")
    .option("--json", "print the result as JSON")
    .addHelpText("after", examples)
    .action(apply);
}

async function apply(path: string, flags: EditFlags): Promise<void> {
  const plan = parsePlan(await readText(path), path);
  await carryOutPlan(plan, flags);
}
